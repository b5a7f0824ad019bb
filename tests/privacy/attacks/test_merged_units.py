"""Attack: several people share one identifier, so that one bound on contributions is shared by them all.

With a bound of one, whoever joins such a crowd pushes somebody else's row out: two rows change where noise for one
was paid for. Rows of nobody, identifiers out of bounds or categories, and rounded ones would all make a crowd.
"""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from amancay_engine.metadata import parse_metadata
from tests.engine.scene import answer, csv, parquet

SQL = "SELECT COUNT(*) AS n, COUNT(DISTINCT person) AS persons FROM df"


def counted(person: dict[str, Any], people: list[Any], folder: Path, sql: str = SQL) -> tuple[Any, ...]:
    unit = {"kind": "identifier", "column": "person", "max_contributions": 1}
    metadata = parse_metadata({"privacy_unit": unit, "columns": {"person": person}})
    return answer(sql, parquet(pl.DataFrame({"person": people}), folder), metadata).row(0)


@pytest.mark.parametrize("kind", ["integer", "string"])
def test_rows_of_nobody_are_left_out(kind: str, tmp_path: Path) -> None:
    """Goal: a row without an identifier moves nothing. Method: 100 of them beside two people with many rows."""
    people = [None] * 100 + ["7"] * 5 + ["8"] * 5
    assert counted({"type": kind, "nullable": True}, people, tmp_path) == (2, 2)
    where = f"{SQL} WHERE person IS NULL OR NOT person IS NULL"
    assert counted({"type": kind, "nullable": True}, people, tmp_path, where) == (2, 2)


def test_values_that_are_no_identifier_are_nobody(tmp_path: Path) -> None:
    """Goal: what does not fit the declared type makes no crowd, and a fraction is no whole number."""
    assert counted({"type": "integer"}, ["x", "y", "", "1e400", "1.4", "1.3", "nan", "2", "3.0"], tmp_path) == (2, 2)
    assert counted({"type": "integer"}, [1.2, 1.3, 1.4, float("nan"), float("inf"), 1.0], tmp_path) == (1, 1)


def test_large_identifiers_stay_apart(tmp_path: Path) -> None:
    """Goal: identifiers beyond what a double can tell apart are told apart."""
    assert counted({"type": "integer"}, [2**63 - 1 - index for index in range(50)], tmp_path) == (50, 50)
    assert counted({"type": "integer"}, [str(2**53 + index) for index in range(50)], tmp_path) == (50, 50)


@pytest.mark.parametrize(
    "declared",
    [
        {"type": "integer", "lower": 1, "upper": 3},
        {"type": "integer", "categories": [1, 2]},
        {"type": "float", "lower": 0, "upper": 1},
        {"type": "string", "categories": ["1", "2"], "nullable": True},
    ],
    ids=["bounds", "categories", "float", "texts"],
)
def test_bounds_and_categories_make_no_crowd(declared: dict[str, Any], tmp_path: Path) -> None:
    """Goal: nobody loses the identity that the file gives them. Method: 50 people, most out of bounds."""
    assert counted(declared, list(range(50)), tmp_path) == (50, 50)


def test_empty_fields_of_a_csv_file_are_nobody(tmp_path: Path) -> None:
    """Goal: the same for text files, where every row has something to read."""
    unit = {"kind": "identifier", "column": "person", "max_contributions": 1}
    metadata = parse_metadata(
        {"privacy_unit": unit, "columns": {"person": {"type": "integer"}, "x": {"type": "string"}}}
    )
    source = csv("person,x\n" + ",a\n" * 20 + "1,a\n1,a\n2,a\n", tmp_path)
    assert answer(SQL, source, metadata).row(0) == (2, 2)
