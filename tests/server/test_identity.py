"""Only tokens of our issuer, for us, by its one algorithm, complete and in time, are believed."""

import base64
import hashlib
import hmac
import json
import stat
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jose import jwk, jwt

from amancay_schema.errors import Unauthenticated
from amancay_server.demo.issuer import AUDIENCE, ISSUER, Issuer
from amancay_server.identity import MAX_TOKEN_LENGTH, Verifier, bearer_token
from amancay_server.settings import IdentitySettings, InvalidSettings


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def verifier(issuer: Issuer) -> Verifier:
    return Verifier(issuer.identity)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("stranger"))


def key_of(issuer: Issuer) -> str:
    return (issuer.jwks_file.parent / "key.pem").read_text()


def kid_of(issuer: Issuer) -> str:
    return str(json.loads(issuer.jwks_file.read_text())["keys"][0]["kid"])


def claims(**changed: object) -> dict[str, Any]:
    now = int(time.time())
    whole: dict[str, object] = {"iss": ISSUER, "aud": AUDIENCE, "sub": "mara", "iat": now, "exp": now + 60}
    return {name: value for name, value in {**whole, **changed}.items() if value is not None}


def signed(issuer: Issuer, content: dict[str, Any] | None = None, **header: object) -> str:
    """A token truly signed by `issuer`; a header given as None is left out."""
    headers: dict[str, object] = {"typ": "at+jwt", "alg": "RS256", "kid": kid_of(issuer), **header}
    kept = {name: value for name, value in headers.items() if value is not None}
    parts = f"{encoded(kept)}.{encoded(claims() if content is None else content)}"
    signature = jwk.construct(key_of(issuer), "RS256").sign(parts.encode())
    return f"{parts}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def encoded(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def hmac_signed(issuer: Issuer, secret: bytes, algorithm: str = "HS256") -> str:
    parts = f"{encoded({'alg': algorithm, 'typ': 'JWT', 'kid': kid_of(issuer)})}.{encoded(claims())}"
    return f"{parts}.{encoded(hmac.new(secret, parts.encode(), hashlib.sha256).digest())}"


def public_bytes(issuer: Issuer, encoding: serialization.Encoding) -> bytes:
    private = serialization.load_pem_private_key(key_of(issuer).encode(), None)
    return private.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_a_good_token_names_its_user_and_its_end(issuer: Issuer, verifier: Verifier) -> None:
    found = verifier.verify(issuer.token("mara", timedelta(minutes=5)))
    assert found.subject == "mara"
    assert timedelta(minutes=4) < found.expires_at - datetime.now(UTC) <= timedelta(minutes=5)


@pytest.mark.parametrize("header", [{}, {"typ": "JWT"}, {"typ": None}, {"typ": "application/at+jwt"}])
def test_the_usual_spellings_are_accepted(issuer: Issuer, verifier: Verifier, header: dict[str, Any]) -> None:
    assert verifier.verify(signed(issuer, **header)).subject == "mara"
    assert verifier.verify(signed(issuer, claims(aud=["else", AUDIENCE]), **header)).subject == "mara"


