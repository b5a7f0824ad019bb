"""Pages of a list, with opaque cursors."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from amancay_storage.driver import Document
from amancay_storage.errors import BadCursor, LimitExceeded

MAX_PAGE = 100
MAX_CURSOR = 400
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_MILLISECONDS = 10**14

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some items of a list, the cursor of each, and whether there are more on either side."""

    items: tuple[T, ...]
    cursors: tuple[str, ...]
    has_next: bool
    has_previous: bool


def check_first(first: int) -> int:
    """`first` itself.

    Raises:
        LimitExceeded: if it is not within 0 to `MAX_PAGE`.
    """
    if not 0 <= first <= MAX_PAGE:
        raise LimitExceeded("first", f"A page has 0 to {MAX_PAGE} items.")
    return first


def page_of(
    documents: Sequence[Document],
    first: int,
    after: str | None,
    *,
    parse: Callable[[Document], T],
    cursor: Callable[[Document], str],
) -> Page[T]:
    """The page of the first `first` of `documents`, of which one more was read to see if there is a next."""
    shown = documents[:first]
    return Page(
        items=tuple(parse(document) for document in shown),
        cursors=tuple(cursor(document) for document in shown),
        has_next=len(documents) > first,
        has_previous=after is not None,
    )


def name_cursor(name: str) -> str:
    """The cursor of an item in a list that is sorted by name."""
    return _dump(["n", name])


def after_name(cursor: str) -> str:
    """The name in a `name_cursor`.

    Raises:
        BadCursor: if it is not one.
    """
    match _parse(cursor):
        case ["n", str(name)]:
            return name
    raise BadCursor("This list gave out no such cursor.")


def time_cursor(at: datetime, identity: str) -> str:
    """The cursor of an item in a list that is sorted by time and then by id."""
    return _dump(["t", (at - EPOCH) // timedelta(milliseconds=1), identity])


def after_time(cursor: str) -> tuple[datetime, str]:
    """Time and id in a `time_cursor`.

    Raises:
        BadCursor: if it is not one.
    """
    match _parse(cursor):
        case ["t", int(milliseconds), str(identity)] if abs(milliseconds) < MAX_MILLISECONDS:
            return EPOCH + timedelta(milliseconds=milliseconds), identity
    raise BadCursor("This list gave out no such cursor.")


def older_than(cursor: str, *, time_field: str) -> Document:
    """The filter for what follows a `time_cursor` in a list of the newest first."""
    at, identity = after_time(cursor)
    return {"$or": [{time_field: {"$lt": at}}, {time_field: at, "_id": {"$lt": identity}}]}


def _dump(parts: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def _parse(cursor: str) -> object:
    if len(cursor) > MAX_CURSOR:
        raise BadCursor("This list gave out no such cursor.")
    try:
        return json.loads(base64.b64decode(cursor.encode(), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        raise BadCursor("This list gave out no such cursor.") from None
