"""Rows made from the metadata alone, to try a query on for free.

They look like the declaration, not like the data: columns are independent and uniform within their bounds.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from amancay_engine.errors import InvalidQuery
from amancay_engine.metadata import (
    BooleanColumn,
    Column,
    DatetimeColumn,
    FloatColumn,
    IntegerColumn,
    StringColumn,
    TableMetadata,
)

MAX_DUMMY_ROWS = 10_000
MAX_SEED = 2**31 - 1
MISSING_SHARE = 0.1
UNDECLARED_UPPER = 100
UNDECLARED_TIMES = (datetime(2020, 1, 1), datetime(2025, 1, 1))  # noqa: DTZ001 - columns carry no zone


@dataclass(frozen=True, slots=True, kw_only=True)
class DummyRows:
    """How many rows to make up, and from which seed."""

    rows: int = 100
    seed: int = 42


def dummy_frame(metadata: TableMetadata, *, rows: int, seed: int) -> pl.DataFrame:
    """A frame with the declared columns; the same seed gives the same rows.

    Raises:
        InvalidQuery: if `rows` or `seed` is out of range.
    """
    if not 0 <= rows <= MAX_DUMMY_ROWS:
        raise InvalidQuery(f"dummy rows must be from 0 to {MAX_DUMMY_ROWS}", "dummy", "rows")
    if not 0 <= seed <= MAX_SEED:
        raise InvalidQuery(f"the seed of dummy rows must be from 0 to {MAX_SEED}", "dummy", "seed")
    random = np.random.Generator(np.random.PCG64(seed))
    unit = metadata.privacy_unit
    return pl.DataFrame(
        [
            _identifiers(name, column, rows, unit.max_contributions, random)
            if name == unit.column
            else _series(name, column, rows, random)
            for name, column in metadata.columns.items()
        ]
    )


def _identifiers(name: str, column: Column, rows: int, contributions: int, random: np.random.Generator) -> pl.Series:
    """Each identifier stands in at most `contributions` rows."""
    people = max(1, -(-rows * 2 // (contributions + 1)))
    slots = random.permutation(np.repeat(np.arange(1, people + 1), contributions))[:rows]
    numbers = pl.Series(name, slots, dtype=pl.Int64)
    return numbers.cast(pl.String) if isinstance(column, StringColumn) else numbers


def _series(name: str, column: Column, rows: int, random: np.random.Generator) -> pl.Series:
    values = _values(name, column, rows, random)
    if not column.nullable:
        return values
    return pl.select(pl.when(pl.Series(random.random(rows) >= MISSING_SHARE)).then(values).alias(name)).to_series()


def _values(name: str, column: Column, rows: int, random: np.random.Generator) -> pl.Series:
    match column:
        case IntegerColumn(categories=tuple(categories)) | StringColumn(categories=tuple(categories)):
            dtype = pl.Int64 if isinstance(column, IntegerColumn) else pl.String
            drawn = [categories[index] for index in random.integers(0, len(categories), rows)]
            return pl.Series(name, drawn, dtype=dtype)
        case IntegerColumn():
            lower, upper = (0, UNDECLARED_UPPER) if column.lower is None else (column.lower, column.upper or 0)
            return pl.Series(name, random.integers(lower, upper, rows, endpoint=True), dtype=pl.Int64)
        case FloatColumn():
            start, end = (0.0, float(UNDECLARED_UPPER)) if column.lower is None else (column.lower, column.upper or 0.0)
            share = random.random(rows)  # end - start may be beyond the largest float
            return pl.Series(name, (1 - share) * start + share * end, dtype=pl.Float64)
        case StringColumn():
            letters = [chr(ord("a") + index) for index in random.integers(0, 26, rows)]
            return pl.Series(name, letters, dtype=pl.String)
        case BooleanColumn():
            return pl.Series(name, random.random(rows) < 0.5, dtype=pl.Boolean)
        case DatetimeColumn():
            return _times(name, column, rows, random)


def _times(name: str, column: DatetimeColumn, rows: int, random: np.random.Generator) -> pl.Series:
    first, last = column.lower or UNDECLARED_TIMES[0], column.upper or UNDECLARED_TIMES[1]
    seconds = random.integers(0, int((last - first).total_seconds()), rows, endpoint=True)
    return pl.Series(name, np.datetime64(first, "us") + seconds.astype("timedelta64[s]"), dtype=pl.Datetime("us"))
