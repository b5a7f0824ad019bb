"""Attack: learn of groups that the threshold hides, from how often they are shown or from how long the run takes."""

import math
import time
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest
from scipy import stats

from amancay_engine.metadata import PrivacyUnitKind, parse_metadata
from amancay_engine.query import NoiseMechanism, SqlStatistic
from amancay_engine.runners import runner_of
from tests.engine.scene import COLUMNS, ROW, parquet, sql_query

GROUPED = "SELECT town, COUNT(*) AS n FROM df GROUP BY town"
GAUSSIAN = {SqlStatistic.THRESHOLD: NoiseMechanism.GAUSSIAN}


@pytest.mark.parametrize("kind", list(PrivacyUnitKind))
@pytest.mark.parametrize("contributions", [1, 2, 50])
@pytest.mark.parametrize("delta", [0.9, 0.5, 1e-6, 1e-12, 3e-16, 1e-18])
@pytest.mark.parametrize("epsilon", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("gaussian", [False, True], ids=["laplace", "gaussian"])
def test_a_lonely_unit_is_shown_with_probability_delta_at_most(
    *, kind: PrivacyUnitKind, contributions: int, delta: float, epsilon: float, gaussian: bool, tmp_path: Path
) -> None:
    """Goal: the threshold keeps what was paid for, down to the smallest delta.

    Method: the exact tails of the scale in use, for a unit alone in one group with all its rows, or in as many groups.
    """
    unit = {"kind": kind.value, "max_contributions": contributions}
    unit |= {"column": "person"} if kind is PrivacyUnitKind.IDENTIFIER else {}
    metadata = parse_metadata({"privacy_unit": unit, "columns": COLUMNS})
    query = sql_query(GROUPED, epsilon=epsilon, delta=delta, mechanisms=GAUSSIAN if gaussian else {})
    source = parquet(pl.DataFrame({"person": [1], "town": ["a"]}), tmp_path)
    prepared = runner_of(query).prepare(query, metadata, source)
    noise = prepared.noises[prepared.plan.parts[0]]  # type: ignore[attr-defined]  # the protocol hides what each runner keeps
    law = stats.norm if gaussian else stats.laplace
    tail = float(law.sf(noise.threshold(), loc=contributions, scale=noise.mechanism().scale))
    allowed = Fraction(delta) / 2 if gaussian else Fraction(delta)
    assert contributions * Fraction(tail) <= allowed * (1 + Fraction(1, 10**12))
    assert math.isfinite(noise.threshold())


def test_rare_groups_cost_no_time(tmp_path: Path) -> None:
    """Goal: a person alone in many groups does not show in the time of a run, which would cross a step of the grid.

    Method: 2000 groups of one row and 30 noisy quantities, against one group. A draw takes some 30 to 100 us, so that
    drawing for all would take several seconds.
    """
    sums = ", ".join(f"SUM(c{index})" for index in range(30))
    columns = {f"c{index}": {"type": "integer", "lower": 0, "upper": 9} for index in range(30)}
    metadata = parse_metadata({"columns": columns | {"town": {"type": "string"}}})
    query = sql_query(f"SELECT town, {sums} FROM df GROUP BY town")
    values = {name: [1] * 2000 for name in columns}

    def seconds(towns: list[str], name: str) -> float:
        prepared = runner_of(query).prepare(
            query, metadata, parquet(pl.DataFrame(values | {"town": towns}), tmp_path, name)
        )
        start = time.process_time()
        prepared.release()
        return time.process_time() - start

    alone = seconds(["a"] * 2000, "one.parquet")
    assert seconds([str(index) for index in range(2000)], "many.parquet") < alone + 0.7


def test_how_many_groups_are_hidden_is_not_shown(tmp_path: Path) -> None:
    """Goal: the answer has the same shape with a thousand rare groups and with none."""
    query = sql_query(GROUPED, delta=1e-12)
    shapes = []
    for index, towns in enumerate(([], [str(number) for number in range(1000)])):
        source = parquet(pl.DataFrame({"town": pl.Series(towns, dtype=pl.String)}), tmp_path, f"{index}.parquet")
        release = runner_of(query).prepare(query, ROW, source).release()
        shapes.append((release.row_count, release.columns, len(release.table)))
    assert shapes[0] == shapes[1]
