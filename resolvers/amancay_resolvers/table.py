"""Tables of answers: from Arrow bytes to what a client asks for."""

from collections.abc import Callable, Sequence
from functools import partial

import polars as pl

from amancay_schema.errors import ApiError
from amancay_schema.table import FileFormat, Table, TableColumn

MAX_ROWS = 10_000
MAX_ARROW_BYTES = 8 * 2**20


def table_of(
    stream: bytes, columns: Sequence[tuple[str, str]], row_count: int, sign: Callable[[FileFormat], str]
) -> Table:
    """A table over an Arrow IPC stream; decoded only if rows are asked for."""
    return Table(
        columns=[TableColumn(name=name, type=kind) for name, kind in columns],
        row_count=row_count,
        load_rows=partial(_rows, stream),
        load_arrow=lambda: stream if len(stream) <= MAX_ARROW_BYTES else None,
        sign_download=sign,
    )


def _rows(stream: bytes, first: int, offset: int) -> list[list[object]]:
    if not 0 <= first <= MAX_ROWS or offset < 0:
        raise ApiError("LIMIT_EXCEEDED", f"rows takes 0 to {MAX_ROWS} from an offset of at least 0.", limit="rows")
    part = pl.read_ipc_stream(stream).slice(offset, first)
    finite = part.with_columns(
        pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name)
        for name, kind in part.schema.items()
        if kind.is_float()
    )
    texts = finite.with_columns(
        pl.col(name).dt.to_string("iso").alias(name) for name, kind in finite.schema.items() if kind.is_temporal()
    )
    return [list(row) for row in texts.iter_rows()]
