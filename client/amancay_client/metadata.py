"""What the owner of a dataset has declared about it: all that anybody may know without paying."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from amancay_client.display import Grid, Shown, listed, number

TYPES = {
    "IntegerColumn": "integer",
    "FloatColumn": "float",
    "StringColumn": "string",
    "BooleanColumn": "boolean",
    "DatetimeColumn": "datetime",
}

Bound = int | float | datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyUnit:
    """What is protected: one ROW, or all rows of one IDENTIFIER, at most `max_contributions` of them."""

    kind: str
    column: str | None
    max_contributions: int

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> Self:
        """From the server's `PrivacyUnit`."""
        return cls(kind=answer["kind"], column=answer["column"], max_contributions=int(answer["maxContributions"]))

    def __str__(self) -> str:
        if self.column is None:
            return "one row"
        return f"all rows of one {self.column} (at most {self.max_contributions})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column's declared type, clamping bounds and categories; what is None was not declared."""

    name: str
    type: str
    nullable: bool
    description: str | None
    lower: Bound = None
    upper: Bound = None
    categories: tuple[int, ...] | tuple[str, ...] | None = None
    bits: int | None = None

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> Self:
        """From the server's `Column`; a kind of column that this client does not know keeps its name."""
        kind = answer["__typename"]
        return cls(
            name=answer["name"],
            type=TYPES.get(kind, kind),
            nullable=answer["nullable"],
            description=answer["description"],
            bits=answer.get("bits"),
            **_declared(kind, answer),
        )

    @property
    def bounds(self) -> str:
        """The range or the categories, for reading."""
        if self.categories is not None:
            return listed(self.categories)
        if self.lower is None and self.upper is None:
            return "-"
        return f"{_bound(self.lower)} to {_bound(self.upper)}"


class Metadata(Shown, tuple[Column, ...]):
    """The columns of a dataset, in order."""

    __slots__ = ()

    def _grid(self) -> Grid:
        rows = tuple(
            (each.name, each.type, "yes" if each.nullable else "no", each.bounds, each.description or "")
            for each in self
        )
        return Grid(title="Columns", headers=("name", "type", "nullable", "values", "description"), rows=rows)


def _declared(kind: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The bounds and categories of a column, which have another name and type for every kind."""
    match kind:
        case "IntegerColumn":
            values = answer["integerCategories"]
            categories = None if values is None else tuple(map(int, values))
            return {
                "lower": _whole(answer["lower"]),
                "upper": _whole(answer["upper"]),
                "categories": categories,
            }
        case "FloatColumn":
            return {"lower": answer["floatLower"], "upper": answer["floatUpper"]}
        case "StringColumn":
            names = answer["categories"]
            return {"categories": None if names is None else tuple(names)}
        case "DatetimeColumn":
            return {"lower": timestamp(answer["datetimeLower"]), "upper": timestamp(answer["datetimeUpper"])}
        case _:
            return {}


def timestamp(text: str | None) -> datetime | None:
    """An RFC 3339 point in time, or None."""
    return None if text is None else datetime.fromisoformat(text)


def _whole(value: int | str | None) -> int | None:
    """A BigInt, which travels as a number or as a string."""
    return None if value is None else int(value)


def _bound(value: Bound) -> str:
    match value:
        case None:
            return "?"
        case datetime():
            return value.isoformat(sep=" ")
        case float():
            return number(value)
        case _:
            return str(value)
