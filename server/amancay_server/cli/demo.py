"""`amancay demo`."""

import asyncio
import logging
from typing import Annotated

import typer

from amancay_server.cli.options import DEFAULT_DATA_DIR, DataDir, fail, mongo_url, settings_or_fail
from amancay_server.demo.issuer import Issuer
from amancay_server.serving import PortTaken, listen, serve

WARNING = (
    "This is a demo: its tokens are signed with a throw-away key in its data directory, and whoever can read that\n"
    "directory can be anybody. Never put real data behind it."
)


def demo(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one and prints it.")] = 8000,
    once: Annotated[bool, typer.Option("--once", help="End after the tour, with exit code 0.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    with_tour: Annotated[bool, typer.Option("--tour/--no-tour", help="Whether to show the tour.")] = True,
) -> None:
    """Run a whole Amancay with demo data and users, and show a short tour of it.

    Starts a MongoDB of its own unless AMANCAY_MONGO_URL names one, makes the tables at the first run (two million
    rows among them), serves on 127.0.0.1 and stays up until Ctrl-C. When it is ready it says so in one line:
    `ready http://127.0.0.1:PORT/graphql`.
    """
    # Here, since the DP libraries take seconds to load, and `--help` and `token` need none of them.
    from amancay_server.app import Process  # noqa: PLC0415
    from amancay_server.demo.data import make_data  # noqa: PLC0415
    from amancay_server.demo.setup import set_up  # noqa: PLC0415
    from amancay_server.demo.tour import tour  # noqa: PLC0415

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    typer.secho(WARNING, fg=typer.colors.YELLOW, err=True)
    issuer = Issuer(data_dir)
    settings = settings_or_fail(data_dir=data_dir, host="127.0.0.1", port=port, identity=issuer.identity)
    try:
        listener = listen(settings.host, settings.port)
    except PortTaken as error:
        fail(str(error))
    make_data(data_dir)

    async def meanwhile(url: str) -> bool:
        if with_tour:
            await asyncio.to_thread(tour, url, issuer.token("researcher"))
        if not once:
            typer.echo(
                f"\nUp until Ctrl-C. A token for your own questions:  amancay token researcher --data-dir {data_dir}"
            )
        return not once

    with mongo_url(settings) as store_url:
        asyncio.run(set_up(store_url, settings.database, data_dir))
        try:
            came_up = asyncio.run(serve(Process(settings, store_url).app(), listener, meanwhile))
        except KeyboardInterrupt:
            typer.echo("Stopped.")
            return
    if not came_up:
        fail("The server did not come up; the messages above say why.")
