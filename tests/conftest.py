"""Fixtures that every room's tests share: a real mongod, and a fresh database per test."""

import os
import secrets
from collections.abc import AsyncIterator, Iterator

import pytest
from pymongo import MongoClient

from amancay_server.embedded_mongo import EmbeddedMongo
from amancay_storage.client import Store
from tests.running import RunningServer, demo, serving


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Motor and the server run on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def mongo_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A replica set: `AMANCAY_TEST_MONGO_URL`, or an embedded one that all pytest-xdist workers share."""
    named = os.environ.get("AMANCAY_TEST_MONGO_URL")
    if named:
        yield named
        return
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    with EmbeddedMongo.at(shared / "mongod") as mongo:
        yield mongo.url


@pytest.fixture
def database_name(mongo_url: str) -> Iterator[str]:
    """The name of a database of the test's own, dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    yield name
    with MongoClient[dict[str, object]](mongo_url) as client:
        client.drop_database(name)


@pytest.fixture
async def store(mongo_url: str, database_name: str) -> AsyncIterator[Store]:
    """An empty, prepared store over a database of the test's own."""
    async with Store.open(mongo_url, database_name) as opened:
        await opened.prepare()
        yield opened


@pytest.fixture(scope="session")
def server(mongo_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """`amancay serve` over an empty database, with the release grid off so that tests need not wait for it."""
    database = f"test_{secrets.token_hex(6)}"
    with serving(
        tmp_path_factory.mktemp("server"), mongo_url, database, AMANCAY_WORKERS__RELEASE_GRID_SECONDS="0"
    ) as running:
        yield running
    with MongoClient[dict[str, object]](mongo_url) as client:
        client.drop_database(database)


@pytest.fixture(scope="session")
def demo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """`amancay demo` with its data and users."""
    with demo(tmp_path_factory.mktemp("demo")) as running:
        yield running
