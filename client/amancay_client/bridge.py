"""The synchronous face's way into the asynchronous core: one event loop in a thread of its own.

The loop is the same for every session of the process. It works under a notebook whose own loop is running,
and from several threads at once.
"""

import atexit
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import cache, partial
from queue import Empty, SimpleQueue
from threading import Lock
from typing import ParamSpec, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

INTERRUPT_SECONDS = 0.2
"""How long an interrupt may stay unnoticed where a waiting thread cannot be woken by one (Windows)."""

_starting = Lock()
"""Two threads that ask first at the same time shall not start two loops: a session lives on one."""

T = TypeVar("T")
M = TypeVar("M")
P = ParamSpec("P")


def call(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a coroutine function on the background loop and wait for it; an interrupt cancels it."""

    async def silent(_: Callable[[object], None]) -> T:
        return await function(*args, **kwargs)

    return follow(silent, lambda _: None)


def follow(function: Callable[[Callable[[M], None]], Awaitable[T]], show: Callable[[M], None]) -> T:
    """The same for a function that reports on the way: `show` is called in the caller's own thread.

    Notebooks and consoles only draw well from the thread that runs the cell.
    """
    messages: SimpleQueue[Callable[[], bool]] = SimpleQueue()
    running = True

    def stop() -> bool:
        return False

    def tell(message: M) -> bool:
        show(message)
        return True

    with _starting:
        portal = _portal()
    future = portal.start_task_soon(function, lambda message: messages.put(partial(tell, message)))
    future.add_done_callback(lambda _: messages.put(stop))
    try:
        while running:
            running = _next(messages)()
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _next(messages: "SimpleQueue[T]") -> T:
    while True:
        try:
            return messages.get(timeout=INTERRUPT_SECONDS)
        except Empty:
            continue


@cache
def _portal() -> BlockingPortal:
    stack = ExitStack()
    portal = stack.enter_context(start_blocking_portal())

    def stop() -> None:
        portal.call(portal.stop, True)
        stack.close()

    atexit.register(stop)
    return portal
