"""Claims and runs against a real store, with children that do what the test needs."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import psutil
import pytest

from amancay_engine.metadata import parse_metadata
from amancay_engine.privacy import NOTHING, PrivacyLoss
from amancay_engine.query import Library
from amancay_engine.sources import FileFormat, FileSource
from amancay_storage.client import Store
from amancay_storage.executions import ExecutionRecord, Kind, Outcome, Status, Submission
from amancay_worker.claim import Claim, Pace
from amancay_worker.limits import Limits
from amancay_worker.loop import MAX_SLOTS, Worker, sweep_forever
from amancay_worker.supervisor import Supervisor

pytestmark = pytest.mark.anyio
LOSS = PrivacyLoss(epsilon_nano=10**8, delta_atto=10**12)
LIMIT = LOSS * 10
FAST = {"lease_seconds": 2.0, "release_grid_seconds": 0.0, "poll_seconds": 0.05, "drain_seconds": 5.0}
LIMITS = Limits(wall_seconds=5.0, cpu_seconds=5)


@pytest.fixture
async def ready(store: Store) -> Store:
    """A store with one dataset that ada may ask ten times."""
    await store.datasets.register(
        "people",
        description=None,
        metadata=parse_metadata({"columns": {"age": {"type": "integer", "lower": 0, "upper": 100}}}),
        source=FileSource(path="/nowhere/people.csv", format=FileFormat.CSV),
        libraries=(Library.SMARTNOISE_SQL,),
        actor="root",
    )
    await store.ledger.set_cap("people", LIMIT, actor="root")
    await store.ledger.set_grant("ada", "people", LIMIT, actor="root")
    return store


async def queue(store: Store, **changes: Any) -> str:
    """Queues one execution of ada's and gives its id."""
    execution = secrets.token_hex(8)
    submission = Submission(
        id=execution,
        user="ada",
        dataset="people",
        dataset_version=1,
        kind=Kind.PRIVATE,
        query={"library": "SMARTNOISE_SQL", "sql": "SELECT COUNT(*) AS n FROM df"},
        library=Library.SMARTNOISE_SQL,
        loss=LOSS,
        fingerprint=execution,
    )
    await store.executions.submit(replace(submission, **changes))
    return execution


async def read(store: Store, execution: str) -> ExecutionRecord:
    """The execution as it stands."""
    record = await store.executions.get(execution)
    assert record is not None
    return record


