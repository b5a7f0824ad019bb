"""Datasets as researchers see them: the owner's public declaration, never the data."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry

from amancay_schema.argument import After, First
from amancay_schema.budget import Budget
from amancay_schema.pagination import Node, PageInfo
from amancay_schema.query import Library
from amancay_schema.scalars import BigInt
from amancay_schema.table import Table

if TYPE_CHECKING:
    from amancay_schema.execution import ExecutionConnection, ExecutionFilter

_Executions = Annotated["ExecutionConnection", strawberry.lazy("amancay_schema.execution")]
_Filter = Annotated["ExecutionFilter", strawberry.lazy("amancay_schema.execution")]


@strawberry.enum(description="What is protected.")
class PrivacyUnitKind(Enum):
    """Neighbouring tables differ in one unit."""

    ROW = strawberry.enum_value("ROW", description="One row.")
    IDENTIFIER = strawberry.enum_value("IDENTIFIER", description="All rows with the same identifier.")


@strawberry.type(description="Whose presence an answer hides.")
class PrivacyUnit:
    """As the owner declares it."""

    kind: PrivacyUnitKind = strawberry.field(description="A row, or all rows of an identifier.")
    column: str | None = strawberry.field(description="The identifier's column.")
    max_contributions: int = strawberry.field(description="How many rows of one unit an answer uses at most.")


@strawberry.interface(description="A column as the owner declares it.")
class Column:
    """Common to all types."""

    name: str = strawberry.field(description="The name to use in queries.")
    nullable: bool = strawberry.field(description="Whether values may be missing.")
    description: str | None = strawberry.field(description="What the column means.")


@strawberry.type(description="Whole numbers.")
class IntegerColumn(Column):
    """Clamped to its bounds."""

    lower: BigInt | None = strawberry.field(description="Lower clamping bound.")
    upper: BigInt | None = strawberry.field(description="Upper clamping bound.")
    categories: list[BigInt] | None = strawberry.field(description="The only values that occur.")
    bits: int = strawberry.field(description="Width in bits.")


@strawberry.type(description="Real numbers.")
class FloatColumn(Column):
    """Clamped to its bounds."""

    lower: float | None = strawberry.field(description="Lower clamping bound.")
    upper: float | None = strawberry.field(description="Upper clamping bound.")
    bits: int = strawberry.field(description="Width in bits.")


@strawberry.type(description="Text.")
class StringColumn(Column):
    """Free or of a list of categories."""

    categories: list[str] | None = strawberry.field(description="The only values that occur.")


@strawberry.type(description="True or false.")
class BooleanColumn(Column):
    """No bounds needed."""


@strawberry.type(description="Points in time.")
class DatetimeColumn(Column):
    """Clamped to its bounds."""

    lower: datetime | None = strawberry.field(description="Lower clamping bound.")
    upper: datetime | None = strawberry.field(description="Upper clamping bound.")


@strawberry.type(description="A table that can be asked, without ever being seen.")
class Dataset(Node):
    """Public metadata, and what is the caller's own."""

    name: str = strawberry.field(description="The dataset's name.")
    description: str | None = strawberry.field(description="What it holds.")
    privacy_unit: PrivacyUnit = strawberry.field(description="Whose presence an answer hides.")
    rows: BigInt | None = strawberry.field(description="Public row count or upper bound, if the owner declared one.")
    columns: list[Column] = strawberry.field(description="The columns, in the owner's order.")
    libraries: list[Library] = strawberry.field(description="The DP libraries that may query it.")
    load_budget: strawberry.Private[Callable[[], Awaitable[Budget | None]]]
    load_executions: strawberry.Private[Callable[[int, str | None, object], Awaitable[object]]]
    make_dummy: strawberry.Private[Callable[[int, int], Awaitable[Table]]]

    @strawberry.field(description="The caller's own budget; null without a grant.")
    async def budget(self) -> Budget | None:
        """Looked up when asked for."""
        return await self.load_budget()

    @strawberry.field(description="Executions on this dataset that the caller may see, newest first.")
    async def executions(
        self,
        first: First = 20,
        after: After = None,
        filter: Annotated[_Filter | None, strawberry.argument(description="Only these.")] = None,
    ) -> _Executions:
        """Looked up when asked for."""
        return await self.load_executions(first, after, filter)  # type: ignore[return-value]  # a lazy type

    @strawberry.field(description="Made-up rows that fit the metadata; the same seed gives the same rows.")
    async def dummy(
        self,
        rows: Annotated[int, strawberry.argument(description="How many, from 0 to 10000.")] = 100,
        seed: Annotated[int, strawberry.argument(description="From 0 to 2147483647.")] = 42,
    ) -> Table:
        """Made when asked for, from the metadata alone."""
        return await self.make_dummy(rows, seed)


@strawberry.type(description="An edge of a dataset connection.")
class DatasetEdge:
    """Relay's edge."""

    cursor: str = strawberry.field(description="Opaque place of this dataset.")
    node: Dataset = strawberry.field(description="The dataset.")


@strawberry.type(description="A page of datasets, by name.")
class DatasetConnection:
    """Relay's connection."""

    edges: list[DatasetEdge] = strawberry.field(description="The datasets of this page.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")