STATIC = {
    "empty": "",
    "garbage": "garbage",
    "two dots": "..",
    "header a list": f"{encoded(['RS256'])}.{encoded(claims())}.AAAA",
    "header no UTF-8": f"{encoded(bytes([255, 254]))}.{encoded(claims())}.AAAA",
    "header nested": f"{encoded(b'[' * 5000)}.{encoded(claims())}.AAAA",
    "100 kB of dots": "." * 100_000,
}
FORGED: dict[str, Callable[[Issuer], str]] = {
    "no signature": lambda issuer: signed(issuer).rpartition(".")[0] + ".",
    "alg none": lambda issuer: f"{encoded({'alg': 'none', 'kid': kid_of(issuer)})}.{encoded(claims())}.",
    "alg none, signed": lambda issuer: signed(issuer, alg="none"),
    "alg missing": lambda issuer: signed(issuer, alg=None),
    "alg a list": lambda issuer: signed(issuer, alg=["RS256"]),
    "alg of the same family": lambda issuer: signed(issuer, alg="RS512"),
    "alg HS256 with the PEM": lambda issuer: hmac_signed(issuer, public_bytes(issuer, serialization.Encoding.PEM)),
    "alg HS256 with the DER": lambda issuer: hmac_signed(issuer, public_bytes(issuer, serialization.Encoding.DER)),
    "said RS256, signed HS256": lambda issuer: hmac_signed(
        issuer, public_bytes(issuer, serialization.Encoding.DER), "RS256"
    ),
    "no kid": lambda issuer: signed(issuer, kid=None),
    "kid a list": lambda issuer: signed(issuer, kid=[kid_of(issuer)]),
    "crit": lambda issuer: signed(issuer, crit=["x"], x=1),
    "crit, empty": lambda issuer: signed(issuer, crit=[]),
    "b64": lambda issuer: signed(issuer, b64=False),
    "typ of something else": lambda issuer: signed(issuer, typ="dpop+jwt"),
    "typ a number": lambda issuer: signed(issuer, typ=1),
    "wrong iss": lambda issuer: signed(issuer, claims(iss="urn:else")),
    "no iss": lambda issuer: signed(issuer, claims(iss=None)),
    "iss a list": lambda issuer: signed(issuer, claims(iss=[ISSUER])),
    "wrong aud": lambda issuer: signed(issuer, claims(aud="else")),
    "no aud": lambda issuer: signed(issuer, claims(aud=None)),
    "aud without us": lambda issuer: signed(issuer, claims(aud=["else"])),
    "no exp": lambda issuer: signed(issuer, claims(exp=None)),
    "expired": lambda issuer: signed(issuer, claims(exp=int(time.time()) - 60)),
    "exp a string": lambda issuer: signed(issuer, claims(exp=str(int(time.time()) + 60))),
    "exp a truth value": lambda issuer: signed(issuer, claims(exp=True)),
    "exp endless": lambda issuer: signed(issuer, claims(exp=float("inf"))),
    "exp no number": lambda issuer: signed(issuer, claims(exp=float("nan"))),
    "exp past all calendars": lambda issuer: signed(issuer, claims(exp=10**18)),
    "exp a list": lambda issuer: signed(issuer, claims(exp=[int(time.time()) + 60])),
    "not yet": lambda issuer: signed(issuer, claims(nbf=int(time.time()) + 60)),
    "no iat": lambda issuer: signed(issuer, claims(iat=None)),
    "iat to come": lambda issuer: signed(issuer, claims(iat=int(time.time()) + 60)),
    "no sub": lambda issuer: signed(issuer, claims(sub=None)),
    "sub empty": lambda issuer: signed(issuer, claims(sub="")),
    "sub a number": lambda issuer: signed(issuer, claims(sub=7)),
    "sub endless": lambda issuer: signed(issuer, claims(sub="m" * 256)),
    "claims tampered": lambda issuer: ".".join(
        [signed(issuer).split(".")[0], encoded(claims(sub="admin")), signed(issuer).split(".")[2]]
    ),
    "signature tampered": lambda issuer: signed(issuer)[:-4] + "AAAA",
    "claims a list": lambda issuer: signed(issuer, [claims()]),  # type: ignore[arg-type] # on purpose
    "other letters": lambda issuer: signed(issuer).replace(".", "\u2024"),
    "a line break": lambda issuer: signed(issuer) + "\n",
    "100 kB": lambda issuer: signed(issuer, claims(padding="x" * 100_000)),
}


def assert_refused(token: str, verifier: Verifier) -> None:
    with pytest.raises(Unauthenticated, match=r"^A valid access token is required\.$") as refused:
        verifier.verify(token)
    assert refused.value.extensions == {"code": "UNAUTHENTICATED"}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_refused(name: str, issuer: Issuer, verifier: Verifier) -> None:
    """Goal: one refusal for all. Method: each forgery differs from a good token in one thing."""
    assert_refused(FORGED[name](issuer), verifier)


@pytest.mark.parametrize("name", STATIC)
def test_what_is_no_token_is_refused(name: str, verifier: Verifier) -> None:
    assert_refused(STATIC[name], verifier)


