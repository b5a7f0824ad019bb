"""uvicorn around the application: one listening socket, one readiness line, a clean end."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

import uvicorn
from starlette.applications import Starlette

GRAPHQL_PATH = "/graphql"
WS_MAX_BYTES = 1 << 20
SHUTDOWN_SECONDS = 10


class PortTaken(Exception):
    """Somebody listens there already."""


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one.

    Raises:
        PortTaken: if it cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio does not turn Nagle's algorithm off and every answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortTaken(f"cannot listen on {host} port {port}: {error.strerror}; choose another with --port") from None
    return listener


def url_of(listener: socket.socket) -> str:
    """The address of the GraphQL endpoint behind a socket."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{GRAPHQL_PATH}"


class _Server(uvicorn.Server):
    """Says when requests are answered."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


async def serve(app: Starlette, listener: socket.socket, meanwhile: Callable[[str], Awaitable[bool]]) -> bool:
    """Serves until a signal comes, or `meanwhile(url)`, begun once requests are answered, returns False.

    Returns whether the server came up. What `meanwhile` raises is raised again, after a clean end.
    """
    server = _Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="websockets-sansio",
            ws_max_size=WS_MAX_BYTES,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    up = asyncio.create_task(server.up.wait())
    await asyncio.wait((serving, up), return_when=asyncio.FIRST_COMPLETED)
    up.cancel()
    if not server.started:
        await serving
        return False
    beside = asyncio.create_task(_beside(server, meanwhile, url_of(listener)))
    await serving
    if not beside.done():
        beside.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await beside
    return True


async def _beside(server: uvicorn.Server, meanwhile: Callable[[str], Awaitable[bool]], url: str) -> None:
    print(f"ready {url}", flush=True)  # noqa: T201 - the readiness line is part of the command line's contract
    stay = False
    try:
        stay = await meanwhile(url)
    finally:
        if not stay:
            server.should_exit = True
