"""The one way to private rows: a locked DuckDB connection with a view that casts and clamps by the metadata.

Nothing outside the view is reachable from SQL that runs on the connection, and nothing in the view can fail on a
row: what does not fit its declared type becomes NULL, what is out of bounds is clamped to them, what is not
among the declared categories becomes NULL, and a line of a CSV file that cannot be read is left out.
"""

import csv
from collections.abc import Iterable
from pathlib import Path

import duckdb
import polars as pl

from amancay_engine.database import empty_database, lock
from amancay_engine.errors import FailureCode
from amancay_engine.metadata import (
    BooleanColumn,
    Column,
    DatetimeColumn,
    FloatColumn,
    IntegerColumn,
    StringColumn,
    TableMetadata,
)
from amancay_engine.sources.file import FileFormat, FileSource
from amancay_engine.vetting.sql_expression import number_literal, text_literal, time_literal

ROWS = "amancay_rows"


class SourceUnavailable(Exception):
    """The source cannot be reached or lacks a declared column; no row was read."""

    code = FailureCode.UNAVAILABLE


def open_table(
    source: FileSource | pl.DataFrame, metadata: TableMetadata, columns: Iterable[str]
) -> duckdb.DuckDBPyConnection:
    """A connection whose view `amancay_rows` has the named columns of the source, cast and clamped.

    Reads the source's schema, no rows.

    Raises:
        SourceUnavailable: if the source cannot be opened or a column is missing.
    """
    connection = empty_database()
    names = list(columns)
    try:
        relation = _relation(connection, source)
        lock(connection, f"[{text_literal(source.path)}]" if isinstance(source, FileSource) else "[]")
        have = {str(name).lower() for name in connection.sql(f"SELECT * FROM {relation} LIMIT 0").columns}  # noqa: S608 - our own text
    except duckdb.Error as error:
        raise SourceUnavailable from error
    if any(name.lower() not in have for name in names):
        raise SourceUnavailable
    selected = ", ".join(f'{_shown(name, metadata)} AS "{name}"' for name in names) or "TRUE AS present"
    connection.execute(f"CREATE TEMP VIEW {ROWS} AS SELECT {selected} FROM {relation}")  # noqa: S608 - generated from the metadata
    return connection


def _relation(connection: duckdb.DuckDBPyConnection, source: FileSource | pl.DataFrame) -> str:
    if isinstance(source, pl.DataFrame):
        connection.execute("SET threads = 1")  # made-up rows are added up in the same order every time
        connection.register("dummy_rows", source.to_arrow())
        return "dummy_rows"
    if not Path(source.path).is_absolute():
        raise SourceUnavailable
    if source.format is FileFormat.PARQUET:
        return f"read_parquet({text_literal(source.path)})"
    header = ", ".join(f"{text_literal(name)}: 'VARCHAR'" for name in _csv_header(Path(source.path)))
    options = f"header = true, auto_detect = false, ignore_errors = true, strict_mode = false, columns = {{{header}}}"
    return f"read_csv({text_literal(source.path)}, {options})"


def _csv_header(path: Path) -> list[str]:
    """The names in the first line; the database's own detection would read rows.

    Bytes that are no text are replaced: the file is read in blocks, and what is in its rows must not matter here.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            return next(csv.reader(file))
    except (OSError, StopIteration, csv.Error) as error:
        raise SourceUnavailable from error


def _shown(name: str, metadata: TableMetadata) -> str:
    column = metadata.columns[name]
    return identity(name, column) if name == metadata.privacy_unit.column else clamped(name, column)


def identity(name: str, column: Column) -> str:
    """The column of the privacy unit: neither clamped nor rounded nor held against categories.

    Two units made one would share one bound on contributions, and each could push out the other's rows.
    """
    value = _typed(name, column)
    return f'CASE WHEN TRY_CAST("{name}" AS DOUBLE) = {value} THEN {value} END' if column.type == "integer" else value


def clamped(name: str, column: Column) -> str:
    """A column as the metadata declares it, in DuckDB's SQL."""
    value = _typed(name, column)
    match column:
        case IntegerColumn() | FloatColumn():
            value = _between(value, column.lower, column.upper)
        case DatetimeColumn() if column.lower is not None and column.upper is not None:
            value = _clamp(value, time_literal(column.lower), time_literal(column.upper))
    return _known(_present(value, column), column)


def _typed(name: str, column: Column) -> str:
    """The value, NULL if it does not fit the declared type."""
    number = f'TRY_CAST("{name}" AS DOUBLE)'
    match column:
        case IntegerColumn():
            return f'TRY_CAST("{name}" AS BIGINT)'
        case FloatColumn():
            return f"CASE WHEN NOT isnan({number}) THEN {number} END"
        case DatetimeColumn():
            return f'TRY_CAST("{name}" AS TIMESTAMP)'
        case BooleanColumn():
            return f'TRY_CAST("{name}" AS BOOLEAN)'
        case StringColumn():
            return f'TRY_CAST("{name}" AS VARCHAR)'


def _between(value: str, lower: float | None, upper: float | None) -> str:
    if lower is None or upper is None:
        return value
    return _clamp(value, number_literal(lower), number_literal(upper))


def _clamp(value: str, lower: str, upper: str) -> str:
    """Written as CASE: GREATEST and LEAST pass over NULL and would turn it into a bound."""
    return f"CASE WHEN {value} < {lower} THEN {lower} WHEN {value} > {upper} THEN {upper} ELSE {value} END"


def _present(value: str, column: Column) -> str:
    """A column that is declared without NULL has none: what is missing counts as its lower bound."""
    if column.nullable or not isinstance(column, IntegerColumn | FloatColumn) or column.lower is None:
        return value
    return f"COALESCE({value}, {number_literal(column.lower)})"


def _known(value: str, column: Column) -> str:
    if not isinstance(column, IntegerColumn | StringColumn) or column.categories is None:
        return value
    listed = ", ".join(
        number_literal(category) if isinstance(category, int) else text_literal(category)
        for category in column.categories
    )
    return f"CASE WHEN {value} IN ({listed}) THEN {value} END"
