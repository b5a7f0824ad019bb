"""Attack: learn from the stage before a run is paid for. It may read names and types of columns, and no row."""

from pathlib import Path

import duckdb
import polars as pl
import pytest

from amancay_engine.runners import runner_of
from amancay_engine.sources import FileFormat, FileSource
from tests.engine.scene import PERSON, ROW, parquet, sql_query

SQL = "SELECT town, COUNT(*), SUM(age) FROM df WHERE smokes GROUP BY town"


def test_parquet_pages_are_not_touched(tmp_path: Path) -> None:
    """Goal: preparing works on a file whose rows are destroyed, and only releasing fails."""
    people = pl.DataFrame({"person": [1, 2], "town": ["a", "b"], "age": [1, 2], "smokes": [True, False]})
    source = parquet(people, tmp_path)
    content = bytearray(Path(source.path).read_bytes())
    footer = int.from_bytes(content[-8:-4], "little")
    content[4 : len(content) - 8 - footer] = b"\xff" * (len(content) - 12 - footer)
    Path(source.path).write_bytes(content)
    for metadata in (ROW, PERSON):
        prepared = runner_of(sql_query(SQL)).prepare(sql_query(SQL), metadata, source)
        with pytest.raises(duckdb.Error):
            prepared.release()


@pytest.mark.parametrize(
    "rows", [b"", b"\xff\xfe\xff\n", b'"open,', b"1\n" * 5, b"\0" * 99, b",,,,,,,,,,,\n", b"x" * 10**6]
)
def test_csv_rows_do_not_matter_before(rows: bytes, tmp_path: Path) -> None:
    """Goal: what stands under the header changes nothing about preparing, whatever it is."""
    path = tmp_path / "table.csv"
    path.write_bytes(b"person,town,age,smokes\n" + rows)
    source = FileSource(path=str(path), format=FileFormat.CSV)
    prepared = runner_of(sql_query(SQL)).prepare(sql_query(SQL), PERSON, source)
    assert prepared.loss.epsilon == 3
