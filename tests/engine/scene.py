"""One table with a column of every type, and the shortest ways to ask it."""

from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from amancay_engine.dummy import DummyRows
from amancay_engine.metadata import TableMetadata, parse_metadata
from amancay_engine.query import SmartnoiseSqlQuery
from amancay_engine.release import Release
from amancay_engine.runners import runner_of
from amancay_engine.sources import FileFormat, FileSource, Source
from amancay_engine.vetting.smartnoise_sql import vet_smartnoise_sql
from amancay_engine.vetting.sql_plan import SqlPlan

COLUMNS: dict[str, dict[str, Any]] = {
    "person": {"type": "integer"},
    "age": {"type": "integer", "lower": 0, "upper": 100, "nullable": True},
    "pay": {"type": "float", "lower": -10, "upper": 50},
    "sex": {"type": "string", "categories": ["f", "m", "x"], "public_categories": True},
    "level": {"type": "integer", "categories": [1, 2], "public_categories": True, "nullable": True},
    "ward": {"type": "string", "categories": ["north", "south"]},
    "town": {"type": "string", "nullable": True},
    "smokes": {"type": "boolean"},
    "seen": {"type": "datetime"},
    "unbounded": {"type": "float"},
    "Total": {"type": "integer", "lower": 0, "upper": 5},
}
ROW = parse_metadata({"columns": COLUMNS})
"""Each row is a privacy unit."""
PERSON = parse_metadata(
    {"privacy_unit": {"kind": "identifier", "column": "person", "max_contributions": 3}, "columns": COLUMNS}
)
"""All rows of a person are."""
SHARP = 1e6
"""An epsilon at which the noise on a count has a scale of a millionth."""


def people() -> pl.DataFrame:
    """Rows with everything that the view has to mend: bounds passed, unknown categories, missing values."""
    index = range(400)
    return pl.DataFrame(
        {
            "person": [number // 4 for number in index],
            "age": [None if number % 11 == 0 else (number * 7) % 130 - 10 for number in index],
            "pay": [(number * 13) % 90 - 25.5 for number in index],
            "sex": [["f", "m", "other"][number % 3] for number in index],
            "level": [[1, 2, None, 7][number % 4] for number in index],
            "ward": [["north", "south", "east"][number % 3] for number in index],
            "town": [f"t{number % 5}" if number % 50 else None for number in index],
            "smokes": [number % 2 == 0 for number in index],
            "seen": [datetime(2020 + number % 3, 1 + number % 12, 1) for number in index],  # noqa: DTZ001 - no zone
            "unbounded": [float(number) for number in index],
            "Total": [number % 6 for number in index],
        }
    )


def sql_query(sql: str, *, epsilon: float = 1.0, **fields: Any) -> SmartnoiseSqlQuery:
    """A question in SQL."""
    return SmartnoiseSqlQuery(sql=sql, epsilon=epsilon, **fields)


def plan_of(sql: str, metadata: TableMetadata = ROW, **fields: Any) -> SqlPlan:
    """What vetting makes of it."""
    return vet_smartnoise_sql(sql_query(sql, **fields), metadata)


def parquet(frame: pl.DataFrame, folder: Path, name: str = "table.parquet") -> FileSource:
    """The frame in a file."""
    path = folder / name
    frame.write_parquet(path)
    return FileSource(path=str(path), format=FileFormat.PARQUET)


def csv(text: str, folder: Path, name: str = "table.csv") -> FileSource:
    """The text in a file."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return FileSource(path=str(path), format=FileFormat.CSV)


def release(query: SmartnoiseSqlQuery, metadata: TableMetadata, rows: Source | DummyRows) -> Release:
    """The answer as it would leave."""
    return runner_of(query).prepare(query, metadata, rows).release()


def answer(
    sql: str, rows: Source | DummyRows, metadata: TableMetadata = ROW, *, epsilon: float = SHARP, **fields: Any
) -> pl.DataFrame:
    """The answer as a frame."""
    return pl.read_ipc_stream(release(sql_query(sql, epsilon=epsilon, **fields), metadata, rows).table)
