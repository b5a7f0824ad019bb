"""One runner per DP library, found by the type of the query."""

from amancay_engine.metadata import TableMetadata
from amancay_engine.privacy import PrivacyLoss
from amancay_engine.query import Library, Query
from amancay_engine.release import Accuracy
from amancay_engine.runners.base import Prepared, Runner
from amancay_engine.runners.smartnoise_sql import VERSION, SmartnoiseSqlRunner

__all__ = ["LIBRARY_VERSIONS", "Prepared", "Runner", "accuracy", "price", "runner_of"]

LIBRARY_VERSIONS = {Library.SMARTNOISE_SQL: VERSION}
_SMARTNOISE_SQL = SmartnoiseSqlRunner()


def runner_of(_query: Query) -> Runner[Query]:
    """The runner that answers `query`."""
    return _SMARTNOISE_SQL


def price(query: Query, metadata: TableMetadata) -> PrivacyLoss:
    """What `query` costs, from itself and the metadata alone.

    Raises:
        InvalidQuery: whatever cannot be asked or protected.
    """
    return runner_of(query).price(query, metadata)


def accuracy(query: Query, metadata: TableMetadata) -> tuple[Accuracy, ...]:
    """How far the noise of `query` will be from zero, per released quantity; reads no data."""
    return runner_of(query).accuracy(query, metadata)
