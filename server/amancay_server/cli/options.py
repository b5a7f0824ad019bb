"""Options that several commands share, and how they end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from amancay_server.embedded_mongo import EmbeddedMongo, EmbeddedMongoUnavailable
from amancay_server.settings import InvalidSettings, Settings, load_settings

DataDir = Annotated[
    Path, typer.Option("--data-dir", help="Where the demo keeps its database, tables and keys.", show_default=True)
]
DEFAULT_DATA_DIR = Path(".amancay")


def fail(message: str) -> NoReturn:
    """Ends the command with a message and exit code 1."""
    typer.echo(message, err=True)
    raise typer.Exit(1)


def settings_or_fail(**given: object) -> Settings:
    """The settings, or an end that says what is wrong with them."""
    try:
        return load_settings(**given)
    except InvalidSettings as error:
        fail(f"The settings cannot be used:\n{error}")


@contextmanager
def mongo_url(settings: Settings) -> Iterator[str]:
    """The store's address: from the settings, else of an embedded mongod in the data directory."""
    if settings.mongo_url is not None:
        yield settings.mongo_url.get_secret_value()
        return
    try:
        embedded = EmbeddedMongo.at(settings.data_dir)
        embedded.__enter__()
    except EmbeddedMongoUnavailable as error:
        fail(str(error))
    try:
        yield embedded.url
    finally:
        embedded.__exit__(None, None, None)
