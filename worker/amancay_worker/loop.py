"""Claims executions and carries them out, a few at a time, until it is told to stop."""

import asyncio
import contextlib
import logging

from amancay_storage.client import Store
from amancay_storage.errors import StoreUnavailable
from amancay_storage.executions import ExecutionRecord
from amancay_storage.sweeper import sweep
from amancay_worker.claim import Claim, Pace
from amancay_worker.supervisor import Supervisor

logger = logging.getLogger(__name__)
MAX_SLOTS = 256


class Worker:
    """One worker. A slot is taken from the claim until the world may see how the execution ended."""

    def __init__(
        self,
        store: Store,
        supervisor: Supervisor,
        *,
        name: str,
        slots: int = 2,
        lease_seconds: float = 5.0,
        release_grid_seconds: float = 0.5,
        poll_seconds: float = 1.0,
        drain_seconds: float = 10.0,
    ) -> None:
        """A worker that runs up to `slots` executions at a time.

        Without a heartbeat for `lease_seconds` an execution may be taken over. A `release_grid_seconds` of 0 turns
        the grid off. The queue is looked at every `poll_seconds` when nobody calls; after a stop, what runs may go
        on for `drain_seconds`.
        """
        if not 1 <= slots <= MAX_SLOTS:
            raise ValueError(f"expected 1 to {MAX_SLOTS} slots, got {slots}")
        self._store = store
        self._supervisor = supervisor
        self._name = name
        self._slots = slots
        self._pace = Pace(lease=lease_seconds, grid=release_grid_seconds)
        self._poll_seconds = poll_seconds
        self._drain_seconds = drain_seconds
        self._wake = asyncio.Event()
        self._going: set[asyncio.Task[None]] = set()

    def notify(self) -> None:
        """Something was queued: look now."""
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set, lets what runs end in its time, and kills the rest.

        What is killed here stays claimed until its lease runs out; then another worker takes it over.
        """
        stopping = asyncio.create_task(stop.wait())
        stopping.add_done_callback(lambda _: self._wake.set())
        try:
            while not stop.is_set():
                self._wake.clear()
                await self._fill()
                await self._rest()
            if self._going:
                await asyncio.wait(self._going, timeout=self._drain_seconds)
        finally:
            stopping.cancel()
            for task in self._going:
                task.cancel()
            await asyncio.gather(*self._going, return_exceptions=True)

    async def _fill(self) -> None:
        """Claims until the slots or the queue are exhausted."""
        while len(self._going) < self._slots and (record := await self._claim()) is not None:
            task = asyncio.create_task(self._carry_out(record))
            self._going.add(task)
            task.add_done_callback(self._free)

    async def _claim(self) -> ExecutionRecord | None:
        try:
            return await self._store.executions.claim(self._name, self._pace.lease)
        except StoreUnavailable:
            logger.warning("the store is away; nothing can be claimed")
        except Exception as error:
            logger.error("nothing can be claimed: %s", type(error).__name__)  # noqa: TRY400  may quote data
        return None

    async def _carry_out(self, record: ExecutionRecord) -> None:
        try:
            await Claim(self._store, self._supervisor, self._pace, record).carry_out()
        except Exception as error:
            logger.error("execution %s: %s", record.id, type(error).__name__)  # noqa: TRY400  may quote data

    def _free(self, task: asyncio.Task[None]) -> None:
        self._going.discard(task)
        self._wake.set()

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._poll_seconds):
                await self._wake.wait()


async def sweep_forever(store: Store, stop: asyncio.Event, seconds: float) -> None:
    """Settles what crashes left behind, at once and then every so many seconds, until `stop` is set."""
    while not stop.is_set():
        try:
            await sweep(store)
        except StoreUnavailable:
            logger.warning("the store is away; nothing can be swept")
        except Exception as error:
            logger.error("nothing can be swept: %s", type(error).__name__)  # noqa: TRY400  may quote data
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()
