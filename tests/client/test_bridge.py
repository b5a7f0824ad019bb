"""The background loop under the synchronous face."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest

from amancay_client.bridge import call, follow


async def double(number: int) -> int:
    await anyio.sleep(0.01)
    return 2 * number


def test_messages_are_shown_in_the_callers_thread() -> None:
    async def count(show: Callable[[int], None]) -> int:
        for number in range(3):
            show(number)
            await anyio.lowlevel.checkpoint()
        return threading.get_ident()

    seen: list[tuple[int, int]] = []
    ran_in = follow(count, lambda number: seen.append((number, threading.get_ident())))
    assert seen == [(number, threading.get_ident()) for number in range(3)]
    assert ran_in != threading.get_ident()


def test_errors_come_through() -> None:
    async def fail() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        call(fail)


def test_it_works_inside_a_running_loop() -> None:
    """Goal: usable in a notebook, whose own loop runs. Method: call from a coroutine."""

    async def cell() -> int:
        return call(double, 21)

    assert anyio.run(cell) == 42


def test_it_works_from_several_threads() -> None:
    answers: list[int] = []
    threads = [threading.Thread(target=lambda n=n: answers.append(call(double, n))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [2 * number for number in range(8)]


def test_an_interrupt_ends_the_wait_at_once() -> None:
    """Goal: Ctrl-C is prompt and stops the coroutine. Method: a real signal while an endless one is waited for."""
    cancelled = threading.Event()

    def interrupt_soon(_: str) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.05)

    async def endless(show: Callable[[str], None]) -> None:
        show("waiting")
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            follow(endless, interrupt_soon)
        assert time.monotonic() - began < 1.0
        assert cancelled.wait(1.0)
    finally:
        signal.signal(signal.SIGALRM, before)


SCRIPT = "import anyio; from amancay_client.bridge import call; call(anyio.sleep, 0)"
BUSY = f"{SCRIPT}; import threading; threading.Thread(target=call, args=(anyio.sleep, 60), daemon=True).start()"


@pytest.mark.parametrize("program", [SCRIPT, BUSY])
def test_a_script_that_never_closes_its_session_still_ends(program: str) -> None:
    command = [sys.executable, "-X", "dev", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    assert program is BUSY or done.stderr == ""
