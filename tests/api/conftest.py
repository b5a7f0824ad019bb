"""A scene of its own for every test, on servers that all of them share."""

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient

from tests.api.scene import DOWNLOAD_SECRET, Scene, scene_on
from tests.running import RunningServer, serving


@pytest.fixture
async def scene(server: RunningServer, tmp_path: Path) -> AsyncIterator[Scene]:
    """On a server that answers."""
    async with scene_on(server, tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def idle_server(mongo_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server without a worker: what is queued stays queued."""
    database = f"test_{secrets.token_hex(6)}"
    settings = {"AMANCAY_WORKERS__SLOTS": "0", "AMANCAY_DOWNLOAD_SECRET": DOWNLOAD_SECRET}
    with serving(tmp_path_factory.mktemp("idle"), mongo_url, database, **settings) as running:
        yield running
    with MongoClient[dict[str, object]](mongo_url) as client:
        client.drop_database(database)


@pytest.fixture
async def idle_scene(idle_server: RunningServer, tmp_path: Path) -> AsyncIterator[Scene]:
    """On a server where nothing is ever run."""
    async with scene_on(idle_server, tmp_path) as made:
        yield made
