"""A store whose process dies before its n-th write: the real store over the real driver, until then."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from motor.motor_asyncio import AsyncIOMotorClient

from amancay_storage.client import Store
from amancay_storage.driver import Document

WRITES = frozenset(
    {"insert_one", "update_one", "update_many", "replace_one", "find_one_and_update", "delete_one", "delete_many"}
)


class Died(BaseException):
    """The process is gone: nothing catches this."""


class Life:
    """How many writes are left. Once it is over, every further write dies too: the dead do not tidy up."""

    def __init__(self, writes: int) -> None:
        self._left = writes

    def spend(self) -> None:
        if self._left == 0:
            raise Died
        self._left -= 1

    def limited(self, write: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def limited(*args: Any, **kwargs: Any) -> Any:
            self.spend()
            return await write(*args, **kwargs)

        return limited


class _Collection:
    def __init__(self, collection: Any, life: Life) -> None:
        self._collection = collection
        self._life = life

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._collection, name)
        return self._life.limited(found) if name in WRITES else found


class _Database:
    def __init__(self, database: Any, life: Life) -> None:
        self._database = database
        self._life = life

    def __getitem__(self, name: str) -> _Collection:
        return _Collection(self._database[name], self._life)


class _Client:
    def __init__(self, client: AsyncIOMotorClient[Document], life: Life) -> None:
        self._client = client
        self._life = life

    def get_database(self, name: str) -> _Database:
        return _Database(self._client.get_database(name), self._life)


def mortal(client: AsyncIOMotorClient[Document], database: str, *, writes: int) -> Store:
    """A store over the same database that dies before the write after so many."""
    return Store(cast("AsyncIOMotorClient[Document]", _Client(client, Life(writes))), database)
