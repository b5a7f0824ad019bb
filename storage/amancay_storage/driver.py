"""The driver's edge: its types, its errors, and the one way to insert with the database's own clock."""

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from motor.motor_asyncio import AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError, PyMongoError

from amancay_storage.errors import StoreUnavailable

Document = dict[str, Any]
Database = AsyncIOMotorDatabase[Document]
Collection = AsyncIOMotorCollection[Document]

P = ParamSpec("P")
T = TypeVar("T")

NAMESPACE_EXISTS = 48


def guarded(call: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Turns every driver error that leaves `call` into `StoreUnavailable`, without the driver's text."""

    @functools.wraps(call)
    async def guard(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await call(*args, **kwargs)
        except PyMongoError as error:
            raise StoreUnavailable("the database cannot be reached, or broke off") from error

    return guard


async def insert_once(collection: Collection, document: Mapping[str, Any], *, stamp: str) -> Document | None:
    """Inserts `document` with the database's time in the field `stamp`, unless its `_id` is there already.

    Returns the document that was there before, or None if this call inserted it. A repeat changes nothing.

    Raises:
        DuplicateKeyError: if another document holds a unique key that is not `_id`.
    """
    fresh = {"$mergeObjects": [{"$literal": document}, {stamp: "$$NOW"}]}
    absent = {"$eq": [{"$type": f"${stamp}"}, "missing"]}
    try:
        return await collection.find_one_and_update(
            {"_id": document["_id"]},
            [{"$replaceWith": {"$cond": [absent, fresh, "$$ROOT"]}}],
            upsert=True,
            return_document=ReturnDocument.BEFORE,
        )
    except DuplicateKeyError:
        # Two inserts of one `_id` may race each other into the index.
        earlier: Document | None = await collection.find_one({"_id": document["_id"]})
        if earlier is None:
            raise
        return earlier


def now_minus(seconds: float) -> Document:
    """An aggregation expression: the database's time, `seconds` ago."""
    return {"$subtract": ["$$NOW", round(seconds * 1000)]}


def now_plus(seconds: float) -> Document:
    """An aggregation expression: the database's time, `seconds` from now."""
    return {"$add": ["$$NOW", round(seconds * 1000)]}
