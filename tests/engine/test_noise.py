"""Real noise, drawn many times: is it the noise that was priced?

The noise comes from a secure generator, so there is no seed to print. Each check fails by chance once in a million.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from amancay_engine.query import NoiseMechanism, SqlStatistic
from amancay_engine.runners import runner_of
from amancay_engine.sources import FileSource
from tests.engine.scene import ROW, parquet, sql_query

pytestmark = pytest.mark.statistics
FALSE_ALARM = 1e-6
GROUPS = 200
"""Public keys: each answer has so many independent draws of every part."""
METADATA = ROW.model_copy(
    update={
        "columns": ROW.columns
        | {
            "key": ROW.columns["level"].model_copy(
                update={"categories": tuple(range(GROUPS)), "nullable": False, "public_categories": True}
            )
        }
    }
)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> FileSource:
    """Ten rows in every group, of age 50 and pay 20."""
    keys = [key for key in range(GROUPS) for _ in range(10)]
    rows = pl.DataFrame({"key": keys, "age": [50] * len(keys), "pay": [20.0] * len(keys)})
    return parquet(rows, tmp_path_factory.mktemp("groups"))


def draws(aggregate: str, table: FileSource, *, runs: int, **fields: Any) -> pl.DataFrame:
    """The noisy parts of many groups in many runs."""
    query = sql_query(f"SELECT key, {aggregate} FROM df GROUP BY key", postprocess=False, **fields)
    frames = []
    for _ in range(runs):
        prepared = runner_of(query).prepare(query, METADATA, table)
        frames.append(pl.read_ipc_stream(prepared.release().table))
    return pl.concat(frames)


def follows(values: np.ndarray[Any, Any], law: Any) -> bool:
    """Kolmogorov-Smirnov: true unless the values are far from the law."""
    return bool(stats.kstest(values, law.cdf).pvalue > FALSE_ALARM)


LAPLACE: list[tuple[str, dict[str, tuple[float, float]], float]] = [
    ("COUNT(*)", {"count_all": (10, 1)}, 1.0),
    ("COUNT(*)", {"count_all": (10, 1)}, 0.2),
    ("SUM(age)", {"sum_age": (500, 100)}, 1.0),
    ("AVG(pay)", {"sum_pay": (200, 50), "count_pay": (10, 1)}, 1.0),
    ("STDDEV(pay)", {"sum_of_squares_pay": (4000, 2500), "count_pay": (10, 1), "sum_pay": (200, 50)}, 0.5),
]


@pytest.mark.parametrize(("aggregate", "parts", "epsilon"), LAPLACE)
def test_laplace_noise_has_its_scale(
    aggregate: str, parts: dict[str, tuple[float, float]], epsilon: float, table: FileSource
) -> None:
    """Goal: each part is the exact value plus Laplace(sensitivity / epsilon), and parts are drawn independently.

    Method: Kolmogorov-Smirnov on 6000 draws; noise two thirds as wide, or half as wide again, is found out.
    """
    frame = draws(aggregate, table, runs=30, epsilon=epsilon)
    for part, (exact, sensitivity) in parts.items():
        noise = frame[part].to_numpy() - exact
        assert follows(noise, stats.laplace(scale=sensitivity / epsilon))
        assert not follows(noise, stats.laplace(scale=sensitivity / epsilon / 1.5))
        assert not follows(noise, stats.laplace(scale=sensitivity / epsilon * 1.5))
    if len(parts) > 1:
        first, second = list(parts)[:2]
        correlation = stats.spearmanr(frame[first].to_numpy(), frame[second].to_numpy())
        assert correlation.pvalue > FALSE_ALARM


def test_gaussian_noise_has_the_scale_that_was_told(table: FileSource) -> None:
    """Goal: the Gaussian is as wide as its mechanism says, and that is wide enough for epsilon and delta.

    Method: Kolmogorov-Smirnov; and the exact delta of a Gaussian (Balle and Wang 2018, theorem 8) is at most delta.
    """
    fields: dict[str, Any] = {
        "epsilon": 1.0,
        "delta": 1e-6,
        "mechanisms": {SqlStatistic.COUNT: NoiseMechanism.GAUSSIAN},
    }
    query = sql_query("SELECT key, COUNT(*) FROM df GROUP BY key", **fields)
    (mechanism,) = runner_of(query).prepare(query, METADATA, table).mechanisms
    noise = draws("COUNT(*)", table, runs=30, **fields)["count_all"].to_numpy() - 10
    assert follows(noise, stats.norm(scale=mechanism.scale))
    assert not follows(noise, stats.norm(scale=mechanism.scale / 1.5))
    sigma, epsilon = mechanism.scale, 1.0
    spent = stats.norm.cdf(0.5 / sigma - epsilon * sigma) - math.exp(epsilon) * stats.norm.cdf(
        -0.5 / sigma - epsilon * sigma
    )
    assert spent <= 1e-6


@pytest.mark.parametrize("delta", [0.2, 0.05])
def test_a_lone_row_is_released_as_seldom_as_delta_says(delta: float, tmp_path: Path) -> None:
    """Goal: a private key that one privacy unit alone has is shown with probability delta at most, yet not never.

    Method: 3000 groups of one row at a delta so large that it can be seen; binomial bounds.
    """
    source = parquet(pl.DataFrame({"town": [f"t{number}" for number in range(3000)]}), tmp_path)
    query = sql_query("SELECT town, COUNT(*) AS n FROM df GROUP BY town", epsilon=1.0, delta=delta)
    shown = runner_of(query).prepare(query, ROW, source).release().row_count
    assert stats.binomtest(shown, 3000, delta, alternative="greater").pvalue > FALSE_ALARM
    assert stats.binomtest(shown, 3000, delta / 4, alternative="less").pvalue > FALSE_ALARM


@pytest.mark.parametrize("rows", [5, 14, 30])
def test_a_group_is_shown_if_its_noisy_count_passes_the_threshold(rows: int, tmp_path: Path) -> None:
    """Goal: the threshold is where theory has it: 1 + ln(1 / (2 delta)) / epsilon, on one noisy count.

    Method: how often groups of some size are shown, against the tail of the Laplace distribution.
    """
    delta, towns = 1e-6, 1500
    keys = [f"t{number}" for number in range(towns) for _ in range(rows)]
    source = parquet(pl.DataFrame({"town": keys}), tmp_path)
    query = sql_query("SELECT town, COUNT(*) AS n FROM df GROUP BY town", epsilon=1.0, delta=delta)
    shown = runner_of(query).prepare(query, ROW, source).release().row_count
    expected = float(stats.laplace.sf(1 + math.log(1 / (2 * delta)) - rows))
    assert stats.binomtest(shown, towns, expected).pvalue > FALSE_ALARM


def test_no_result_of_a_count_tells_two_neighbours_apart(table: FileSource, tmp_path: Path) -> None:
    """Goal: epsilon 1 is kept by what leaves the engine, with and without one row in each group.

    Method: the shares of answers above a threshold differ by the factor e at most; Clopper-Pearson bounds.
    """
    fewer = pl.DataFrame({"key": [key for key in range(GROUPS) for _ in range(9)]})
    ours = draws("COUNT(*)", table, runs=30, epsilon=1.0)["count_all"].to_numpy()
    others = draws("COUNT(*)", parquet(fewer, tmp_path), runs=30, epsilon=1.0)["count_all"].to_numpy()
    for threshold in np.arange(6, 15, 0.5):
        high, low = (stats.binomtest(int((values > threshold).sum()), values.size) for values in (ours, others))
        least = high.proportion_ci(1 - FALSE_ALARM, method="exact").low
        most = low.proportion_ci(1 - FALSE_ALARM, method="exact").high
        assert least <= math.e * most
