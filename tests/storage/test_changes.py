"""The change stream: what is visible, as it happens, and nothing else."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from amancay_storage.changes import Change, GrantChange, Resync
from amancay_storage.client import Store
from amancay_storage.errors import BudgetExceeded
from amancay_storage.execution import ExecutionRecord, Kind, Status
from amancay_storage.users import Role
from tests.storage.scene import ACCURACY, DONE, LEASE, LIMIT, MECHANISM, NOTHING, RELEASE, TENTH, grant, queued

pytestmark = pytest.mark.anyio


class Follower:
    """Reads the stream beside the test."""

    def __init__(self, store: Store) -> None:
        self.seen: list[Change] = []
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._read(store))

    async def _read(self, store: Store) -> None:
        async for change in store.changes.stream():
            self.seen.append(change)
            self._news.set()

    async def until(self, wanted: Change, *, times: int = 1) -> list[Change]:
        """Everything seen, once `wanted` has been, so many times."""
        async with asyncio.timeout(10):
            while self.seen.count(wanted) < times:
                self._news.clear()
                await self._news.wait()
        return self.seen

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def follower(store: Store) -> AsyncIterator[Follower]:
    started = Follower(store)
    await started.until(Resync())
    yield started
    await started.stop()


async def test_visible_changes_only(store: Store, follower: Follower) -> None:
    """Goal: what is hidden stays hidden. Method: a whole life; the seal, the heartbeat and the lease are not seen."""
    await grant(store)
    waiting = await queued(store)
    await store.executions.claim("worker", LEASE)
    await store.executions.mark_opened(waiting.id, 1, (ACCURACY,), (MECHANISM,))
    await store.executions.report(waiting.id, 1, 0.5, "Reading the data")
    before = await store.executions.get(waiting.id)
    assert before is not None
    await follower.until(before)
    count = len(follower.seen)
    assert await store.executions.heartbeat(waiting.id, 1, LEASE)
    assert await store.executions.seal(waiting.id, 1, DONE, RELEASE)
    await store.users.ensure("ana", None, Role.RESEARCHER, actor="admin")
    await asyncio.sleep(0.3)
    assert len(follower.seen) == count
    shown = await store.executions.settle(waiting.id)
    seen = await follower.until(shown)
    revisions = [change.revision for change in seen if isinstance(change, ExecutionRecord)]
    assert revisions == sorted(revisions)
    assert {change.id for change in seen if isinstance(change, ExecutionRecord)} == {waiting.id}
    grants = [change for change in seen if isinstance(change, GrantChange)]
    assert {(change.user, change.dataset, change.balance.limit) for change in grants} == {("ana", "census", LIMIT)}
    assert (grants[-1].balance.spent, grants[-1].balance.reserved) == (TENTH, NOTHING)
    assert seen.count(Resync()) == 1


async def test_a_refused_submission_is_never_seen(store: Store, follower: Follower) -> None:
    """Goal: no trace of what was refused. Method: a cancelled dummy run after it marks the place."""
    await grant(store, NOTHING)
    with pytest.raises(BudgetExceeded):
        await queued(store)
    marker = await queued(store, kind=Kind.DUMMY)
    ended = await store.executions.cancel(marker.id, "ana")
    seen = await follower.until(ended)
    assert {change.id for change in seen if isinstance(change, ExecutionRecord)} == {marker.id}
    assert ended.status is Status.CANCELLED


async def test_it_says_when_changes_may_have_been_missed(
    store: Store, follower: Follower, mongo_url: str, database_name: str
) -> None:
    """Goal: nobody waits for ever for what was missed. Method: drop the database under the stream."""
    client: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(mongo_url)
    await client.drop_database(database_name)
    client.close()
    await follower.until(Resync(), times=2)
    await store.prepare()
    waiting = await queued(store, kind=Kind.DUMMY)
    await follower.until(waiting)
