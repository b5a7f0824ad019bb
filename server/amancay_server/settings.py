"""What an operator may choose: from the environment (`AMANCAY_...`), else a TOML file, else the default.

The TOML file, usually `amancay.toml`, is the one that `AMANCAY_SETTINGS` names. Parts are reached from the
environment with two underscores: `AMANCAY_WORKERS__SLOTS=4` is `slots` in the table `[workers]`.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from amancay_server.limits import Limits

PREFIX = "AMANCAY_"
FILE_VARIABLE = "AMANCAY_SETTINGS"


class InvalidSettings(Exception):
    """The settings cannot be used; the message names each wrong variable and what is allowed, no value."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class IdentitySettings(_Part):
    """Whose tokens are believed."""

    issuer: str | None = Field(
        default=None,
        min_length=1,
        max_length=500,
        description="the `iss` of access tokens, exactly as they carry it",
    )
    audience: str = Field(
        default="amancay", min_length=1, max_length=500, description="the `aud` that a token must be made for"
    )
    algorithm: Literal["RS256", "ES256"] = Field(default="RS256", description="the one signature algorithm accepted")
    jwks_file: Path | None = Field(default=None, description="file with the issuer's public keys, a JSON Web Key Set")


class WorkerSettings(_Part):
    """How queries are run."""

    slots: int = Field(default=2, ge=0, le=256, description="queries run at a time beside the server; 0 runs none here")
    query_timeout_seconds: float = Field(default=60.0, gt=0, le=86_400, description="time a query may take")
    query_memory_bytes: int = Field(
        default=4 << 30, ge=2 << 30, le=1 << 42, description="address space a query's process may take"
    )
    release_grid_seconds: float = Field(
        default=0.5, ge=0, le=60, description="results become visible at multiples of this; 0 turns that off"
    )
    lease_seconds: float = Field(
        default=5.0, ge=1, le=3600, description="how long a claimed execution waits for a sign of life"
    )
    sweep_seconds: float = Field(
        default=5.0, ge=0.1, le=3600, description="time between two sweeps after what a crash left behind"
    )


def _from_commas(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class Settings(BaseSettings):
    """Everything the server lets its operator choose."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", allow_inf_nan=False
    )

    mongo_url: SecretStr | None = Field(
        default=None,
        description="mongodb:// or mongodb+srv:// address of the admin store; none starts one in data_dir",
    )
    database: str = Field(
        default="amancay", pattern=r"^[A-Za-z0-9_-]{1,38}$", description="name of the MongoDB database"
    )
    host: str = Field(default="127.0.0.1", min_length=1, max_length=255, description="address to listen on")
    port: int = Field(default=8000, ge=0, le=65_535, description="TCP port to listen on; 0 takes a free one")
    download_secret: SecretStr | None = Field(
        default=None,
        description="signs download paths; server processes that share a store share it, none makes one up",
    )
    data_dir: Path = Field(default=Path(".amancay"), description="directory for the demo's data, keys and database")
    data_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(), description="directories that file datasets may lie in, separated by commas"
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="other origins whose pages may open a WebSocket, separated by commas"
    )
    identity: IdentitySettings = Field(default=IdentitySettings(), description="whose tokens are believed")
    workers: WorkerSettings = Field(default=WorkerSettings(), description="how queries are run")
    limits: Limits = Field(default=Limits(), description="bounds of one request")

    _commas = field_validator("data_roots", "allowed_origins", mode="before")(_from_commas)

    @field_validator("mongo_url")
    @classmethod
    def _mongo_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError("must start with mongodb:// or mongodb+srv://")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the library names the arguments)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the library names the arguments)
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given outright, then the environment, then the file."""
        file = os.environ.get(FILE_VARIABLE)
        toml = (TomlConfigSettingsSource(settings_cls, toml_file=Path(file)),) if file else ()
        return (init_settings, env_settings, *toml)


def load_settings(**given: Any) -> Settings:
    """Reads the settings; `given` wins over environment and file.

    Raises:
        InvalidSettings: with one line for everything that is wrong.
    """
    file = os.environ.get(FILE_VARIABLE)
    if file and not Path(file).is_file():
        raise InvalidSettings(f"{FILE_VARIABLE}: there is no file {file}")
    try:
        return Settings(**given)
    except ValidationError as error:
        raise InvalidSettings("\n".join(_complaints(error))) from None
    except (SettingsError, ValueError) as error:
        raise InvalidSettings(_unreadable(error)) from None


def _complaints(error: ValidationError) -> list[str]:
    return [
        f"{_variable(detail['loc'])}: {detail['msg'].removeprefix('Value error, ')}{_allowed(detail['loc'])}"
        for detail in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _variable(location: tuple[int | str, ...]) -> str:
    return PREFIX + "__".join(str(part) for part in location if isinstance(part, str)).upper()


def _allowed(location: tuple[int | str, ...]) -> str:
    """What the field at `location` is for, in brackets, or the names known there."""
    model: type[BaseModel] = Settings
    description = ""
    for part in location:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        if field is None:
            return f" (known: {', '.join(sorted(model.model_fields))})"
        description = field.description or ""
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    return f" ({description})"


def _unreadable(error: Exception) -> str:
    """For what is no value at all: broken TOML, or a table from the environment that is not JSON."""
    if isinstance(error, SettingsError):
        named = next((name for name in Settings.model_fields if f'"{name}"' in str(error)), "")
        variable = PREFIX + named.upper()
        return f"{variable}: expected a JSON object; single values are set as {variable}__NAME"
    return f"{FILE_VARIABLE}: the file is not valid TOML: {error}"
