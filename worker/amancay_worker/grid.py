"""When the end of a private run may be seen: on a grid that starts with its opening, never in between."""

import asyncio
import math
import time


def next_tick(opened_at: float, now: float, step: float) -> float:
    """The first `opened_at + k * step` (k = 1, 2, ...) that has not passed; seconds, as all its arguments.

    How long a run takes depends on the rows it reads, so an observer learns only in which step it ended.
    """
    return opened_at + step * max(1, math.ceil((now - opened_at) / step))


async def wait_for_tick(opened_at: float, step: float) -> None:
    """Sleeps until the next tick after `opened_at` on the monotonic clock; a step of 0 turns the grid off."""
    if step > 0:
        now = time.monotonic()
        await asyncio.sleep(next_tick(opened_at, now, step) - now)
