"""The release grid."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amancay_worker.grid import next_tick, wait_for_tick


@given(st.floats(0, 1e6), st.floats(0, 1e4), st.sampled_from([0.1, 0.25, 0.5, 1.0, 60.0]))
def test_ticks_lie_on_the_grid_and_never_in_the_past(opened_at: float, ran: float, step: float) -> None:
    """Goal: an observer learns the step in which a run ended, no more; and waits less than one step for it."""
    now = opened_at + ran
    tick = next_tick(opened_at, now, step)
    steps = (tick - opened_at) / step
    assert steps == pytest.approx(round(steps), abs=1e-6)
    assert round(steps) >= 1
    assert now - 1e-6 <= tick <= max(now, opened_at) + step + 1e-6


@pytest.mark.parametrize(("ran", "steps"), [(0.0, 1), (0.5, 1), (0.51, 2), (1.0, 2)])
def test_a_run_is_shown_at_the_tick_that_it_reaches(ran: float, steps: int) -> None:
    """Goal: at a tick is in time, after it waits for the next; even an instant run waits for the first."""
    assert next_tick(100.0, 100.0 + ran, 0.5) == 100.0 + steps * 0.5


@pytest.mark.anyio
async def test_a_step_of_nothing_does_not_wait() -> None:
    """Goal: the grid can be turned off."""
    async with asyncio.timeout(0.1):
        await wait_for_tick(time.monotonic(), 0.0)
