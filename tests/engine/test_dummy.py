"""Dummy rows and runs over them: made from the metadata alone, and repeatable."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amancay_engine.dummy import MAX_DUMMY_ROWS, MAX_SEED, DummyRows, dummy_frame
from amancay_engine.errors import InvalidQuery
from amancay_engine.metadata import parse_metadata
from amancay_engine.query import NoiseMechanism, SqlStatistic
from tests.engine.scene import COLUMNS, PERSON, ROW, release, sql_query

DUMMY_QUERIES: list[tuple[str, dict[str, Any]]] = [
    ("SELECT COUNT(*), AVG(age), STDDEV(pay) FROM df", {}),
    ("SELECT sex, COUNT(*), SUM(age) FROM df GROUP BY sex", {}),
    ("SELECT town, COUNT(*), AVG(pay) FROM df GROUP BY town", {"delta": 0.1}),
    ("SELECT COUNT(*) FROM df", {"mechanisms": {SqlStatistic.COUNT: NoiseMechanism.GAUSSIAN}}),
    ("SELECT COUNT(*), SUM(pay) FROM df", {"postprocess": False}),
]


@pytest.mark.parametrize(("sql", "fields"), DUMMY_QUERIES)
def test_a_dummy_run_can_be_repeated(sql: str, fields: dict[str, Any]) -> None:
    """Goal: the same seed gives the same bytes, another seed others."""
    query = sql_query(sql, **fields)
    first, again, other = (release(query, ROW, DummyRows(rows=500, seed=seed)) for seed in (7, 7, 8))
    assert first == again
    assert first.table != other.table


@pytest.mark.parametrize(
    "sql", ["SELECT sex, SUM(pay) FROM df GROUP BY sex", "SELECT town, STDDEV(pay) FROM df GROUP BY town"]
)
def test_a_dummy_run_over_persons_can_be_repeated(sql: str) -> None:
    """Goal: the same to the last bit where a sample of each person's rows is kept. Method: ten runs of one seed."""
    query = sql_query(sql, delta=0.1)
    assert len({release(query, PERSON, DummyRows(rows=2000, seed=7)).table for _ in range(10)}) == 1


@pytest.mark.parametrize("rows", [0, 1, 2, 100, MAX_DUMMY_ROWS])
def test_made_up_rows_look_like_the_declaration(rows: int) -> None:
    """Goal: dummy rows keep to bounds, categories and contributions, and nothing is read for them."""
    frame = dummy_frame(PERSON, rows=rows, seed=3)
    assert frame.height == rows
    assert frame.columns == list(COLUMNS)
    assert frame["age"].drop_nulls().is_between(0, 100).all()
    assert frame["pay"].is_between(-10, 50).all()
    assert set(frame["sex"]) <= {"f", "m", "x"}
    assert set(frame["level"]) <= {1, 2, None}
    assert frame["pay"].null_count() == 0
    assert frame.select(pl.len().over("person").max()).item(0, 0) in ({None} if not rows else {1, 2, 3})


def test_the_same_seed_makes_the_same_rows() -> None:
    """Goal: a dummy run can be talked about."""
    assert dummy_frame(ROW, rows=50, seed=1).equals(dummy_frame(ROW, rows=50, seed=1))
    assert not dummy_frame(ROW, rows=50, seed=1).equals(dummy_frame(ROW, rows=50, seed=2))


@pytest.mark.parametrize(
    ("rows", "seed", "path"),
    [
        (-1, 1, "rows"),
        (MAX_DUMMY_ROWS + 1, 1, "rows"),
        (1, -1, "seed"),
        (1, MAX_SEED + 1, "seed"),
    ],
)
def test_dummy_rows_are_bounded(rows: int, seed: int, path: str) -> None:
    """Goal: one past each limit is refused; the limits themselves are taken."""
    with pytest.raises(InvalidQuery) as refusal:
        dummy_frame(ROW, rows=rows, seed=seed)
    assert refusal.value.path == ("dummy", path)
    assert dummy_frame(ROW, rows=0, seed=MAX_SEED).height == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(-(2**53), 2**53), st.integers(0, 2**53), st.integers(0, 60))
def test_any_bounds_can_be_made_up(lower: int, width: int, rows: int) -> None:
    """Goal: no declaration makes dummy rows fail."""
    upper = min(lower + width, 2**53)
    column = {"type": "integer", "lower": lower, "upper": upper}
    real = {"type": "float", "lower": -1.7e308, "upper": 1.7e308, "nullable": True}
    frame = dummy_frame(parse_metadata({"columns": {"a": column, "b": real}}), rows=rows, seed=0)
    assert frame["a"].is_between(lower, upper).all()
    assert frame["b"].drop_nulls().is_finite().all()
