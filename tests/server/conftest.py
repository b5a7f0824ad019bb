"""A real server on a socket of its own, for tests of what stands between the network and the resolvers."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import uvicorn
from starlette.types import ASGIApp

START_SECONDS = 10.0


@contextmanager
def _served(app: ASGIApp) -> Iterator[str]:
    server = uvicorn.Server(
        uvicorn.Config(
            app, port=0, log_config=None, ws="websockets-sansio", lifespan="off", timeout_graceful_shutdown=2
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"127.0.0.1:{_port(server)}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def serve() -> Callable[[ASGIApp], AbstractContextManager[str]]:
    """Serves an application while a block runs; gives `host:port`."""
    return _served


def _port(server: uvicorn.Server) -> int:
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(server.servers[0].sockets[0].getsockname()[1])
