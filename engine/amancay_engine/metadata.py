"""The owner's declaration of a table: the only thing that vetting, pricing and dummy data may look at.

A metadata document (a mapping, as it stands in YAML or JSON) looks like this::

    privacy_unit: {kind: identifier, column: person_id, max_contributions: 5}
    rows: 100000
    columns:
      person_id: {type: integer}
      ward: {type: string, categories: [north, south], public_categories: true}
      duration: {type: float, lower: 0, upper: 90, nullable: true}

Nothing in it is learnt from the data. What is missing is unknown, and a query that needs it is refused.
"""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from amancay_engine.errors import InvalidMetadata

MAX_COLUMNS = 500
MAX_CATEGORIES = 10_000
MAX_CONTRIBUTIONS = 100_000
MAX_ROWS = 10**12
MAX_NAME = 64
COLUMN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class PrivacyUnitKind(StrEnum):
    """What is protected: one row, or all rows that share an identifier."""

    ROW = "row"
    IDENTIFIER = "identifier"


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)


class PrivacyUnit(_Document):
    """Whose presence is hidden: neighbouring tables differ in all rows of one unit (add or remove)."""

    kind: PrivacyUnitKind = PrivacyUnitKind.ROW
    column: str | None = None
    max_contributions: int = Field(default=1, ge=1, le=MAX_CONTRIBUTIONS)

    @model_validator(mode="after")
    def _column_goes_with_identifier(self) -> Self:
        if (self.kind is PrivacyUnitKind.IDENTIFIER) != (self.column is not None):
            raise ValueError("an identifier privacy unit names its column, a row privacy unit names none")
        return self


class _Column(_Document):
    nullable: bool = False
    description: str | None = Field(default=None, max_length=1000)


class IntegerColumn(_Column):
    """Whole numbers, clamped to [lower, upper] where both are declared."""

    type: Literal["integer"]
    bits: Literal[32, 64] = 64
    lower: int | None = Field(default=None, ge=-(2**53), le=2**53)
    upper: int | None = Field(default=None, ge=-(2**53), le=2**53)
    categories: tuple[int, ...] | None = Field(default=None, max_length=MAX_CATEGORIES)
    public_categories: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        return _checked(self)


class FloatColumn(_Column):
    """Real numbers, clamped to [lower, upper] where both are declared."""

    type: Literal["float"]
    bits: Literal[32, 64] = 64
    lower: float | None = None
    upper: float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        return _checked(self)


class StringColumn(_Column):
    """Text; `public_categories` says that the list of categories may be shown with every answer."""

    type: Literal["string"]
    categories: tuple[str, ...] | None = Field(default=None, max_length=MAX_CATEGORIES)
    public_categories: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        return _checked(self)


class BooleanColumn(_Column):
    """True or false; both values are public by nature."""

    type: Literal["boolean"]


class DatetimeColumn(_Column):
    """Points in time without a zone, clamped to [lower, upper] where both are declared."""

    type: Literal["datetime"]
    lower: datetime | None = None
    upper: datetime | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if any(bound is not None and bound.tzinfo is not None for bound in (self.lower, self.upper)):
            raise ValueError("bounds of a datetime column carry no time zone: they are read as UTC")
        return _checked(self)


Column = Annotated[
    IntegerColumn | FloatColumn | StringColumn | BooleanColumn | DatetimeColumn, Field(discriminator="type")
]
Bounded = IntegerColumn | FloatColumn | DatetimeColumn


class TableMetadata(_Document):
    """Everything the owner declares about one table."""

    privacy_unit: PrivacyUnit = PrivacyUnit()
    rows: int | None = Field(default=None, ge=0, le=MAX_ROWS)
    """A public row count or upper bound; never counted from the data."""
    columns: dict[str, Column] = Field(min_length=1, max_length=MAX_COLUMNS)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in self.columns:
            if not COLUMN_NAME.fullmatch(name) or len(name) > MAX_NAME:
                raise ValueError(f"column name {name!r} must be letters, digits and underscores, at most {MAX_NAME}")
        if len({name.lower() for name in self.columns}) != len(self.columns):
            raise ValueError("column names must differ in more than upper and lower case")
        unit = self.privacy_unit.column
        if unit is not None and unit not in self.columns:
            raise ValueError(f"the privacy unit's column {unit!r} is not among the columns")
        return self


def parse_metadata(document: Any) -> TableMetadata:
    """Reads a metadata document.

    Raises:
        InvalidMetadata: with the path of the first thing that is wrong.
    """
    try:
        return TypeAdapter(TableMetadata).validate_python(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        path = [str(part) for part in first["loc"]]
        raise InvalidMetadata(first["msg"].removeprefix("Value error, "), *path) from None


def dump_metadata(metadata: TableMetadata) -> dict[str, Any]:
    """The document of plain values that `parse_metadata` reads back."""
    return metadata.model_dump(mode="json", exclude_none=True)


def bounds(column: Column) -> tuple[float, float] | None:
    """The declared clamping bounds of a numeric column, or None."""
    if isinstance(column, IntegerColumn | FloatColumn) and column.lower is not None and column.upper is not None:
        return column.lower, column.upper
    return None


def public_keys(column: Column) -> tuple[object, ...] | None:
    """The values that may stand as group keys in an answer without a threshold, or None if they are private.

    A nullable column has NULL among its keys, last.
    """
    match column:
        case BooleanColumn():
            keys: tuple[object, ...] = (False, True)
        case IntegerColumn() | StringColumn() if column.public_categories and column.categories is not None:
            keys = column.categories
        case _:
            return None
    return (*keys, None) if column.nullable else keys


ColumnT = TypeVar("ColumnT", bound=_Column)


def _checked(column: ColumnT) -> ColumnT:
    """`column`, if what it declares fits together."""
    lower, upper = getattr(column, "lower", None), getattr(column, "upper", None)
    if (lower is None) != (upper is None):
        raise ValueError("declare both lower and upper, or neither")
    if lower is not None and upper is not None and lower > upper:
        raise ValueError("lower must not exceed upper")
    categories = getattr(column, "categories", None)
    if categories is not None and (not categories or len(set(categories)) != len(categories)):
        raise ValueError("categories must be distinct, and at least one")
    if getattr(column, "public_categories", False) and categories is None:
        raise ValueError("public_categories needs a list of categories")
    return column
