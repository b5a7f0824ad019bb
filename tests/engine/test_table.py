"""The view over private rows: it clamps what it finds, fails on nothing, and lets nothing else be read."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amancay_engine.errors import InvalidMetadata
from amancay_engine.metadata import TableMetadata, parse_metadata
from amancay_engine.sources import FileFormat, FileSource, dump_source, parse_source
from amancay_engine.sources.table import ROWS, SourceUnavailable, open_table
from tests.engine.scene import csv, parquet

METADATA = parse_metadata(
    {
        "columns": {
            "age": {"type": "integer", "lower": 0, "upper": 100, "nullable": True},
            "must": {"type": "integer", "lower": 5, "upper": 9},
            "pay": {"type": "float", "lower": -10, "upper": 50, "nullable": True},
            "free": {"type": "float"},
            "ward": {"type": "string", "categories": ["north", "it's"]},
            "level": {"type": "integer", "categories": [1, 2]},
            "town": {"type": "string"},
            "smokes": {"type": "boolean"},
            "seen": {"type": "datetime", "lower": "2020-01-01T00:00:00", "upper": "2021-01-01T00:00:00"},
        }
    }
)
NAN, INF = float("nan"), float("inf")
NEW_YEAR, YEAR_AFTER = datetime(2020, 1, 1), datetime(2021, 1, 1)  # noqa: DTZ001 - columns carry no zone

CLAMPED: list[tuple[str, Any, Any]] = [
    ("age", 50, 50),
    ("age", -1, 0),
    ("age", 0, 0),
    ("age", 100, 100),
    ("age", 10**18, 100),
    ("age", None, None),
    ("must", 4, 5),
    ("must", 10, 9),
    ("must", None, 5),
    ("pay", 1.5, 1.5),
    ("pay", -10.5, -10.0),
    ("pay", 1e300, 50.0),
    ("pay", INF, 50.0),
    ("pay", -INF, -10.0),
    ("pay", NAN, None),
    ("pay", None, None),
    ("free", 1e300, 1e300),
    ("free", NAN, None),
    ("ward", "north", "north"),
    ("ward", "it's", "it's"),
    ("ward", "North", None),
    ("ward", "elsewhere", None),
    ("ward", None, None),
    ("level", 1, 1),
    ("level", 3, None),
    ("town", "anything", "anything"),
    ("town", "", ""),
    ("smokes", True, True),
    ("smokes", None, None),
    ("seen", datetime(2020, 5, 1), datetime(2020, 5, 1)),  # noqa: DTZ001 - columns carry no zone
    ("seen", datetime(1999, 1, 1), NEW_YEAR),  # noqa: DTZ001 - columns carry no zone
    ("seen", datetime(2999, 1, 1), YEAR_AFTER),  # noqa: DTZ001 - columns carry no zone
]


def rows(source: FileSource | pl.DataFrame, *columns: str, metadata: TableMetadata = METADATA) -> list[Any]:
    """What the view shows."""
    with open_table(source, metadata, columns) as connection:
        return connection.execute(f"SELECT * FROM {ROWS}").fetchall()


@pytest.mark.parametrize(("column", "stored", "seen"), CLAMPED)
def test_parquet_is_clamped(column: str, stored: Any, seen: Any, tmp_path: Path) -> None:
    """Goal: whatever a file holds, the view shows only what is declared."""
    assert rows(parquet(pl.DataFrame({column: [stored]}), tmp_path), column) == [(seen,)]


@pytest.mark.parametrize(
    ("column", "stored", "seen"), [case for case in CLAMPED if case[1] is not None and case[1] != ""]
)
def test_csv_is_clamped_as_parquet_is(column: str, stored: Any, seen: Any, tmp_path: Path) -> None:
    """Goal: the format makes no difference."""
    assert rows(csv(f'{column},other\n"{stored}",1\n', tmp_path), column) == [(seen,)]


WRONG = [
    ("age", "old", None),
    ("age", "3.4", 3),
    ("age", "", None),
    ("age", "99999999999999999999999", None),
    ("must", "x", 5),
    ("pay", "much", None),
    ("pay", "inf", 50.0),
    ("pay", "-Infinity", -10.0),
    ("pay", "nan", None),
    ("level", "x", None),
    ("smokes", "perhaps", None),
    ("smokes", "true", True),
    ("seen", "soon", None),
    ("seen", "2020-13-45", None),
    ("seen", "infinity", YEAR_AFTER),
    ("seen", "-infinity", NEW_YEAR),
    ("seen", "290000-01-01", YEAR_AFTER),
]


@pytest.mark.parametrize(("column", "stored", "seen"), WRONG)
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_what_does_not_fit_its_type_is_missing(form: str, column: str, stored: str, seen: Any, tmp_path: Path) -> None:
    """Goal: no value of a row makes the view fail. Method: text where numbers, truths and times are declared."""
    if form == "csv":
        source = csv(f"{column},other\n{stored},1\n", tmp_path)
    else:
        source = parquet(pl.DataFrame({column: [stored]}), tmp_path)
    assert rows(source, column) == [(seen,)]


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame({"age": [[1, 2]]}),
        pl.DataFrame({"age": [{"a": 1}]}),
        pl.DataFrame({"age": [b"\xff\x00"]}),
        pl.DataFrame({"age": [datetime(2020, 1, 1)]}),  # noqa: DTZ001 - columns carry no zone
        pl.DataFrame({"age": [None]}, schema={"age": pl.Null}),
    ],
    ids=["list", "struct", "bytes", "time", "null"],
)
def test_a_column_of_another_type_is_missing(frame: pl.DataFrame, tmp_path: Path) -> None:
    """Goal: a file that does not match its declaration has no values, and fails alike for every row."""
    try:
        seen = rows(parquet(frame, tmp_path), "age")
    except SourceUnavailable:
        seen = [(None,)]
    assert seen == [(None,)]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats() | st.none(), min_size=1, max_size=20) | st.lists(st.text(max_size=8) | st.none(), min_size=1)
)
def test_every_value_comes_out_declared(values: list[float | None] | list[str | None]) -> None:
    """Goal: values are within bounds or missing, for any floats and texts. Method: frames through the same view."""
    shown = rows(pl.DataFrame(dict.fromkeys(("age", "must", "pay", "ward"), values)), "age", "must", "pay", "ward")
    assert len(shown) == len(values)
    for age, must, pay, ward in shown:
        assert age is None or 0 <= age <= 100
        assert 5 <= must <= 9
        assert pay is None or -10 <= pay <= 50
        assert ward in {"north", "it's", None}


MALFORMED: list[tuple[bytes, int]] = [
    (b"age,town\n1,a\n2\n3,c\n", 2),
    (b"age,town\n1,a\n2,b,c\n3,c\n", 3),
    (b'age,town\n1,"a\n2,b\n', 1),
    (b'age,town\n1,a"b\n2,b\n', 2),
    (b"age,town\n1,\xff\xfe\n2,b\n", 1),
    (b"age,town\n1,a\0b\n2,b\n", 2),
    (b"age,town\n1,a\r\n2,b\r\n", 2),
    (b"age,town\r\n1,a\r\n2,b\r\n", 2),
    (b"\xef\xbb\xbfage,town\n1,a\n", 1),
    (b'age,town\n1,"a\nb"\n2,b\n', 2),
    (b"age,town\n\n\n1,a\n\n", 1),
    (b"age,town\n1," + b"x" * 3_000_000 + b"\n2,b\n", 1),
    (b"age,town\n", 0),
    (b"age,town", 0),
]


@pytest.mark.parametrize(("content", "count"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_line_is_left_out(content: bytes, count: int, tmp_path: Path) -> None:
    """Goal: whether a run fails does not depend on a row. Method: CSV files with every kind of broken line."""
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    assert len(rows(FileSource(path=str(path), format=FileFormat.CSV), "age", "town")) == count


def test_names_are_matched_without_regard_to_case(tmp_path: Path) -> None:
    """Goal: as SQL does."""
    assert rows(parquet(pl.DataFrame({"AGE": [3]}), tmp_path), "age") == [(3,)]
    assert rows(csv("AGE,x\n3,1\n", tmp_path), "age") == [(3,)]


def test_no_columns_still_count_rows(tmp_path: Path) -> None:
    """Goal: COUNT(*) needs no column."""
    assert len(rows(parquet(pl.DataFrame({"x": [1, 2, 3]}), tmp_path))) == 3


def test_paths_with_odd_names_are_read(tmp_path: Path) -> None:
    """Goal: the owner's path is text, not SQL and not a pattern of the shell's."""
    for name in ("it's.parquet", "a b.parquet", "ü.parquet"):
        assert rows(parquet(pl.DataFrame({"age": [3]}), tmp_path, name), "age") == [(3,)]


UNAVAILABLE = [
    ("missing.parquet", FileFormat.PARQUET, None),
    ("missing.csv", FileFormat.CSV, None),
    ("table.parquet", FileFormat.PARQUET, b"this is no parquet"),
    ("table.parquet", FileFormat.PARQUET, b""),
    ("table.csv", FileFormat.CSV, b""),
    ("table.csv", FileFormat.CSV, b"other,columns\n1,2\n"),
    ("table.csv", FileFormat.CSV, b"age,age\n1,2\n"),
]


@pytest.mark.parametrize(("name", "form", "content"), UNAVAILABLE)
def test_a_source_that_cannot_be_read_is_unavailable(
    name: str, form: FileFormat, content: bytes | None, tmp_path: Path
) -> None:
    """Goal: known before a row is read: no file, no such format, no such column."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceUnavailable):
        open_table(FileSource(path=str(path), format=form), METADATA, ["age"])


