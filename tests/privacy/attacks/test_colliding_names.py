"""Attack: columns and labels with the names that the engine uses inside, to be counted, bounded or grouped instead."""

from pathlib import Path

import polars as pl
import pytest

from amancay_engine.metadata import parse_metadata
from tests.engine.scene import answer, parquet

INSIDE = ["k0", "k1", "p0", "p1", "c0", "c1", "uid", "df", "amancay_rows", "keycount", "row_num", "shuffle", "noisy",
          "present", "dummy_rows", "count_all", "select", "per_key_all", "clamped"]  # fmt: skip


@pytest.mark.parametrize("name", INSIDE)
def test_the_declared_column_is_meant(name: str, tmp_path: Path) -> None:
    """Goal: WHERE, keys, sums and the contribution bound use the column that the metadata declares.

    Method: the name stands for a summed column, then for the identifier, beside a decoy with other values.
    """
    decoy = "c0" if name != "c0" else "k0"
    rows = pl.DataFrame({name: [1, 1, 1, 1, 2], decoy: [5, 6, 7, 8, 9], "town": ["a"] * 5})
    columns = {
        name: {"type": "integer", "lower": 0, "upper": 2},
        decoy: {"type": "integer", "lower": 0, "upper": 9},
        "town": {"type": "string", "categories": ["a"], "public_categories": True},
    }
    source = parquet(rows, tmp_path)
    summed = f'SELECT town, SUM("{name}") AS p0, SUM({decoy}) AS k0 FROM df WHERE "{name}" < 2 GROUP BY town'
    assert answer(summed, source, parse_metadata({"columns": columns})).row(0) == ("a", 4, 26)
    unit = {"kind": "identifier", "column": name, "max_contributions": 1}
    bounded = parse_metadata({"privacy_unit": unit, "columns": columns})
    counts = f'SELECT COUNT(*) AS uid, COUNT(DISTINCT "{name}") AS c0 FROM df'
    assert answer(counts, source, bounded).row(0) == (2, 2)
    assert answer(f"SELECT {decoy} * 0, COUNT(*) AS n FROM df GROUP BY {decoy} * 0", source, bounded).row(0) == (0, 2)


@pytest.mark.parametrize("alias", ["p0", "k0", "noisy", "df", "Total", 'a"b', "'; DROP", "count(*)", "select"])
def test_labels_are_only_labels(alias: str, tmp_path: Path) -> None:
    """Goal: no label changes what is computed."""
    source = parquet(pl.DataFrame({"town": ["a"] * 30 + ["b"] * 40}), tmp_path)
    metadata = parse_metadata({"columns": {"town": {"type": "string"}}})
    quoted = alias.replace('"', '""')
    sql = f'SELECT COUNT(*) + 1 AS "{quoted}", COUNT(*) AS n FROM df GROUP BY town ORDER BY "{quoted}" DESC'
    shown = answer(sql, source, metadata)
    assert shown.columns == [alias, "n"]
    assert shown.rows() == [(41, 40), (31, 30)]
