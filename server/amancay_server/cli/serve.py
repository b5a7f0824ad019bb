"""`amancay serve`."""

import asyncio
import logging
from typing import Annotated

import typer

from amancay_server.cli.options import fail, mongo_url, settings_or_fail
from amancay_server.serving import PortTaken, listen, serve

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def serve_command(
    host: Annotated[str | None, typer.Option(help="Address to listen on; else AMANCAY_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, 0 for a free one; else AMANCAY_PORT.")] = None,
) -> None:
    """Serve, with settings from the environment (AMANCAY_...) and the file that AMANCAY_SETTINGS names.

    Needs whose tokens to believe: AMANCAY_IDENTITY__ISSUER, AMANCAY_IDENTITY__AUDIENCE and
    AMANCAY_IDENTITY__JWKS_FILE. Without AMANCAY_MONGO_URL a MongoDB of its own is started in the data directory.
    """
    # Here, since the DP libraries take seconds to load, and `--help` needs none of them.
    from amancay_server.app import Process  # noqa: PLC0415

    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = settings_or_fail(**given)
    if settings.identity.issuer is None or settings.identity.jwks_file is None:
        fail("Say whose tokens to believe: set AMANCAY_IDENTITY__ISSUER and AMANCAY_IDENTITY__JWKS_FILE.")
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    with mongo_url(settings) as url:
        try:
            listener = listen(settings.host, settings.port)
        except PortTaken as error:
            fail(str(error))
        try:
            came_up = asyncio.run(serve(Process(settings, url).app(), listener, _stay))
        except KeyboardInterrupt:
            return
    if not came_up:
        fail("The server did not come up; the log above says why.")


async def _stay(_url: str) -> bool:
    return True