@pytest.mark.parametrize("form", list(FileFormat))
def test_folders_and_relative_paths_are_unavailable(form: FileFormat, tmp_path: Path) -> None:
    """Goal: a source is one file by its absolute path."""
    for path in (str(tmp_path), "table.csv", "", "http://localhost/table.csv"):
        with pytest.raises(SourceUnavailable):
            open_table(FileSource(path=path, format=form), METADATA, ["age"])


def test_a_missing_column_is_unavailable_only_if_it_is_asked_for(tmp_path: Path) -> None:
    """Goal: queries touch the columns they name."""
    source = parquet(pl.DataFrame({"age": [3]}), tmp_path)
    assert rows(source, "age") == [(3,)]
    with pytest.raises(SourceUnavailable):
        open_table(source, METADATA, ["age", "pay"])


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to one file, with another one beside it."""
    parquet(pl.DataFrame({"secret": [42]}), tmp_path, "other.parquet")
    csv("secret\n42\n", tmp_path, "other.csv")
    with open_table(parquet(pl.DataFrame({"age": [3]}), tmp_path), METADATA, ["age"]) as connection:
        yield connection


DENIED = [
    "SELECT * FROM read_parquet('{folder}/other.parquet')",
    "SELECT * FROM '{folder}/other.parquet'",
    "SELECT * FROM read_csv('{folder}/other.csv')",
    "SELECT * FROM read_text('{folder}/other.csv')",
    "SELECT * FROM read_blob('{folder}/other.csv')",
    "SELECT * FROM read_parquet('{folder}/*.parquet')",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_csv('/proc/self/environ')",
    "SELECT * FROM read_parquet('{folder}/table.parquet/../other.parquet')",
    "SELECT * FROM read_csv('https://localhost/x.csv')",
    "SELECT * FROM sqlite_scan('{folder}/x.db', 't')",
    "SELECT getenv('HOME')",
    "COPY (SELECT 1) TO '{folder}/written.csv'",
    "COPY amancay_rows TO '{folder}/written.parquet' (FORMAT parquet)",
    "EXPORT DATABASE '{folder}/exported'",
    "IMPORT DATABASE '{folder}'",
    "ATTACH '{folder}/new.db' AS other",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{folder}/x.duckdb_extension'",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "SET allowed_paths = ['{folder}/other.parquet']",
    "SET allowed_directories = ['{folder}']",
    "SET memory_limit = '100GB'",
    "SET threads = 100",
    "RESET allowed_paths",
    "SET autoload_known_extensions = true",
    "SET temp_directory = '{folder}'",
    "PRAGMA memory_limit = '100GB'",
]


@pytest.mark.parametrize("sql", DENIED)
def test_the_connection_is_locked(sql: str, locked: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """Goal: should SQL ever get through, there is nothing to reach. Method: ways out of DuckDB; nothing is written."""
    before = sorted(tmp_path.iterdir())
    with pytest.raises(duckdb.Error):
        locked.execute(sql.replace("{folder}", str(tmp_path))).fetchall()
    assert sorted(tmp_path.iterdir()) == before
    assert locked.execute(f"SELECT * FROM {ROWS}").fetchall() == [(3,)]


def test_python_variables_are_out_of_reach(locked: duckdb.DuckDBPyConnection) -> None:
    """Goal: DuckDB looks names up among Python's variables unless it is told not to."""
    secret = pl.DataFrame({"a": [42]})
    assert secret.height == 1
    with pytest.raises(duckdb.Error):
        locked.execute("SELECT * FROM secret").fetchall()


@pytest.mark.parametrize("form", list(FileFormat))
def test_a_source_survives_the_round_trip(form: FileFormat) -> None:
    """Goal: sources are stored as plain documents."""
    source = FileSource(path="/data/table", format=form)
    assert parse_source(dump_source(source)) == source


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"kind": "file"},
        {"kind": "http", "path": "/a", "format": "CSV"},
        {"kind": "file", "path": 3, "format": "CSV"},
        {"kind": "file", "path": "/a", "format": "csv"},
        {"kind": "file", "path": "/a", "format": None},
    ],
)
def test_an_unknown_source_is_refused(document: dict[str, Any]) -> None:
    """Goal: fail closed."""
    with pytest.raises(InvalidMetadata) as refusal:
        parse_source(document)
    assert refusal.value.path == ("source",)