def test_a_key_of_somebody_else_is_refused(issuer: Issuer, stranger: Issuer, verifier: Verifier) -> None:
    """Goal: only our issuer's keys count. Method: theirs under our kid, under their own, in the header."""
    assert_refused(signed(stranger, kid=kid_of(issuer)), verifier)
    assert_refused(signed(stranger), verifier)
    key = json.loads(stranger.jwks_file.read_text())["keys"][0]
    assert_refused(signed(stranger, jwk=key, kid=kid_of(issuer)), verifier)


def test_the_length_is_bounded(issuer: Issuer, verifier: Verifier) -> None:
    """Goal: a token at the limit passes, one past it does not. Method: padding in the claims."""
    room = MAX_TOKEN_LENGTH - len(signed(issuer, claims(padding="")))
    longest = signed(issuer, claims(padding="x" * (room * 3 // 4 - 1)))
    assert MAX_TOKEN_LENGTH - 4 <= len(longest) <= MAX_TOKEN_LENGTH
    assert verifier.verify(longest).subject == "mara"
    with pytest.raises(Unauthenticated):
        verifier.verify(signed(issuer, claims(padding="x" * (room * 3 // 4 + 2))))


@pytest.mark.parametrize("value", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer a b", "abc", 7, []])
def test_only_a_bearer_token_is_read(value: object) -> None:
    with pytest.raises(Unauthenticated):
        bearer_token(value)


def test_the_scheme_may_be_written_anyhow() -> None:
    assert bearer_token("bearer  a.b.c ") == "a.b.c"


def test_elliptic_curve_keys_work_too(tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = {**jwk.construct(pem, "ES256").public_key().to_dict(), "kid": "e"}
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [public]}))
    verifier = Verifier(IdentitySettings(issuer=ISSUER, algorithm="ES256", jwks_file=file))
    assert verifier.verify(jwt.encode(claims(), pem, "ES256", headers={"kid": "e"})).subject == "mara"


def weak_key() -> dict[str, Any]:
    private = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return {**jwk.construct(pem, "RS256").public_key().to_dict(), "kty": "RSA", "kid": "w"}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"keys": []}',
        '{"keys": 7}',
        '{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}]}',
        '{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}',
        '{"keys": [{"kty": "RSA", "kid": "a"}]}',
        json.dumps({"keys": [weak_key()]}),
    ],
)
def test_unfit_keys_are_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(content)
    with pytest.raises(InvalidSettings, match="AMANCAY_IDENTITY__JWKS_FILE"):
        Verifier(IdentitySettings(issuer=ISSUER, jwks_file=file))


def test_private_and_doubled_keys_are_refused(issuer: Issuer, tmp_path: Path) -> None:
    public = json.loads(issuer.jwks_file.read_text())["keys"][0]
    for keys in ([{**public, "d": "AQAB"}], [public, public], [{**public, "use": "enc"}]):
        file = tmp_path / "jwks.json"
        file.write_text(json.dumps({"keys": keys}))
        with pytest.raises(InvalidSettings, match="AMANCAY_IDENTITY__JWKS_FILE"):
            Verifier(IdentitySettings(issuer=ISSUER, jwks_file=file))


def test_an_issuer_must_be_named() -> None:
    with pytest.raises(InvalidSettings, match="AMANCAY_IDENTITY__ISSUER"):
        Verifier(IdentitySettings())


def test_the_demo_key_is_private_and_lasts(issuer: Issuer, verifier: Verifier) -> None:
    directory = issuer.jwks_file.parent
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()} == {0o600}
    assert sorted(file.name for file in directory.iterdir()) == ["jwks.json", "key.pem"]
    assert verifier.verify(Issuer(directory.parent).token("mara")).subject == "mara"


def test_issuers_made_at_once_share_one_key(tmp_path: Path) -> None:
    """Goal: no token is signed by a lost key. Method: four threads start on an empty directory."""
    made: list[Issuer] = []
    threads = [threading.Thread(target=lambda: made.append(Issuer(tmp_path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    verifier = Verifier(made[0].identity)
    assert [verifier.verify(issuer.token("mara")).subject for issuer in made] == ["mara"] * 4
    assert len(list((tmp_path / "issuer").iterdir())) == 2
