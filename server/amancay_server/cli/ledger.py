"""`amancay ledger`."""

import asyncio

import typer

from amancay_server.cli.options import DEFAULT_DATA_DIR, DataDir, fail, mongo_url, settings_or_fail
from amancay_storage.client import Store
from amancay_storage.errors import StoreUnavailable

app = typer.Typer(help="The ledger of privacy budgets.", no_args_is_help=True)


@app.callback()
def ledger() -> None:
    """The ledger of privacy budgets."""


@app.command()
def check(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Check every invariant of the ledger: exit 0 if all hold, else 1 and which do not.

    Works while the server runs, when only the store is up, and on a demo that has ended. Changes nothing.
    """
    settings = settings_or_fail(data_dir=data_dir)
    if settings.mongo_url is None and not data_dir.is_dir():
        fail(f"There is no store in {data_dir}: name its directory with --data-dir, or set AMANCAY_MONGO_URL.")
    with mongo_url(settings) as url:
        try:
            violated = asyncio.run(_check(url, settings.database))
        except StoreUnavailable:
            fail("The store cannot be reached.")
    for violation in violated:
        typer.echo(violation)
    if violated:
        raise typer.Exit(1)
    typer.echo("Every invariant of the ledger holds.")


async def _check(url: str, database: str) -> list[str]:
    async with Store.open(url, database) as store:
        return await store.ledger.check()
