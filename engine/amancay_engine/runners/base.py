"""What every DP library's runner offers. Only `release` touches data, and only in a process of its own."""

from typing import Protocol, TypeVar

from amancay_engine.dummy import DummyRows
from amancay_engine.metadata import TableMetadata
from amancay_engine.privacy import PrivacyLoss
from amancay_engine.release import Accuracy, Mechanism, Release
from amancay_engine.sources import Source

QueryT_contra = TypeVar("QueryT_contra", contravariant=True)


class Prepared(Protocol):
    """A vetted, priced query with its noise scales found and its source opened, not a row read yet."""

    @property
    def loss(self) -> PrivacyLoss:
        """What the release will cost."""

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """The draws of noise behind that loss."""

    @property
    def accuracy(self) -> tuple[Accuracy, ...]:
        """How far the noise will be from zero."""

    def release(self) -> Release:
        """Reads the rows and returns the noisy answer."""


class Runner(Protocol[QueryT_contra]):
    """One DP library."""

    def price(self, query: QueryT_contra, metadata: TableMetadata) -> PrivacyLoss:
        """What the query costs: from the query and the metadata alone.

        Raises:
            InvalidQuery: whatever cannot be asked or protected.
        """

    def accuracy(self, query: QueryT_contra, metadata: TableMetadata) -> tuple[Accuracy, ...]:
        """How far the noise will be from zero, per released quantity; reads no data."""

    def prepare(self, query: QueryT_contra, metadata: TableMetadata, rows: Source | DummyRows) -> Prepared:
        """Everything that can be done before the first row is read."""
