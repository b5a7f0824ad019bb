"""Cancelling: in every stage, also where the end is reached and not yet shown."""

import asyncio

import pytest

from amancay_storage.client import Store
from amancay_storage.errors import NotFound
from amancay_storage.execution import ExecutionRecord, Status
from tests.storage.scene import (
    DONE,
    FAILED,
    LEASE,
    NOTHING,
    RELEASE,
    TENTH,
    assert_balance,
    grant,
    opened,
    queued,
    running,
    sealed,
)

pytestmark = pytest.mark.anyio


async def test_cancel_while_it_waits(store: Store) -> None:
    """Goal: it ends at once and costs nothing. Method: cancel twice; nobody can claim it."""
    await grant(store)
    waiting = await queued(store)
    ended = await store.executions.cancel(waiting.id, "ana")
    assert (ended.status, ended.code, ended.charged) == (Status.CANCELLED, "CANCELLED", NOTHING)
    assert await store.executions.cancel(waiting.id, "ana") == ended
    assert await store.executions.claim("worker", LEASE) is None
    await assert_balance(store)


async def _cancel_and_settle(store: Store, record: ExecutionRecord) -> ExecutionRecord:
    asked = await store.executions.cancel(record.id, "ana")
    assert asked.status is Status.RUNNING
    assert not await store.executions.heartbeat(record.id, 1, LEASE)
    assert not await store.executions.report(record.id, 1, 0.9, "late")
    assert not await store.executions.mark_opened(record.id, 1, (), ())
    assert not await store.executions.seal(record.id, 1, DONE, RELEASE)
    ended = await store.executions.settle(record.id)
    assert ended.status is Status.CANCELLED
    assert not ended.has_result
    assert await store.executions.result(record.id) is None
    return ended


async def test_cancel_while_it_runs(store: Store) -> None:
    """Goal: what was read stays paid, what was not is given back. Method: cancel before and after opening."""
    await grant(store)
    assert (await _cancel_and_settle(store, await running(store))).charged == NOTHING
    await assert_balance(store)
    assert (await _cancel_and_settle(store, await opened(store))).charged == TENTH
    await assert_balance(store, spent=1)


async def test_cancel_after_it_was_sealed(store: Store) -> None:
    """Goal: a hidden success and a hidden failure cancel alike. Method: cancel both before they are shown."""
    await grant(store)
    done = await _cancel_and_settle(store, await sealed(store))
    failing = await opened(store)
    assert await store.executions.seal(failing.id, 1, FAILED, None)
    failed = await _cancel_and_settle(store, failing)
    assert (done.code, done.charged, done.revision) == (failed.code, failed.charged, failed.revision)
    await assert_balance(store, spent=2)


async def test_cancel_after_the_end_changes_nothing(store: Store) -> None:
    """Goal: an answer that was seen stays. Method: cancel what succeeded."""
    await grant(store)
    record = await sealed(store)
    shown = await store.executions.settle(record.id)
    assert await store.executions.cancel(record.id, "ana") == shown
    assert await store.executions.result(record.id) is not None


async def test_nobody_cancels_for_others(store: Store) -> None:
    """Goal: another's execution answers like none. Method: bea cancels ana's, and one that is not there."""
    await grant(store)
    waiting = await queued(store)
    for unknown in (waiting.id, "nothing"):
        with pytest.raises(NotFound, match="no such execution"):
            await store.executions.cancel(unknown, "bea")
    assert await store.executions.get(waiting.id) == waiting


async def test_racing_cancel_and_settle_agree(store: Store) -> None:
    """Goal: shown as succeeded has a result, shown as cancelled has none. Method: race them, six times."""
    await grant(store)
    for _ in range(6):
        record = await sealed(store)
        await asyncio.gather(store.executions.cancel(record.id, "ana"), store.executions.settle(record.id))
        ended = await store.executions.settle(record.id)
        assert (await store.executions.result(record.id) is not None) == (ended.status is Status.SUCCEEDED)
    await assert_balance(store, spent=6)