async def until(store: Store, execution: str, condition: Callable[[ExecutionRecord], bool]) -> ExecutionRecord:
    """Waits until the execution is as wanted."""
    async with asyncio.timeout(15):
        # What is waited for happens in a database.
        while not condition(record := await read(store, execution)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return record


def ended(record: ExecutionRecord) -> bool:
    """True once the world may see how it ended."""
    return record.status not in {Status.QUEUED, Status.RUNNING}


def opened(record: ExecutionRecord) -> bool:
    """True once it is paid for."""
    return record.opened


async def spent(store: Store) -> tuple[PrivacyLoss, PrivacyLoss]:
    """What ada has spent and reserved; every invariant of the ledger holds besides."""
    balance = await store.ledger.grant("ada", "people")
    assert balance is not None
    assert await store.ledger.check() == []
    return balance.spent, balance.reserved


@asynccontextmanager
async def supervising(entry: str, limits: Limits = LIMITS) -> AsyncIterator[Supervisor]:
    """A supervisor over one of the hostile entries."""
    async with Supervisor(entry=f"hostile:{entry}", limits=limits) as supervisor:
        yield supervisor


@asynccontextmanager
async def working(
    store: Store, entry: str, *, slots: int = 2, limits: Limits = LIMITS, **pace: float
) -> AsyncIterator[Worker]:
    """A worker that runs meanwhile."""
    stop = asyncio.Event()
    async with supervising(entry, limits) as supervisor:
        worker = Worker(store, supervisor, name="w", slots=slots, **pace)
        task = asyncio.create_task(worker.run(stop))
        try:
            yield worker
        finally:
            stop.set()
            await task


async def test_a_private_run_is_paid_for_and_shown(ready: Store) -> None:
    """Goal: the whole life. Method: the entry gives its job back, so the table shows what the child was told."""
    async with working(ready, "good"):
        record = await until(ready, await queue(ready), ended)
    result = await ready.executions.result(record.id)
    assert (record.status, record.charged, record.attempt) == (Status.SUCCEEDED, LOSS, 1)
    assert [entry.margin95 for entry in record.accuracy] == [3.0]
    assert result is not None
    assert b"/nowhere/people.csv" in result.table
    assert await spent(ready) == (LOSS, NOTHING)


async def test_a_dummy_run_costs_nothing_and_has_no_source(ready: Store) -> None:
    """Goal: made-up rows need neither budget, nor data, nor the grid."""
    started = time.monotonic()
    async with working(ready, "unattended", release_grid_seconds=10.0):
        record = await until(ready, await queue(ready, kind=Kind.DUMMY, dummy_rows=7, dummy_seed=3), ended)
    result = await ready.executions.result(record.id)
    assert (record.status, record.charged) == (Status.SUCCEEDED, NOTHING)
    assert result is not None
    assert b'"source": null, "dummy": {"rows": 7, "seed": 3}' in result.table
    assert time.monotonic() - started < 10
    assert await spent(ready) == (NOTHING, NOTHING)


@pytest.mark.parametrize(
    ("entry", "code", "paid"),
    [
        ("raise_early", "LIBRARY_ERROR", NOTHING),
        ("sleep_before_reading", "TIMEOUT", NOTHING),
        ("exit_three", "LIBRARY_ERROR", LOSS),
        ("sleep_after_opening", "TIMEOUT", LOSS),
    ],
)
async def test_a_failed_run_is_paid_for_once_opened(ready: Store, entry: str, code: str, paid: PrivacyLoss) -> None:
    """Goal: what has read is paid for, what has not is not; and it is never tried again."""
    async with working(ready, entry, limits=replace(LIMITS, wall_seconds=0.5)):
        record = await until(ready, await queue(ready), ended)
    assert (record.status, record.code, record.charged) == (Status.FAILED, code, paid)
    assert (record.attempt, record.has_result) == (1, False)
    assert await spent(ready) == (paid, NOTHING)


async def test_a_dataset_that_is_gone_fails_the_run_unpaid(ready: Store) -> None:
    """Goal: a fault of ours before opening ends the execution and costs nothing."""
    async with working(ready, "good"):
        record = await until(ready, await queue(ready, dataset_version=9), ended)
    assert (record.status, record.code, record.charged) == (Status.FAILED, "INTERNAL", NOTHING)


@pytest.mark.parametrize("entry", ["good", "exit_three", "linger"])
async def test_the_end_is_seen_on_the_grid_only(ready: Store, entry: str) -> None:
    """Goal: until the tick nothing tells that a run has ended. Method: look half a step after it has ended."""
    async with working(ready, entry, slots=1, release_grid_seconds=1.0):
        first, second = await queue(ready), await queue(ready)
        before = await until(ready, first, opened)
        seen_at = time.monotonic()
        await asyncio.sleep(0.5)
        during = await read(ready, first)
        balance = await ready.ledger.grant("ada", "people")
        assert (during.status, during.stage_text) == (Status.RUNNING, "Reading the data and adding noise")
        assert during.revision - before.revision <= 1
        assert balance is not None
        assert balance.spent == NOTHING
        assert (await read(ready, second)).status is Status.QUEUED
        await until(ready, first, ended)
        assert time.monotonic() - seen_at == pytest.approx(1.0, abs=0.25)
        await until(ready, second, ended)


async def test_a_cancelled_run_is_killed_at_once_and_stays_paid(ready: Store) -> None:
    """Goal: cancelling a run that has read frees the slot, not the budget."""
    async with working(ready, "sleep_after_opening", slots=1, limits=replace(LIMITS, wall_seconds=30.0)):
        execution = await queue(ready)
        await until(ready, execution, opened)
        started = time.monotonic()
        await ready.executions.cancel(execution, "ada")
        record = await until(ready, execution, ended)
        assert time.monotonic() - started < 15  # of the 30 seconds that it would have slept
    assert (record.status, record.charged) == (Status.CANCELLED, LOSS)
    assert await spent(ready) == (LOSS, NOTHING)


async def test_a_run_cancelled_before_it_reads_is_free(ready: Store) -> None:
    """Goal: cancelling while the query is still being vetted costs nothing."""
    async with working(ready, "sleep_before_reading", limits=replace(LIMITS, wall_seconds=30.0)):
        execution = await queue(ready)
        await until(ready, execution, lambda record: record.status is Status.RUNNING)
        await ready.executions.cancel(execution, "ada")
        record = await until(ready, execution, ended)
    assert (record.status, record.charged) == (Status.CANCELLED, NOTHING)
    assert await spent(ready) == (NOTHING, NOTHING)


async def test_a_run_cancelled_between_its_end_and_the_tick_shows_nothing(ready: Store) -> None:
    """Goal: a result that nobody has seen is not shown after a cancellation."""
    async with working(ready, "good", release_grid_seconds=1.5):
        execution = await queue(ready)
        await until(ready, execution, opened)
        await asyncio.sleep(0.5)
        await ready.executions.cancel(execution, "ada")
        record = await until(ready, execution, ended)
    assert (record.status, record.has_result, record.charged) == (Status.CANCELLED, False, LOSS)
    assert await ready.executions.result(execution) is None


async def test_a_claim_that_was_taken_over_shows_nothing(ready: Store) -> None:
    """Goal: the fence. Method: a claim whose lease has run out is carried out after somebody else's claim."""
    execution = await queue(ready)
    stale = await ready.executions.claim("slow", 0.01)
    await asyncio.sleep(0.05)
    fresh = await ready.executions.claim("quick", 30.0)
    assert stale is not None
    assert fresh is not None
    async with supervising("good") as supervisor:
        await Claim(ready, supervisor, Pace(lease=2.0, grid=0.0), stale).carry_out()
        assert (await read(ready, execution)).status is Status.RUNNING
        assert not (await read(ready, execution)).opened
        await Claim(ready, supervisor, Pace(lease=2.0, grid=0.0), fresh).carry_out()
    record = await read(ready, execution)
    assert (record.status, record.attempt) == (Status.SUCCEEDED, 2)
    assert await spent(ready) == (LOSS, NOTHING)


async def test_a_stopped_worker_lets_its_runs_end(ready: Store) -> None:
    """Goal: a stop claims nothing new and loses nothing that runs."""
    async with working(ready, "good", slots=1, release_grid_seconds=0.5):
        first, second = await queue(ready), await queue(ready)
        await until(ready, first, opened)
    assert (await read(ready, first)).status is Status.SUCCEEDED
    assert (await read(ready, second)).status is Status.QUEUED


async def test_what_a_stopped_worker_must_kill_is_taken_over(ready: Store) -> None:
    """Goal: after the time to drain the process is killed and the execution left to another worker, paid once."""
    async with working(ready, "sleep_after_opening", drain_seconds=0.1, lease_seconds=1.0):
        execution = await queue(ready)
        await until(ready, execution, opened)
    assert (await read(ready, execution)).status is Status.RUNNING
    assert not [child for child in psutil.Process().children() if "amancay_worker" in " ".join(child.cmdline())]
    async with working(ready, "good"):
        record = await until(ready, execution, ended)
    assert (record.status, record.attempt) == (Status.SUCCEEDED, 2)
    assert await spent(ready) == (LOSS, NOTHING)


async def test_no_more_runs_than_slots(ready: Store) -> None:
    """Goal: two slots run two; all are served in the end."""
    async with working(ready, "good", slots=2, release_grid_seconds=0.5):
        executions = [await queue(ready) for _ in range(5)]
        most = 0
        async with asyncio.timeout(15):
            records: list[ExecutionRecord] = []
            while not records or not all(map(ended, records)):
                records = [await read(ready, execution) for execution in executions]
                most = max(most, sum(record.status is Status.RUNNING for record in records))
    assert most == 2
    assert await spent(ready) == (LOSS * 5, NOTHING)


async def test_a_call_wakes_a_worker_that_would_have_slept(ready: Store) -> None:
    """Goal: what is queued in the same process starts at once."""
    async with working(ready, "good", poll_seconds=30.0) as worker:
        await asyncio.sleep(0.2)
        execution = await queue(ready)
        worker.notify()
        started = time.monotonic()
        await until(ready, execution, ended)
        assert time.monotonic() - started < 5


async def test_the_sweeper_shows_what_a_lost_worker_had_sealed(ready: Store) -> None:
    """Goal: a worker that dies between seal and settle loses nothing."""
    execution = await queue(ready)
    record = await ready.executions.claim("lost", 0.01)
    assert record is not None
    assert await ready.executions.mark_opened(execution, 1, (), ())
    assert await ready.executions.seal(execution, 1, Outcome(status=Status.FAILED, code="TIMEOUT"), None)
    stop = asyncio.Event()
    sweeping = asyncio.create_task(sweep_forever(ready, stop, 0.05))
    assert (await until(ready, execution, ended)).charged == LOSS
    stop.set()
    await sweeping


@pytest.mark.parametrize(("slots", "accepted"), [(0, False), (1, True), (MAX_SLOTS, True), (MAX_SLOTS + 1, False)])
async def test_slots_are_bounded(store: Store, slots: int, accepted: bool) -> None:
    """Goal: a worker runs at least one query at a time and not too many."""
    if accepted:
        Worker(store, Supervisor(), name="w", slots=slots)
    else:
        with pytest.raises(ValueError, match="slots"):
            Worker(store, Supervisor(), name="w", slots=slots)
