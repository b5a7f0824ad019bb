"""Attack: an expression that takes long for one person's row only, so that the time tells whether it exists."""

import time
from pathlib import Path

import polars as pl
import pytest

from amancay_engine.runners import runner_of
from tests.engine.scene import ROW, parquet, sql_query

SECONDS = 0.25
"""Half a step of the release grid; all of these took milliseconds."""
LONG = "a" * 4000
PATTERNS = [
    "%a_" * 9 + "%b%",
    "%_" * 9 + "b%",
    "%a" * 30 + "%b",
    "%" * 300 + "_b%",
    "%" + "a" * 1500 + "_b%",
    "%_a_" * 9 + "%b_%",
]


@pytest.mark.parametrize("pattern", PATTERNS, ids=range(len(PATTERNS)))
@pytest.mark.parametrize("text", ["town", f"CASE WHEN person = 7 THEN '{LONG}' ELSE 'b' END"], ids=["stored", "made"])
def test_matching_a_pattern_does_not_backtrack(text: str, pattern: str, tmp_path: Path) -> None:
    """Goal: LIKE takes linear time on a text that almost matches, in the table or made for one row."""
    rows = pl.DataFrame({"person": list(range(5000)), "town": [LONG if person == 7 else "b" for person in range(5000)]})
    query = sql_query(f"SELECT COUNT(*) FROM df WHERE {text} LIKE '{pattern}'")
    prepared = runner_of(query).prepare(query, ROW, parquet(rows, tmp_path))
    start = time.process_time()
    prepared.release()
    assert time.process_time() - start < SECONDS


def test_the_longest_expression_for_one_row(tmp_path: Path) -> None:
    """Goal: as much arithmetic as a query can hold, done for one row alone, stays within the grid."""
    work = ", ".join(["NULLIF(pay * 0, 0)"] * 400)
    rows = pl.DataFrame({"person": list(range(5000)), "pay": [1.0] * 5000})
    query = sql_query(f"SELECT COUNT(*) FROM df WHERE CASE WHEN person = 7 THEN COALESCE({work}) > 1 END")
    prepared = runner_of(query).prepare(query, ROW, parquet(rows, tmp_path))
    start = time.process_time()
    prepared.release()
    assert time.process_time() - start < SECONDS
