"""One claimed execution, from its claim until the world may see how it ended."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from amancay_engine.dummy import DummyRows
from amancay_engine.errors import FailureCode
from amancay_engine.job import Job
from amancay_engine.metadata import dump_metadata
from amancay_engine.release import Release
from amancay_engine.sources import dump_source
from amancay_storage.client import Store
from amancay_storage.errors import StorageRefusal, StoreUnavailable
from amancay_storage.executions import ExecutionRecord, Kind, Outcome, Status
from amancay_worker.grid import wait_for_tick
from amancay_worker.protocol import Failed, Prepared
from amancay_worker.supervisor import Supervisor

logger = logging.getLogger(__name__)
T = TypeVar("T")

READING_FRACTION = 0.5
READING = "Reading the data and adding noise"
"""The one stage that is shown of a private run after it was opened: its time tells nothing."""
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
LONGEST_WATCH_SECONDS = 1.0
"""How late a cancellation may be noticed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The times that a claim keeps, in seconds."""

    lease: float
    """How long an execution stays ours without a heartbeat."""
    grid: float
    """The step of the release grid; 0 turns it off."""


class Claim:
    """An execution that this worker holds, as long as its lease is kept."""

    def __init__(self, store: Store, supervisor: Supervisor, pace: Pace, record: ExecutionRecord) -> None:
        self._store = store
        self._supervisor = supervisor
        self._pace = pace
        self._record = record
        self._private = record.kind is Kind.PRIVATE
        self._opened_at: float | None = None
        self._lost = False
        self._running: asyncio.Timeout | None = None

    async def carry_out(self) -> None:
        """Runs it, keeps the answer durably but unseen, waits for the grid, and settles.

        If the claim is lost meanwhile (cancelled, or taken over after an outage), its process is killed at once.
        """
        watch = asyncio.create_task(self._watch())
        try:
            result = await self._run_unless_lost()
            kept = result is not None and await self._seal(result)
            if self._opened_at is not None:
                await wait_for_tick(self._opened_at, self._pace.grid)
            if kept or await self._still_ours():
                await insist(lambda: self._store.executions.settle(self._record.id))
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch

    async def _run_unless_lost(self) -> Release | Failed | None:
        """None if the claim was lost."""
        try:
            async with asyncio.timeout(None) as self._running:
                if self._lost:
                    return None
                return await self._run()
        except TimeoutError:
            return None
        finally:
            self._running = None

    async def _run(self) -> Release | Failed:
        try:
            job = await self._job()
            return await self._supervisor.run(
                job.encode(), on_prepared=self._open, on_stage=self._show, private=self._private
            )
        except Exception as error:  # a fault of ours must end the execution, or it would be repeated
            logger.error("%s: %s", self._name, type(error).__name__)  # noqa: TRY400  its text may quote data
            return Failed(code=FailureCode.INTERNAL, opened=self._opened_at is not None)

    async def _job(self) -> Job:
        record = self._record
        dataset = await insist(lambda: self._store.datasets.version(record.dataset, record.dataset_version))
        if dataset is None:
            raise LookupError("the dataset's version is not in the store")
        return Job(
            query=record.query,
            metadata=dump_metadata(dataset.metadata),
            source=dump_source(dataset.source) if self._private else None,
            dummy=None if self._private else _dummy_rows(record),
            reserved=record.cost,
        )

    async def _open(self, prepared: Prepared) -> bool:
        """The last step before the data: from here on the run is paid for."""
        if not self._private:
            return True
        record = self._record
        ours = await insist(
            lambda: self._store.executions.mark_opened(
                record.id,
                record.attempt,
                prepared.accuracy,
                prepared.mechanisms,
                fraction=READING_FRACTION,
                stage_text=READING,
            )
        )
        if ours:
            self._opened_at = time.monotonic()
        return ours

    async def _show(self, fraction: float, text: str) -> None:
        """Progress is a courtesy: a store that is away does not fail the run."""
        with contextlib.suppress(StoreUnavailable):
            if not await self._store.executions.report(self._record.id, self._record.attempt, fraction, text):
                self._lose()

    async def _seal(self, result: Release | Failed) -> bool:
        release = result if isinstance(result, Release) else None
        try:
            return await self._keep(_outcome(result), release)
        except StorageRefusal as refusal:
            logger.error("%s: %s", self._name, type(refusal).__name__)  # noqa: TRY400  its text may quote data
            return await self._keep(Outcome(status=Status.FAILED, code=FailureCode.INTERNAL), None)

    async def _keep(self, outcome: Outcome, release: Release | None) -> bool:
        record = self._record
        logger.info("%s: %s", self._name, outcome.code or outcome.status)
        return await insist(lambda: self._store.executions.seal(record.id, record.attempt, outcome, release))

    async def _still_ours(self) -> bool:
        """True if the attempt was cancelled or ended, not taken over: what a successor does is its own to show."""
        record = await insist(lambda: self._store.executions.get(self._record.id))
        return record is not None and record.attempt == self._record.attempt

    async def _watch(self) -> None:
        """Keeps the lease; a heartbeat that is refused means that the claim is lost."""
        record = self._record
        while not self._lost:
            await asyncio.sleep(min(self._pace.lease / 3, LONGEST_WATCH_SECONDS))
            with contextlib.suppress(StoreUnavailable):
                if not await self._store.executions.heartbeat(record.id, record.attempt, self._pace.lease):
                    self._lose()

    def _lose(self) -> None:
        self._lost = True
        if self._running is not None and not self._running.expired():
            self._running.reschedule(asyncio.get_running_loop().time())

    @property
    def _name(self) -> str:
        return f"execution {self._record.id}, attempt {self._record.attempt}"


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Repeats `call` until the store answers; only for calls that may be repeated."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return await call()
        except StoreUnavailable:
            logger.warning("the store is away; trying again")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _dummy_rows(record: ExecutionRecord) -> DummyRows:
    asked = {"rows": record.dummy_rows, "seed": record.dummy_seed}
    return DummyRows(**{name: value for name, value in asked.items() if value is not None})


def _outcome(result: Release | Failed) -> Outcome:
    if isinstance(result, Release):
        return Outcome(status=Status.SUCCEEDED)
    return Outcome(status=Status.FAILED, code=result.code)
