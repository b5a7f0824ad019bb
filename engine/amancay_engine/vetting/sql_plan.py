"""What a vetted SQL question is: rows that count, keys, noisy parts, and what is made of them afterwards.

Only `rows`, `keys` and `parts` touch private data. Everything under `outputs`, `having`, `order`, `limit` and
`offset` is post-processing of noisy values and free (Dwork and Roth 2014, proposition 2.1).
"""

from dataclasses import dataclass
from enum import StrEnum

from amancay_engine.vetting.sql_expression import Kind


class PartFunction(StrEnum):
    """The sums that every supported aggregate is made of."""

    COUNT = "count"
    COUNT_DISTINCT = "count_distinct"
    SUM = "sum"
    SUM_OF_SQUARES = "sum_of_squares"


@dataclass(frozen=True, slots=True)
class Part:
    """One noisy quantity per group; each costs one epsilon. `column` None stands for rows."""

    function: PartFunction
    column: str | None

    @property
    def label(self) -> str:
        """Its name wherever it is shown."""
        return f"{self.function}_{self.column or 'all'}"


@dataclass(frozen=True, slots=True)
class Key:
    """One grouping key: an expression over the clamped columns, and its possible values if these are public."""

    label: str
    sql: str
    kind: Kind
    public: tuple[object, ...] | None


@dataclass(frozen=True, slots=True)
class Output:
    """One column of the answer, made of `parts`; `simple` if it shows a single part unchanged."""

    label: str
    sql: str
    kind: Kind
    parts: tuple[Part, ...]
    simple: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlPlan:
    """A vetted question."""

    columns: tuple[str, ...]
    """Columns of the table that are read at all."""
    where: str | None
    keys: tuple[Key, ...]
    parts: tuple[Part, ...]
    """In the order of first use, without repeats; the count that a threshold looks at comes first."""
    censored: bool
    """Groups are hidden unless enough privacy units are in them; `parts[0]` decides."""
    outputs: tuple[Output, ...]
    having: str | None
    order: tuple[str, ...]
    limit: int | None
    offset: int


def key_name(index: int) -> str:
    """The name of a key inside the engine; the metadata's names never reach a library's parser."""
    return f"k{index}"


def part_name(index: int) -> str:
    """The name of a part inside the engine."""
    return f"p{index}"
