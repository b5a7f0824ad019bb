"""The database itself is killed: what was acknowledged is there, and everything goes on by itself."""

import asyncio
import json
import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from amancay_server.embedded_mongo import EmbeddedMongo
from amancay_storage.client import Store
from amancay_storage.errors import StoreUnavailable
from amancay_storage.execution import ExecutionRecord
from amancay_storage.sweeper import sweep
from tests.storage.scene import TENTH, assert_balance, balances, grant, submission

pytestmark = [pytest.mark.anyio, pytest.mark.crash]


async def _submit_until(store: Store, stop: asyncio.Event) -> list[ExecutionRecord]:
    accepted = []
    while not stop.is_set():
        try:
            accepted.append((await store.executions.submit(submission()))[0])
        except StoreUnavailable:
            await asyncio.sleep(0.05)
    return accepted


async def _follow(store: Store, seen: set[str]) -> None:
    async for change in store.changes.stream():
        if isinstance(change, ExecutionRecord):
            seen.add(change.id)


async def test_kill_9_of_mongod_loses_nothing(tmp_path: Path) -> None:
    """Goal: acknowledged is durable, and streams resume. Method: kill mongod under submissions, start it again."""
    with EmbeddedMongo.at(tmp_path) as mongo:
        async with Store.open(mongo.url) as store:
            await store.prepare()
            await grant(store, TENTH * 10_000)
            seen: set[str] = set()
            stop = asyncio.Event()
            following = asyncio.create_task(_follow(store, seen))
            submitting = asyncio.gather(*(_submit_until(store, stop) for _ in range(2)))
            await asyncio.sleep(0.15)
            os.kill(json.loads((tmp_path / "mongo.state").read_text())["pid"], signal.SIGKILL)
            with ExitStack() as stack:
                again = await asyncio.to_thread(stack.enter_context, EmbeddedMongo.at(tmp_path))
                assert again.url == mongo.url
                await asyncio.sleep(0.3)
                stop.set()
                accepted = {record.id for records in await submitting for record in records}
                for accepted_id in accepted:
                    assert await store.executions.get(accepted_id) is not None
                await sweep(store, grace_seconds=0)
                queued = (await balances(store))[0].reserved.epsilon_nano // TENTH.epsilon_nano
                await assert_balance(store, reserved=queued)
                assert len(accepted) <= queued
                async with asyncio.timeout(20):
                    while not accepted <= seen:  # noqa: ASYNC110 - the stream has no event for "all of these"
                        await asyncio.sleep(0.05)
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
