"""One fresh, limited process per query.

A spare process is forked ahead and waits for its job; each is used once and killed, whatever it says. Nothing
of one query is ever in a process that sees another.
"""

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Self, TypeVar

from amancay_engine.errors import FailureCode
from amancay_engine.release import Release
from amancay_worker.child import Child, ForkServerProcess, ProtocolError
from amancay_worker.forkserver import Plan
from amancay_worker.limits import Limits
from amancay_worker.protocol import (
    GO,
    MAX_EVENT_BYTES,
    MAX_STAGES,
    Announced,
    Event,
    Failed,
    Prepared,
    Stage,
    parse_event,
    parse_table,
)

ENGINE = "amancay_engine.job:run_job"
MAX_SPARES = 16
MAX_STARTS = 2

T = TypeVar("T")
OnPrepared = Callable[[Prepared], Awaitable[bool]]
OnStage = Callable[[float, str], Awaitable[None]]


class Supervisor:
    """Runs jobs, each in a process of its own: `async with Supervisor() as supervisor`."""

    def __init__(
        self,
        *,
        entry: str = ENGINE,
        preload: tuple[str, ...] = (),
        limits: Limits = Limits(),  # noqa: B008  frozen
        spares: int = 1,
    ) -> None:
        if not 0 <= spares <= MAX_SPARES:
            raise ValueError(f"expected 0 to {MAX_SPARES} spares, got {spares}")
        self._plan = Plan(entry=entry, preload=preload, limits=limits, paths=tuple(sys.path))
        self._limits = limits
        self._wanted = spares
        self._spares: deque[Child] = deque()
        self._server: ForkServerProcess | None = None
        self._ordering = asyncio.Lock()
        self._dismissed: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._top_up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*self._dismissed, return_exceptions=True)
        for spare in self._spares:
            spare.kill()
        self._spares.clear()
        if self._server is not None:
            await self._server.stop()

    async def run(self, job: bytes, *, on_prepared: OnPrepared, on_stage: OnStage, private: bool) -> Release | Failed:
        """Runs one job to its end; its process is killed when this returns, raises or is cancelled, and reaped soon.

        `on_prepared` is awaited before anything is read, and says whether to go on. After that a private run
        may read, and its stages are no longer passed to `on_stage`: when they come depends on the data.
        """
        for _ in range(MAX_STARTS):
            child = await self._take()
            if child is None:
                break
            conversation = _Conversation(child, self._limits, on_prepared, on_stage, private=private)
            try:
                return await conversation.hold(job)
            except ProtocolError:
                status = await child.end()
                if status is not None or conversation.prepared:
                    return Failed(code=_reason(status), opened=conversation.opened)
                # The fork server was lost and took the child with it before it had said a price: begin again.
            finally:
                self._dismiss(child)
        return Failed(code=FailureCode.INTERNAL, opened=False)

    async def _take(self) -> Child | None:
        """A process that waits for its job; None if none can be had, even from a new fork server."""
        for attempt in range(self._wanted + 2):
            child = self._spares.popleft() if self._spares and attempt < self._wanted else await self._fork()
            try:
                if await child.ready():
                    return child
            except asyncio.CancelledError:
                child.kill()
                raise
            child.kill()
        return None

    async def _fork(self) -> Child:
        if self._server is None or self._server.lost:
            lost, self._server = self._server, ForkServerProcess.start(self._plan)
            self._spares.clear()
            if lost is not None:
                await lost.stop()
        return await self._server.fork()

    def _dismiss(self, child: Child) -> None:
        """Kills a child now; it is reaped and replaced beside what comes next.

        The replacement waits until then: what a new child does first would take processor time from the query.
        """
        child.kill()
        task = asyncio.create_task(self._succeed(child))
        self._dismissed.add(task)
        task.add_done_callback(self._dismissed.discard)

    async def _succeed(self, child: Child) -> None:
        await child.end()
        await self._top_up()

    async def _top_up(self) -> None:
        async with self._ordering:
            while len(self._spares) < self._wanted:
                self._spares.append(await self._fork())


class _Conversation:
    """What is said between us and one child, in its order."""

    def __init__(
        self, child: Child, limits: Limits, on_prepared: OnPrepared, on_stage: OnStage, *, private: bool
    ) -> None:
        self._child = child
        self._limits = limits
        self._on_prepared = on_prepared
        self._on_stage = on_stage
        self._private = private
        self._stages = 0
        self.prepared = False
        self.opened = False

    async def hold(self, job: bytes) -> Release | Failed:
        """The whole of it.

        Raises:
            ProtocolError: if the child fails to keep to it.
        """
        prepared = await self._in_time(self._prepare(job))
        if not isinstance(prepared, Prepared):
            return prepared
        self.prepared = True
        if not await self._on_prepared(prepared):
            return Failed(code=FailureCode.INTERNAL, opened=False)
        return await self._in_time(self._release())

    async def _in_time(self, part: Coroutine[Any, Any, T]) -> T | Failed:
        """One half of the run. A callback's own TimeoutError is not taken for ours."""
        clock = asyncio.timeout(self._limits.wall_seconds)
        try:
            async with clock:
                return await part
        except TimeoutError:
            if not clock.expired():
                raise
            return Failed(code=FailureCode.TIMEOUT, opened=self.opened)

    async def _prepare(self, job: bytes) -> Prepared | Failed:
        await self._child.send(job)
        match await self._next():
            case Prepared() as prepared:
                return prepared
            case FailureCode() as code:
                return Failed(code=code, opened=False)
            case _:
                raise ProtocolError

    async def _release(self) -> Release | Failed:
        if self._private:
            self.opened = True
            await self._child.send(GO)
        match await self._next():
            case Announced() as shape:
                table = parse_table(await self._child.receive(1 + self._limits.result_bytes))
                return Release(table=table, row_count=shape.row_count, columns=shape.columns)
            case FailureCode() as code:
                return Failed(code=code, opened=self.opened)
            case _:
                raise ProtocolError

    async def _next(self) -> Event:
        """The next event that is no stage; stages are handed on as they come."""
        while isinstance(event := parse_event(await self._child.receive(MAX_EVENT_BYTES)), Stage):
            self._stages += 1
            if self._stages > MAX_STAGES:
                raise ProtocolError
            if not self.opened:
                await self._on_stage(event.fraction, event.text)
        return event


def _reason(status: int | None) -> FailureCode:
    """Why a child broke off: it ran out of processor time, or anything else."""
    timed_out = status is not None and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU
    return FailureCode.TIMEOUT if timed_out else FailureCode.LIBRARY_ERROR
