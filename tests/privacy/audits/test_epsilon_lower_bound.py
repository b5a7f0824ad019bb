"""Audit: what can be proved against COUNT from its answers alone must stay below the epsilon that was paid.

Neighbouring tables give many answers each. On one half of them the threshold is chosen that tells the tables apart
best; on the other half, which that choice has not seen, Clopper-Pearson bounds turn how often each table passes it into
a lower bound of epsilon (Jagielski, Ullman and Oprea 2020). A mechanism with half the noise must be caught.
"""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from scipy import stats

from amancay_engine.runners import runner_of
from tests.engine.scene import ROW, parquet, sql_query

pytestmark = pytest.mark.statistics
DRAWS = 20_000
ROWS = 100
CONFIDENCE = 0.99999
"""Of the reported bound: a sound mechanism fails this test once in a hundred thousand runs."""
Answers = npt.NDArray[np.float64]


def answers(rows: int, epsilon: float, folder: Path, *, share_of_noise: float = 1.0) -> Answers:
    """As many answers to COUNT over a table of `rows` rows as the mechanism of one prepared query draws."""
    query = sql_query("SELECT COUNT(*) FROM df", epsilon=epsilon)
    source = parquet(pl.DataFrame({"age": [1] * rows}), folder)
    prepared = runner_of(query).prepare(query, ROW, source)
    (noise,) = prepared.noises.values()  # type: ignore[attr-defined]  # the protocol hides what each runner keeps
    drawn = np.asarray(noise.mechanism().release([0.0] * DRAWS))
    return rows + share_of_noise * drawn


def lower_bound(ours: Answers, others: Answers) -> float:
    """A lower bound of epsilon at `CONFIDENCE`."""
    half = DRAWS // 2
    candidates = np.quantile(others[:half], np.linspace(0.01, 0.99, 99))
    best = max(candidates, key=lambda threshold: proved(ours[:half], others[:half], threshold))
    return proved(ours[half:], others[half:], best)


def proved(ours: Answers, others: Answers, threshold: float) -> float:
    """What the shares of answers above the threshold prove; each of the two bounds takes half of what may go wrong."""
    high, low = (stats.binomtest(int((values > threshold).sum()), values.size) for values in (ours, others))
    at_least, at_most = (share.proportion_ci(CONFIDENCE) for share in (high, low))
    return math.log(at_least.low / at_most.high) if at_least.low > 0 else -math.inf


def test_no_more_than_epsilon_can_be_proved(tmp_path: Path) -> None:
    """Goal: COUNT at epsilon 1 loses at most 1, and the audit is sharp. Method: 2 x 20 000 answers, one row apart."""
    bound = lower_bound(answers(ROWS + 1, 1.0, tmp_path), answers(ROWS, 1.0, tmp_path))
    assert 0.8 < bound <= 1.0


def test_half_the_noise_is_caught(tmp_path: Path) -> None:
    """Goal: the audit is worth something. Method: the same answers with their noise halved, a loss of 2 in truth."""
    ours, others = (answers(rows, 1.0, tmp_path, share_of_noise=0.5) for rows in (ROWS + 1, ROWS))
    assert 1.5 < lower_bound(ours, others) <= 2.0


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_other_epsilons_hold_as_well(epsilon: float, tmp_path: Path) -> None:
    """Goal: the same below and above one."""
    bound = lower_bound(answers(ROWS + 1, epsilon, tmp_path), answers(ROWS, epsilon, tmp_path))
    assert 0.5 * epsilon < bound <= epsilon
