"""Settings come from the environment, then from a file; what is wrong is named, and no value is shown."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from amancay_server.limits import Limits
from amancay_server.settings import (
    IdentitySettings,
    InvalidSettings,
    Settings,
    WorkerSettings,
    load_settings,
)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("AMANCAY_")]:
        monkeypatch.delenv(name)


def test_the_defaults_are_those_of_a_demo() -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.mongo_url) == ("127.0.0.1", 8000, None)
    assert settings.workers.query_timeout_seconds == 60
    assert settings.workers.release_grid_seconds == 0.5
    assert settings.limits == Limits()


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "amancay.toml"
    file.write_text(
        'port = 1\nhost = "::1"\ndata_roots = ["/srv/a", "/srv/b"]\n[workers]\nslots = 7\nlease_seconds = 3\n'
    )
    monkeypatch.setenv("AMANCAY_SETTINGS", str(file))
    monkeypatch.setenv("AMANCAY_PORT", "2")
    monkeypatch.setenv("AMANCAY_WORKERS__SLOTS", "4")
    settings = load_settings(database="given")
    assert (settings.port, settings.host, settings.database) == (2, "::1", "given")
    assert (settings.workers.slots, settings.workers.lease_seconds) == (4, 3)
    assert settings.data_roots == (Path("/srv/a"), Path("/srv/b"))


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMANCAY_DATA_ROOTS", "/srv/a, /srv/b")
    monkeypatch.setenv("AMANCAY_ALLOWED_ORIGINS", "https://notes.example,")
    settings = load_settings()
    assert settings.data_roots == (Path("/srv/a"), Path("/srv/b"))
    assert settings.allowed_origins == ("https://notes.example",)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("AMANCAY_PORT", "65536", "less than or equal to 65535"),
        ("AMANCAY_PORT", "-1", "greater than or equal to 0"),
        ("AMANCAY_PORT", "http", "valid integer"),
        ("AMANCAY_DATABASE", "a b", "name of the MongoDB database"),
        ("AMANCAY_MONGO_URL", "http://user:hush@db", "must start with mongodb://"),
        ("AMANCAY_WORKERS__SLOTS", "257", "queries run at a time"),
        ("AMANCAY_WORKERS__QUERY_TIMEOUT_SECONDS", "inf", "finite number"),
        ("AMANCAY_WORKERS__RELEASE_GRID_SECONDS", "61", "less than or equal to 60"),
        ("AMANCAY_IDENTITY__ALGORITHM", "HS256", "'RS256' or 'ES256'"),
        ("AMANCAY_IDENTITY__ALGORITHMS", "RS256", "known: algorithm, audience, issuer, jwks_file"),
        ("AMANCAY_LIMITS__MAX_DEPTH", "3", "nesting of fields"),
        ("AMANCAY_WORKERS", "many", "expected a JSON object"),
    ],
)
def test_a_wrong_value_is_named(variable: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidSettings) as refused:
        load_settings()
    assert str(refused.value).startswith(f"{variable}: ")
    assert words in str(refused.value)
    assert "hush" not in str(refused.value)


def test_everything_wrong_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMANCAY_PORT", "x")
    monkeypatch.setenv("AMANCAY_WORKERS__SLOTS", "x")
    with pytest.raises(InvalidSettings) as refused:
        load_settings()
    assert [line.split(":")[0] for line in str(refused.value).splitlines()] == [
        "AMANCAY_PORT",
        "AMANCAY_WORKERS__SLOTS",
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("port = ", "AMANCAY_SETTINGS: the file is not valid TOML"),
        ("prot = 1", "AMANCAY_PROT: Extra inputs are not permitted (known: allowed_origins"),
        (
            "[workers]\nslot = 1",
            "AMANCAY_WORKERS__SLOT: Extra inputs are not permitted (known: lease",
        ),
    ],
)
def test_a_wrong_file_is_explained(content: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "amancay.toml"
    file.write_text(content)
    monkeypatch.setenv("AMANCAY_SETTINGS", str(file))
    with pytest.raises(InvalidSettings) as refused:
        load_settings()
    assert words in str(refused.value)


def test_a_missing_file_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AMANCAY_SETTINGS", str(tmp_path / "none.toml"))
    with pytest.raises(InvalidSettings, match="AMANCAY_SETTINGS: there is no file"):
        load_settings()


def test_the_password_is_not_shown_and_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMANCAY_MONGO_URL", "mongodb://user:hush@db/")
    settings = load_settings()
    assert "hush" not in repr(settings)
    assert "hush" not in settings.model_dump_json()
    with pytest.raises(ValidationError):
        settings.__setattr__("port", 1)


@pytest.mark.parametrize("model", [Settings, IdentitySettings, WorkerSettings, Limits])
def test_every_setting_is_described(model: type[BaseModel]) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description] == []
