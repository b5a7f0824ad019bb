"""The demo's own token issuer: whoever can read its key file can be anybody. Never for real data."""

import base64
import hashlib
import json
import os
import tempfile
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jose import jwk, jwt

from amancay_server.settings import IdentitySettings

ISSUER = "urn:amancay:demo"
AUDIENCE = "amancay"
ALGORITHM = "RS256"
KEY_BITS = 2048
LIFETIME = timedelta(hours=8)


class Issuer:
    """Signs access tokens with a key of its own, made at first use and kept in a private directory."""

    def __init__(self, data_dir: Path) -> None:
        directory = data_dir / "issuer"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        self.jwks_file = directory / "jwks.json"
        self._pem = _the_key(directory)
        self._kid = _publish(self._pem, self.jwks_file)

    @property
    def identity(self) -> IdentitySettings:
        """The settings of a server that believes this issuer."""
        return IdentitySettings(issuer=ISSUER, audience=AUDIENCE, algorithm=ALGORITHM, jwks_file=self.jwks_file)

    def token(self, user: str, lifetime: timedelta = LIFETIME) -> str:
        """An access token for `user`, valid from now on for `lifetime`."""
        now = datetime.now(UTC)
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "iat": now, "exp": now + lifetime}
        return jwt.encode(claims, self._pem, ALGORITHM, headers={"kid": self._kid, "typ": "at+jwt"})


def _the_key(directory: Path) -> str:
    """The directory's private key, in PEM. Of several processes that make one at once, all use the first."""
    file = directory / "key.pem"
    if not file.exists():
        private = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        new = _written(directory, pem)
        with suppress(FileExistsError):
            os.link(new, file)
        new.unlink()
    return file.read_text()


def _publish(pem: str, file: Path) -> str:
    """Writes the public half as a key set; the same bytes whoever does it. Returns the key's id."""
    public = {"kty": "RSA", **jwk.construct(pem, ALGORITHM).public_key().to_dict()}
    # The key's thumbprint, RFC 7638.
    canonical = json.dumps({name: public[name] for name in ("e", "kty", "n")}, separators=(",", ":"))
    kid = base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()
    document = {"keys": [{**public, "kid": kid, "use": "sig", "alg": ALGORITHM}]}
    _written(file.parent, json.dumps(document, indent=2).encode()).replace(file)
    return kid


def _written(directory: Path, content: bytes) -> Path:
    """A new file, complete and readable by its owner only, to be linked or renamed into place."""
    handle, name = tempfile.mkstemp(dir=directory)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    return Path(name)
