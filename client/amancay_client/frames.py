"""Tables that the server sends, as data frames."""

import base64
import binascii
import io
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from amancay_client.display import Grid, Shown
from amancay_client.errors import ServerFault

if TYPE_CHECKING:
    import pandas as pd

ROWS_PER_PAGE = 5000
SHOWN_ROWS = 20
KINDS: tuple[tuple[str, type[pl.DataType]], ...] = (
    ("int", pl.Int64),
    ("uint", pl.UInt64),
    ("float", pl.Float64),
    ("double", pl.Float64),
    ("bool", pl.Boolean),
    ("str", pl.String),
    ("large_string", pl.String),
    ("utf8", pl.String),
)
"""How a column's type begins, and what it becomes where rows arrive as JSON; any other type is inferred."""
TIMES = ("datetime", "timestamp")


class Table(Shown):
    """Rows that the server released or made up, held as a Polars frame."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(self._frame.columns)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every row as a mapping from column to value."""
        return self._frame.to_dicts()

    def __len__(self) -> int:
        return self._frame.height

    def to_polars(self) -> pl.DataFrame:
        """The table as a Polars frame."""
        return self._frame

    def to_pandas(self) -> "pd.DataFrame":
        """The table as a pandas frame.

        Raises ImportError without pandas and pyarrow: `pip install 'amancay-client[pandas]'`.
        """
        try:
            # Polars imports both when it is asked to: most researchers need neither.
            return self._frame.to_pandas()
        except ModuleNotFoundError as error:
            raise ImportError("to_pandas() needs: pip install 'amancay-client[pandas]'") from error

    def _grid(self) -> Grid:
        frame = self._frame
        shown = tuple(tuple(map(str, row)) for row in frame.head(SHOWN_ROWS).iter_rows())
        first = f", the first {SHOWN_ROWS} shown" if frame.height > SHOWN_ROWS else ""
        title = f"Rows: {frame.height}{first}"
        return Grid(title=title, headers=self.columns, rows=shown)


async def read_table(answer: Mapping[str, Any], page: Callable[[int, int], Awaitable[Any]]) -> Table:
    """The server's `Table`: one piece of Arrow, or when that is too big, pages from `page(first, offset)`."""
    if answer["arrow"] is not None:
        return Table(_from_arrow(answer["arrow"]))
    rows: list[Any] = []
    while len(rows) < answer["rowCount"]:
        more = await page(ROWS_PER_PAGE, len(rows))
        if not more:
            raise ServerFault(f"The server promised {answer['rowCount']} rows and sent {len(rows)}.")
        rows.extend(more)
    return Table(_from_rows(answer["columns"], rows))


def _from_arrow(text: str) -> pl.DataFrame:
    """A frame from an Arrow IPC stream in base64."""
    try:
        return pl.read_ipc_stream(io.BytesIO(base64.b64decode(text, validate=True)))
    except (binascii.Error, pl.exceptions.PolarsError, OSError) as error:
        raise ServerFault("The server sent a table that cannot be read.") from error


def _from_rows(columns: list[Mapping[str, str]], rows: list[Any]) -> pl.DataFrame:
    """A frame from rows in JSON, with the types that the server named."""
    schema = {column["name"]: _data_type(column["type"]) for column in columns}
    frame = pl.DataFrame(rows, schema=schema, orient="row", strict=False, infer_schema_length=None)
    times = [column["name"] for column in columns if column["type"].lower().startswith(TIMES)]
    return frame.with_columns(pl.col(name).cast(pl.String).str.to_datetime() for name in times)


def _data_type(name: str) -> "type[pl.DataType] | None":
    matches = (kind for prefix, kind in KINDS if name.lower().startswith(prefix))
    return next(matches, None)
