"""The store itself: preparing it, and losing it."""

import asyncio
import time

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from amancay_storage import client as module
from amancay_storage.client import Store
from amancay_storage.errors import Conflict, StoreUnavailable
from tests.storage.scene import assert_balance, grant, queued

pytestmark = pytest.mark.anyio


async def test_preparing_again_changes_nothing(mongo_url: str, database_name: str) -> None:
    """Goal: every process may prepare. Method: four at once on a new database, and again under data."""
    async with Store.open(mongo_url, database_name) as store:
        await asyncio.gather(*(store.prepare() for _ in range(4)))
        await grant(store)
        await queued(store)
        await store.prepare()
        await store.ping()
        await assert_balance(store, reserved=1)


async def test_a_newer_schema_is_left_alone(store: Store, mongo_url: str, database_name: str) -> None:
    """Goal: old software does not touch a newer database. Method: a version from the future."""
    client: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(mongo_url)
    await client[database_name]["meta"].update_one({"_id": "schema"}, {"$set": {"version": 99}})
    client.close()
    with pytest.raises(Conflict, match="99"):
        await store.prepare()


async def test_a_database_that_is_away_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: one error, soon, without the driver's text. Method: a port where nothing listens."""
    monkeypatch.setattr(module, "SELECTION_MILLISECONDS", 200)
    async with Store.open("mongodb://127.0.0.1:1/?replicaSet=rs0") as store:
        began = time.monotonic()
        for call in (store.ping(), store.users.get("ana"), store.executions.claim("worker", 1)):
            with pytest.raises(StoreUnavailable, match="cannot be reached"):
                await call
        assert time.monotonic() - began < 5
