"""Datasets and what is the caller's own about them."""

import asyncio
from functools import partial
from typing import Any

from amancay_engine import metadata as declared
from amancay_engine.dummy import dummy_frame
from amancay_engine.runners.postprocess import released
from amancay_resolvers.budget import budget_of
from amancay_resolvers.context import Context, Downloadable, Info
from amancay_resolvers.execution import executions_on
from amancay_resolvers.pagination import page_info
from amancay_resolvers.table import table_of
from amancay_schema.argument import After, DatasetName, First
from amancay_schema.budget import Budget
from amancay_schema.dataset import (
    BooleanColumn,
    Column,
    Dataset,
    DatasetConnection,
    DatasetEdge,
    DatetimeColumn,
    FloatColumn,
    IntegerColumn,
    PrivacyUnit,
    PrivacyUnitKind,
    StringColumn,
)
from amancay_schema.pagination import global_id
from amancay_schema.query import Library
from amancay_schema.scalars import BigInt
from amancay_schema.table import FileFormat, Table
from amancay_storage.datasets import DatasetRecord


async def dataset(info: Info, name: DatasetName) -> Dataset | None:
    """One dataset, if it is granted to the caller or the caller oversees all."""
    return await visible_dataset(info.context, name)


async def visible_dataset(context: Context, name: str) -> Dataset | None:
    """The dataset as its caller may see it."""
    if not context.oversees and await context.budgets.load(name) is None:
        return None
    record = await context.store.datasets.get(name)
    return None if record is None else _dataset_of(context, record)


async def datasets(info: Info, first: First = 20, after: After = None) -> DatasetConnection:
    """The granted datasets; all of them for those who oversee."""
    context, store = info.context, info.context.store.datasets
    page = await (store.all(first, after) if context.oversees else store.granted(context.user.name, first, after))
    edges = [
        DatasetEdge(cursor=cursor, node=_dataset_of(context, record))
        for record, cursor in zip(page.items, page.cursors, strict=True)
    ]
    return DatasetConnection(edges=edges, page_info=page_info(page))


def _dataset_of(context: Context, record: DatasetRecord) -> Dataset:
    unit = record.metadata.privacy_unit
    return Dataset(
        id=global_id("Dataset", record.name),
        name=record.name,
        description=record.description,
        privacy_unit=PrivacyUnit(
            kind=PrivacyUnitKind(unit.kind.name), column=unit.column, max_contributions=unit.max_contributions
        ),
        rows=None if record.metadata.rows is None else BigInt(record.metadata.rows),
        columns=[_column_of(name, column) for name, column in record.metadata.columns.items()],
        libraries=[Library(library.value) for library in record.libraries],
        load_budget=partial(_budget, context, record.name),
        load_executions=partial(executions_on, context, record.name),
        make_dummy=partial(_dummy, context, record),
    )


def _column_of(name: str, column: declared.Column) -> Column:
    common: dict[str, Any] = {"name": name, "nullable": column.nullable, "description": column.description}
    match column:
        case declared.IntegerColumn():
            return IntegerColumn(
                **common,
                lower=None if column.lower is None else BigInt(column.lower),
                upper=None if column.upper is None else BigInt(column.upper),
                categories=None if column.categories is None else [BigInt(value) for value in column.categories],
                bits=column.bits,
            )
        case declared.FloatColumn():
            return FloatColumn(**common, lower=column.lower, upper=column.upper, bits=column.bits)
        case declared.StringColumn():
            return StringColumn(**common, categories=None if column.categories is None else list(column.categories))
        case declared.BooleanColumn():
            return BooleanColumn(**common)
        case declared.DatetimeColumn():
            return DatetimeColumn(**common, lower=column.lower, upper=column.upper)


async def _budget(context: Context, name: str) -> Budget | None:
    balance = await context.budgets.load(name)
    return None if balance is None else budget_of(balance)


async def _dummy(context: Context, record: DatasetRecord, rows: int, seed: int) -> Table:
    frame = await asyncio.to_thread(dummy_frame, record.metadata, rows=rows, seed=seed)
    release = released(frame)

    def sign(format: FileFormat) -> str:
        what: Downloadable = {
            "dataset": record.name,
            "version": record.version,
            "rows": rows,
            "seed": seed,
            "format": format.name,
        }
        return context.sign_download(context.user.name, what)

    return table_of(release.table, release.columns, release.row_count, sign)
