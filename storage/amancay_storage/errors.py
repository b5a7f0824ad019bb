"""What the store refuses, and the one way it fails.

StorageRefusal                the store works and says no; nothing was changed
├── NotFound                  no such thing, or none that this user may know of
├── Conflict                  it contradicts what is already there
├── BudgetExceeded            the loss does not fit into what remains
├── LimitExceeded             more than a named bound allows
├── BadName                   not a name that a user or dataset may have
└── BadCursor                 not a cursor that this list has given out
StoreUnavailable              the database cannot be reached, or broke off: what was asked may or may not be
done,
                              and asking again is safe
"""

from amancay_engine.privacy import PrivacyLoss


class StorageRefusal(Exception):
    """The store says no; nothing was changed."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotFound(StorageRefusal):
    """There is no such thing, or none that this user may know of."""


class Conflict(StorageRefusal):
    """What was asked contradicts what is already there."""


class BudgetExceeded(StorageRefusal):
    """The loss does not fit into what remains of the grant and of the dataset's cap."""

    def __init__(self, *, requested: PrivacyLoss, remaining: PrivacyLoss) -> None:
        super().__init__("The query costs more than what remains of the privacy budget.")
        self.requested = requested
        self.remaining = remaining


class LimitExceeded(StorageRefusal):
    """More than a named bound allows."""

    def __init__(self, limit: str, message: str) -> None:
        super().__init__(message)
        self.limit = limit


class BadName(StorageRefusal):
    """Not a name that a user or dataset may have."""


class BadCursor(StorageRefusal):
    """Not a cursor that this list has given out."""


class StoreUnavailable(Exception):
    """The database cannot be reached or broke off; asking again is safe."""
