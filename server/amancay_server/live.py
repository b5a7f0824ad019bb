"""Live updates: one stream of changes per server process, fanned out to whoever follows.

A follower has a mailbox that holds the latest state and nothing older, so a slow one skips states and takes no memory.
Nothing is lost either, if the mailbox is hung up first, then the present state is read, and then the mailbox.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, TypeVar

from amancay_server.limits import limit_exceeded
from amancay_storage.changes import Change, GrantChange, Resync
from amancay_storage.client import Store
from amancay_storage.execution import ExecutionRecord

MAX_FOLLOWERS = 10_000
"""Mailboxes that one server process holds."""

T = TypeVar("T")
Key = tuple[str, ...]


class Mailbox(Generic[T]):
    """Gives every later state that is still the latest when it is asked for, or None: read the present state again.

    Ends when the server stops following changes.

    Args:
        is_news: True if the first state is worth telling after the second.
    """

    def __init__(self, is_news: Callable[[T, T], bool]) -> None:
        self._is_news = is_news
        self._latest: T | None = None
        self._waiting: T | None = None
        self._look_again = False
        self._ended = False
        self._woken = asyncio.Event()

    def put(self, state: T) -> None:
        """A state; it takes the place of one that is still waiting, unless it is no news."""
        if self._latest is None or self._is_news(state, self._latest):
            self._waiting = self._latest = state
            self._woken.set()

    def resync(self) -> None:
        """Changes may have been missed."""
        self._look_again = True
        self._woken.set()

    def end(self) -> None:
        """No more changes will come."""
        self._ended = True
        self._woken.set()

    def __aiter__(self) -> "Mailbox[T]":
        return self

    async def __anext__(self) -> T | None:
        while not (self._look_again or self._waiting is not None):
            if self._ended:
                raise StopAsyncIteration
            self._woken.clear()
            await self._woken.wait()
        if self._look_again:
            self._look_again = False
            return None
        state, self._waiting = self._waiting, None
        return state


class Hub:
    """The mailboxes of a server process."""

    def __init__(self) -> None:
        self._executions: dict[Key, set[Mailbox[ExecutionRecord]]] = {}
        self._grants: dict[Key, set[Mailbox[GrantChange]]] = {}
        self._followers = 0
        self._ended = False

    async def run(self, store: Store, stop: asyncio.Event) -> None:
        """Follows the changes of `store` until `stop` is set; then every mailbox ends.

        If the stream breaks, its error is raised and the mailboxes stay: run again, it begins with a `Resync`.
        """
        await self.follow(store.changes.stream(), stop)

    async def follow(self, changes: AsyncIterator[Change], stop: asyncio.Event) -> None:
        """As `run`, for any stream of changes."""
        stopped = asyncio.create_task(stop.wait())
        fan_out = asyncio.create_task(self._fan_out(changes))
        try:
            await asyncio.wait((stopped, fan_out), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not fan_out.done():
                self._end()
            stopped.cancel()
            fan_out.cancel()
            await asyncio.wait((stopped, fan_out))
        if not fan_out.cancelled():
            fan_out.result()

    def execution(self, id: str) -> AbstractAsyncContextManager[Mailbox[ExecutionRecord]]:
        """The visible changes of one execution, by revision.

        Raises (on entering):
            ApiError: LIMIT_EXCEEDED if too many are following already.
        """
        return self._hung_up(self._executions, (id,), Mailbox(_later_revision))

    def grant(self, user: str, dataset: str) -> AbstractAsyncContextManager[Mailbox[GrantChange]]:
        """The changes of one grant's balance.

        Raises (on entering):
            ApiError: LIMIT_EXCEEDED if too many are following already.
        """
        return self._hung_up(self._grants, (user, dataset), Mailbox(_other_balance))

    @asynccontextmanager
    async def _hung_up(
        self, wall: dict[Key, set[Mailbox[T]]], key: Key, mailbox: Mailbox[T]
    ) -> AsyncIterator[Mailbox[T]]:
        if self._followers >= MAX_FOLLOWERS:
            raise limit_exceeded("maxFollowers", "Too many live updates are being followed at the moment.")
        self._followers += 1
        wall.setdefault(key, set()).add(mailbox)
        if self._ended:
            mailbox.end()
        try:
            yield mailbox
        finally:
            self._followers -= 1
            wall[key].discard(mailbox)
            if not wall[key]:
                del wall[key]

    async def _fan_out(self, changes: AsyncIterator[Change]) -> None:
        async for change in changes:
            match change:
                case ExecutionRecord():
                    for execution in self._executions.get((change.id,), ()):
                        execution.put(change)
                case GrantChange():
                    for grant in self._grants.get((change.user, change.dataset), ()):
                        grant.put(change)
                case Resync():
                    for mailbox in self._all():
                        mailbox.resync()

    def _end(self) -> None:
        self._ended = True
        for mailbox in self._all():
            mailbox.end()

    def _all(self) -> list[Mailbox[ExecutionRecord] | Mailbox[GrantChange]]:
        executions = [mailbox for wall in self._executions.values() for mailbox in wall]
        grants = [mailbox for wall in self._grants.values() for mailbox in wall]
        return [*executions, *grants]


def _later_revision(state: ExecutionRecord, known: ExecutionRecord) -> bool:
    return state.revision > known.revision


def _other_balance(state: GrantChange, known: GrantChange) -> bool:
    return state != known
