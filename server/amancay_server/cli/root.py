"""`amancay` and its commands."""

import typer

from amancay_server.cli import demo, ledger, schema, serve, token

app = typer.Typer(
    name="amancay",
    help="Answers questions about sensitive tables with differential privacy, paid for from a budget.\n\n"
    "New here? Run `amancay demo`: it brings a database, data, users and a tour.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command("demo")(demo.demo)
app.command("serve")(serve.serve_command)
app.command("token")(token.token)
app.add_typer(ledger.app, name="ledger")
app.add_typer(schema.app, name="schema")


def main() -> None:
    """The console script."""
    app()
