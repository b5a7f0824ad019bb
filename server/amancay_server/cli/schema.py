"""`amancay schema`."""

from pathlib import Path
from typing import Annotated

import typer

from amancay_server.cli.options import fail

app = typer.Typer(help="The GraphQL schema.", no_args_is_help=True)


@app.callback()
def schema() -> None:
    """The GraphQL schema."""


@app.command()
def export(
    out: Annotated[Path | None, typer.Option(help="Write it to this file instead of printing it.")] = None,
    check: Annotated[Path | None, typer.Option(help="Only say whether this file is up to date; exit 1 if not.")] = None,
) -> None:
    """Print the schema as the code has it."""
    # Here, since the DP libraries take seconds to load, and `--help` needs none of them.
    from amancay_server.app import make_schema  # noqa: PLC0415

    text = make_schema().as_str() + "\n"
    if check is not None:
        if not check.is_file() or check.read_text(encoding="utf-8") != text:
            fail(f"{check} is not what the code says: run `make schema`.")
    elif out is not None:
        out.write_text(text, encoding="utf-8")
    else:
        typer.echo(text, nl=False)
