"""Followers see the present state, then the latest one; nothing is lost, nothing piles up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

import amancay_server.live
from amancay_engine.privacy import NOTHING, PrivacyLoss
from amancay_engine.query import Library
from amancay_resolvers.context import Live
from amancay_schema.errors import ApiError
from amancay_server.live import Hub, Mailbox
from amancay_storage.account import Balance
from amancay_storage.changes import Change, GrantChange, Resync
from amancay_storage.client import Store
from amancay_storage.errors import StoreUnavailable
from amancay_storage.execution import ExecutionRecord, Kind, Status

pytestmark = pytest.mark.anyio

FIRST = ExecutionRecord(
    id="e1",
    user="mara",
    dataset="census",
    dataset_version=1,
    kind=Kind.PRIVATE,
    library=Library.SMARTNOISE_SQL,
    query={},
    status=Status.QUEUED,
    fraction=0.0,
    stage_text="",
    revision=1,
    cost=NOTHING,
    charged=NOTHING,
    submitted_at=datetime(2026, 1, 1, tzinfo=UTC),
    started_at=None,
    finished_at=None,
    code=None,
    accuracy=(),
    has_result=False,
    attempt=0,
    opened=False,
    dummy_rows=None,
    dummy_seed=None,
)


def at(revision: int, id: str = "e1") -> ExecutionRecord:
    return replace(FIRST, id=id, revision=revision)


def spent(epsilon: int) -> Balance:
    return Balance(
        limit=PrivacyLoss.limit_down(epsilon=10, delta=0),
        spent=PrivacyLoss.charge_up(epsilon=epsilon, delta=0),
        reserved=NOTHING,
    )


class Feed:
    """A stream of changes that the test pushes."""

    def __init__(self) -> None:
        self._changes: asyncio.Queue[Change] = asyncio.Queue()
        self.closed = False

    async def stream(self) -> AsyncIterator[Change]:
        try:
            while True:
                yield await self._changes.get()
                self._changes.task_done()
        finally:
            self.closed = True

    async def push(self, *changes: Change) -> None:
        """Returns when the hub has taken them all."""
        for change in changes:
            self._changes.put_nowait(change)
        await self._changes.join()


@asynccontextmanager
async def running(hub: Hub, feed: Feed) -> AsyncIterator[asyncio.Event]:
    stop = asyncio.Event()
    task = asyncio.create_task(hub.follow(feed.stream(), stop))
    try:
        yield stop
    finally:
        stop.set()
        await task


async def soon(mailbox: Mailbox[ExecutionRecord]) -> int | None:
    record = await asyncio.wait_for(anext(mailbox), 5)
    return None if record is None else record.revision


async def silent(mailbox: Mailbox[ExecutionRecord]) -> bool:
    waiting = asyncio.ensure_future(anext(mailbox))
    await asyncio.wait({waiting}, timeout=0.05)
    waiting.cancel()
    return not waiting.done()


async def rest(mailbox: Mailbox[ExecutionRecord]) -> list[int | None]:
    async with asyncio.timeout(5):
        return [None if record is None else record.revision async for record in mailbox]


async def test_changes_reach_their_followers_only() -> None:
    hub, feed = Hub(), Feed()
    async with running(hub, feed), hub.execution("e1") as mailbox, hub.execution("e1") as another:
        assert await silent(mailbox)
        await feed.push(at(4), at(9, "e2"))
        assert [await soon(mailbox), await soon(another)] == [4, 4]
        assert await silent(mailbox)


async def test_a_slow_follower_gets_the_latest_only() -> None:
    hub, feed = Hub(), Feed()
    async with running(hub, feed), hub.execution("e1") as mailbox:
        await feed.push(*(at(revision) for revision in range(1, 1000)))
        assert await soon(mailbox) == 999
        assert await silent(mailbox)


async def test_states_told_already_are_dropped() -> None:
    """Goal: no step back. Method: changes repeated and out of order."""
    hub, feed = Hub(), Feed()
    async with running(hub, feed), hub.execution("e1") as mailbox:
        await feed.push(at(5))
        assert await soon(mailbox) == 5
        await feed.push(at(4), at(5))
        assert await silent(mailbox)
        await feed.push(at(7), at(6))
        assert await soon(mailbox) == 7
        assert await silent(mailbox)


async def test_after_a_gap_followers_are_told_to_look_again() -> None:
    hub, feed = Hub(), Feed()
    async with running(hub, feed), hub.execution("e1") as mailbox:
        await feed.push(at(2), Resync(), Resync(), at(3))
        assert [await soon(mailbox), await soon(mailbox)] == [None, 3]
        assert await silent(mailbox)


async def test_grants_are_followed_by_user_and_dataset() -> None:
    hub, feed = Hub(), Feed()
    async with running(hub, feed), hub.grant("mara", "census") as mailbox:
        for user, dataset, epsilon in (("mara", "visits", 2), ("otto", "census", 3), ("mara", "census", 4)):
            await feed.push(GrantChange(user=user, dataset=dataset, balance=spent(epsilon)))
        told = GrantChange(user="mara", dataset="census", balance=spent(4))
        assert await asyncio.wait_for(anext(mailbox), 5) == told
        await feed.push(told, GrantChange(user="mara", dataset="census", balance=spent(5)))
        later = await asyncio.wait_for(anext(mailbox), 5)
        assert later is not None
        assert later.balance == spent(5)


async def test_a_stopping_hub_ends_its_mailboxes() -> None:
    hub, feed = Hub(), Feed()
    async with running(hub, feed) as stop, hub.execution("e1") as mailbox:
        await feed.push(at(2))
        stop.set()
        assert await rest(mailbox) == [2]
        assert await rest(mailbox) == []
    assert feed.closed
    async with hub.execution("e1") as late:
        assert await rest(late) == []


async def test_followers_survive_a_broken_stream() -> None:
    """Goal: a stream that breaks loses nothing. Method: it breaks, and is followed again from a Resync on."""
    hub, feed = Hub(), Feed()

    async def broken() -> AsyncIterator[Change]:
        yield at(2)
        raise StoreUnavailable("gone")

    async with hub.execution("e1") as mailbox:
        with pytest.raises(StoreUnavailable):
            await hub.follow(broken(), asyncio.Event())
        assert await soon(mailbox) == 2
        assert await silent(mailbox)
        async with running(hub, feed):
            await feed.push(Resync(), at(4))
            assert [await soon(mailbox), await soon(mailbox)] == [None, 4]


async def test_a_cancelled_hub_ends_its_mailboxes() -> None:
    hub, feed = Hub(), Feed()
    task = asyncio.create_task(hub.follow(feed.stream(), asyncio.Event()))
    async with hub.execution("e1") as mailbox:
        await feed.push(at(1))
        task.cancel()
        assert await rest(mailbox) == [1]
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_followers_are_bounded_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amancay_server.live, "MAX_FOLLOWERS", 2)
    hub, feed = Hub(), Feed()
    async with running(hub, feed):
        async with hub.execution("e1"), hub.execution("e1"):
            with pytest.raises(ApiError) as refused:
                await hub.execution("e2").__aenter__()
            assert refused.value.extensions == {"code": "LIMIT_EXCEEDED", "limit": "maxFollowers"}
        async with hub.execution("e2") as mailbox:
            await feed.push(at(1, "e2"))
            assert await soon(mailbox) == 1
    assert hub._all() == []


async def test_a_thousand_followers_hear_of_one_change() -> None:
    hub, feed = Hub(), Feed()

    async def follow(started: asyncio.Semaphore) -> int | None:
        async with hub.execution("e1") as mailbox:
            started.release()
            return await soon(mailbox)

    started = asyncio.Semaphore(0)
    async with running(hub, feed):
        tasks = [asyncio.create_task(follow(started)) for _ in range(1000)]
        for _ in tasks:
            await started.acquire()
        await feed.push(at(2))
        assert set(await asyncio.gather(*tasks)) == {2}


async def test_balances_of_a_real_store_are_followed(store: Store) -> None:
    """Goal: stream and hub fit together. Method: reserve and commit against a real ledger."""
    hub, stop = Hub(), asyncio.Event()
    one = PrivacyLoss.charge_up(epsilon=1, delta=0)
    await store.ledger.set_cap("census", one * 10, actor="admin")
    await store.ledger.set_grant("mara", "census", one * 5, actor="admin")
    task = asyncio.create_task(hub.run(store, stop))
    async with asyncio.timeout(10), hub.grant("mara", "census") as mailbox:
        assert await anext(mailbox) is None  # the stream stands
        await store.ledger.reserve("r1", "mara", "census", one)
        reserved = await anext(mailbox)
        assert reserved is not None
        assert (reserved.balance.reserved, reserved.balance.spent) == (one, NOTHING)
        await store.ledger.commit("r1", "mara", "census", one, mechanisms=())
        committed = await anext(mailbox)
        assert committed is not None
        assert (committed.balance.reserved, committed.balance.spent) == (NOTHING, one)
    stop.set()
    await task


async def test_the_hub_is_what_resolvers_follow() -> None:
    hub, feed = Hub(), Feed()
    live: Live = hub
    async with running(hub, feed), live.execution("e1") as changes:
        await feed.push(Resync())
        assert await anext(changes) is None
