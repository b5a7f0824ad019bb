"""The engine's own models of what may be asked: frozen, plain, one per DP library."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from amancay_engine.errors import InvalidQuery
from amancay_engine.query.smartnoise_sql import (
    NoiseMechanism,
    SmartnoiseSqlQuery,
    SqlStatistic,
    dump_smartnoise_sql,
    parse_smartnoise_sql,
)

__all__ = [
    "Library",
    "NoiseMechanism",
    "Query",
    "SmartnoiseSqlQuery",
    "SqlStatistic",
    "dump_query",
    "library_of",
    "parse_query",
]


class Library(StrEnum):
    """The DP libraries that can answer."""

    SMARTNOISE_SQL = "SMARTNOISE_SQL"


Query = SmartnoiseSqlQuery


def library_of(_query: Query) -> Library:
    """The library that answers `query`."""
    return Library.SMARTNOISE_SQL


def dump_query(query: Query) -> dict[str, Any]:
    """The plain mapping, as it was asked, that `parse_query` reads back."""
    return {"library": library_of(query).value, **dump_smartnoise_sql(query)}


def parse_query(document: Mapping[str, Any]) -> Query:
    """Reads what `dump_query` wrote.

    Raises:
        InvalidQuery: if it names a library that this engine does not run.
    """
    if document.get("library") != Library.SMARTNOISE_SQL:
        raise InvalidQuery("expected a query of a library that this server runs", "library")
    return parse_smartnoise_sql(document)
