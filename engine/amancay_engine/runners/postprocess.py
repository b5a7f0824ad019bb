"""From noisy parts to the answer that was asked for. Sees nothing but noisy values, so it is free."""

import polars as pl

from amancay_engine.database import empty_database, lock
from amancay_engine.metadata import FloatColumn, TableMetadata, bounds
from amancay_engine.release import Release
from amancay_engine.vetting.smartnoise_sql import fresh
from amancay_engine.vetting.sql_expression import Kind
from amancay_engine.vetting.sql_plan import Part, PartFunction, SqlPlan, key_name, part_name

SAFE_INTEGER = 2**53
"""Beyond, a double cannot hold every whole number, and a sum of integers is shown as a float."""
MANY_ROWS = 10**9
"""What a table without a declared row count is taken to have at most, for that choice only."""

_TYPES: dict[Kind, pl.DataType] = {
    Kind.TEXT: pl.String(),
    Kind.BOOLEAN: pl.Boolean(),
    Kind.TIME: pl.Datetime("us"),
}


def finish(plan: SqlPlan, metadata: TableMetadata, noisy: pl.DataFrame, *, postprocess: bool) -> Release:
    """The release: as the SELECT asks, or the noisy parts themselves without `postprocess`.

    With `postprocess`, counts are whole and not negative, sums of integers whole, means within their bounds.
    """
    noisy = noisy.with_columns(
        pl.col(key_name(index)).cast(_TYPES[key.kind]) for index, key in enumerate(plan.keys) if key.kind in _TYPES
    )
    frame = _selected(plan, metadata, noisy) if postprocess else _parts(plan, noisy)
    return released(frame)


def released(frame: pl.DataFrame) -> Release:
    """A frame as an Arrow IPC stream."""
    stream = frame.write_ipc_stream(None, compat_level=pl.CompatLevel.oldest())
    types = tuple((name, str(dtype)) for name, dtype in frame.schema.items())
    return Release(table=stream.getvalue(), row_count=frame.height, columns=types)


def _parts(plan: SqlPlan, noisy: pl.DataFrame) -> pl.DataFrame:
    names = [(key_name(index), key.label) for index, key in enumerate(plan.keys)]
    names += [(part_name(index), part.label) for index, part in enumerate(plan.parts)]
    labels: dict[str, str] = {}
    for name, label in names:
        labels[fresh(label, labels)] = name
    return noisy.select(pl.col(name).alias(label) for label, name in labels.items())


def _selected(plan: SqlPlan, metadata: TableMetadata, noisy: pl.DataFrame) -> pl.DataFrame:
    rounded = noisy.with_columns(
        _rounded(pl.col(part_name(index)), part, metadata) for index, part in enumerate(plan.parts)
    )
    connection = empty_database()
    connection.register("noisy", rounded.to_arrow())
    lock(connection)
    return pl.DataFrame(connection.sql(_final_sql(plan)).to_arrow_table())


def _rounded(column: pl.Expr, part: Part, metadata: TableMetadata) -> pl.Expr:
    if part.function in {PartFunction.COUNT, PartFunction.COUNT_DISTINCT}:
        return column.clip(lower_bound=0).round().cast(pl.Int64)
    summed = metadata.columns[part.column or ""]
    if part.function is not PartFunction.SUM or isinstance(summed, FloatColumn):
        return column
    lower, upper = bounds(summed) or (0, 0)
    whole = max(abs(lower), abs(upper)) * (metadata.rows or MANY_ROWS) < SAFE_INTEGER
    return column.round().cast(pl.Int64) if whole else column.round()


def _final_sql(plan: SqlPlan) -> str:
    items = ", ".join(f'{output.sql} AS "{output.label.replace(chr(34), chr(34) * 2)}"' for output in plan.outputs)
    having = f" WHERE {plan.having}" if plan.having else ""
    order = f" ORDER BY {', '.join(plan.order)}" if plan.order else ""
    limit = f" LIMIT {plan.limit}" if plan.limit is not None else ""
    return f"SELECT {items} FROM noisy{having}{order}{limit} OFFSET {plan.offset}"  # noqa: S608 - generated from the plan
