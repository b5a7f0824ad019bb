"""Who is asking: access tokens of one OIDC issuer, checked here and nowhere else.

python-jose accepts by default a token without `aud` or `exp`, ignores `crit`, trusts the header's algorithm
if none is named, and takes key bytes for an HMAC secret. Hence: one algorithm by name, keys as JWK objects
chosen by `kid`, every claim required, and the header vetted before the library sees the token.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jose import jwk, jwt
from jose.backends.base import Key
from jose.exceptions import JOSEError

from amancay_schema.errors import Unauthenticated
from amancay_server.settings import IdentitySettings, InvalidSettings

__all__ = ["Claims", "Unauthenticated", "Verifier", "bearer_token"]

MAX_TOKEN_LENGTH = 8192
MAX_SUBJECT_LENGTH = 255
MAX_KEYS = 100
MIN_RSA_BITS = 2048
LEEWAY_SECONDS = 10
"""How far the issuer's clock may be from ours."""
KEY_TYPES = {"RS256": "RSA", "ES256": "EC"}
TOKEN_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})

_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_BEARER = re.compile(r"bearer +(\S+) *", re.ASCII | re.IGNORECASE)
_KEYS_VARIABLE = "AMANCAY_IDENTITY__JWKS_FILE"
_REQUIRED = {f"require_{claim}": True for claim in ("aud", "exp", "iat", "iss", "sub")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a valid token says: the user's name at the issuer, and until when to believe it."""

    subject: str
    expires_at: datetime


def bearer_token(authorization: object) -> str:
    """The token in the value of an `Authorization` header or of a WebSocket's first message.

    Raises:
        Unauthenticated: if it is no bearer token.
    """
    found = _BEARER.fullmatch(authorization) if isinstance(authorization, str) else None
    if found is None:
        raise Unauthenticated
    return found[1]


class Verifier:
    """Checks access tokens against the issuer's public keys.

    Raises:
        InvalidSettings: if issuer or keys are missing or unfit.
    """

    def __init__(self, settings: IdentitySettings) -> None:
        if settings.issuer is None or settings.jwks_file is None:
            raise InvalidSettings("AMANCAY_IDENTITY__ISSUER and AMANCAY_IDENTITY__JWKS_FILE must both be set")
        self._issuer = settings.issuer
        self._audience = settings.audience
        self._algorithm = settings.algorithm
        self._keys = _read_keys(settings.jwks_file, settings.algorithm)

    def verify(self, token: str) -> Claims:
        """What `token` says, if every check holds.

        Raises:
            Unauthenticated: the same one, whatever is wrong.
        """
        if len(token) > MAX_TOKEN_LENGTH or not _TOKEN.fullmatch(token):
            raise Unauthenticated
        try:
            return self._claims(token, self._key(token))
        except (JOSEError, ValueError, TypeError, OverflowError, OSError, RecursionError):
            raise Unauthenticated from None

    def _key(self, token: str) -> Key:
        """The key that the header names, if the header holds nothing that we would have to understand."""
        header = _header(token)
        kid, typ = header.get("kid"), header.get("typ", "JWT")
        if header.get("alg") != self._algorithm or "crit" in header or "b64" in header:
            raise Unauthenticated
        if not isinstance(typ, str) or typ.lower() not in TOKEN_TYPES:
            raise Unauthenticated
        if not isinstance(kid, str) or kid not in self._keys:
            raise Unauthenticated
        return self._keys[kid]

    def _claims(self, token: str, key: Key) -> Claims:
        claims = jwt.decode(
            token,
            key,
            algorithms=[self._algorithm],
            audience=self._audience,
            issuer=self._issuer,
            options={**_REQUIRED, "leeway": LEEWAY_SECONDS},
        )
        subject, expires_at, issued_at = claims["sub"], _moment(claims["exp"]), _moment(claims["iat"])
        if not 0 < len(subject) <= MAX_SUBJECT_LENGTH:
            raise Unauthenticated
        if issued_at.timestamp() > datetime.now(UTC).timestamp() + LEEWAY_SECONDS:
            raise Unauthenticated
        return Claims(subject=subject, expires_at=expires_at)


def _header(token: str) -> Mapping[str, Any]:
    encoded = token.partition(".")[0]
    header = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    if not isinstance(header, dict):
        raise Unauthenticated
    return header


def _moment(claim: object) -> datetime:
    """A NumericDate (seconds since 1970) as a moment; a string or a truth value is none."""
    if isinstance(claim, bool) or not isinstance(claim, int | float):
        raise Unauthenticated
    return datetime.fromtimestamp(claim, UTC)


def _read_keys(file: Path, algorithm: str) -> dict[str, Key]:
    """The issuer's public keys by `kid`; keys for other purposes or algorithms are passed over."""
    try:
        documents = json.loads(file.read_bytes())["keys"]
        fit = [document for document in documents if _fits(document, algorithm)]
        keys = {document["kid"]: jwk.construct(document, algorithm) for document in fit}
    except (OSError, JOSEError, ValueError, TypeError, KeyError, binascii.Error) as error:
        reason = type(error).__name__
        raise InvalidSettings(f"{_KEYS_VARIABLE}: {file} is no readable JSON Web Key Set ({reason})") from None
    if not 0 < len(keys) <= MAX_KEYS or len(keys) != len(fit):
        wanted = f"1 to {MAX_KEYS} public {algorithm} keys, each with a kid of its own"
        raise InvalidSettings(f"{_KEYS_VARIABLE}: {file} must hold {wanted}")
    return keys


def _fits(document: dict[str, Any], algorithm: str) -> bool:
    if document.get("kty") != KEY_TYPES[algorithm] or not isinstance(document.get("kid"), str):
        return False
    if document.get("use", "sig") != "sig" or document.get("alg", algorithm) != algorithm or "d" in document:
        return False
    if algorithm == "ES256":
        return document.get("crv") == "P-256"
    modulus = document["n"]
    return len(base64.urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4))) * 8 >= MIN_RSA_BITS
