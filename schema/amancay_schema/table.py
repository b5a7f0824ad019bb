"""Tables that leave the server: released answers and made-up rows."""

from collections.abc import Callable
from enum import Enum
from typing import Annotated

import strawberry
from strawberry.scalars import JSON

from amancay_schema.scalars import Base64


@strawberry.enum(description="How a file holds its table.")
class FileFormat(Enum):
    """For downloads and sources."""

    CSV = strawberry.enum_value("CSV", description="Comma-separated values with a header line.")
    PARQUET = strawberry.enum_value("PARQUET", description="Apache Parquet.")


@strawberry.type(description="A column of a table in an answer.")
class TableColumn:
    """Name and type."""

    name: str = strawberry.field(description="The column's name.")
    type: str = strawberry.field(description="Its type, in Polars' words.")


@strawberry.type(description="A table in an answer.")
class Table:
    """Noisy or made up, never private rows."""

    columns: list[TableColumn] = strawberry.field(description="The columns, in order.")
    row_count: int = strawberry.field(description="How many rows there are.")
    load_rows: strawberry.Private[Callable[[int, int], list[list[object]]]]
    load_arrow: strawberry.Private[Callable[[], bytes | None]]
    sign_download: strawberry.Private[Callable[[FileFormat], str]]

    @strawberry.field(description="Rows as one array of arrays; at most 10000 at a time.")
    async def rows(
        self,
        first: Annotated[int, strawberry.argument(description="How many at most, from 0 to 10000.")] = 1000,
        offset: Annotated[int, strawberry.argument(description="How many to leave out before.")] = 0,
    ) -> JSON:
        """Cut out when asked for."""
        return JSON(self.load_rows(first, offset))

    @strawberry.field(description="The whole table as an Arrow IPC stream; null where it is too large: use `download`.")
    async def arrow(self) -> Base64 | None:
        """Encoded when asked for."""
        stream = self.load_arrow()
        return None if stream is None else Base64(stream)

    @strawberry.field(description="A short-lived path on this server from which the table can be fetched as a file.")
    async def download(
        self, format: Annotated[FileFormat, strawberry.argument(description="Of the file.")] = FileFormat.PARQUET
    ) -> str:
        """Signed when asked for."""
        return self.sign_download(format)
