"""The way in: one connection pool, and the parts of the store over it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC
from typing import Self

from motor.motor_asyncio import AsyncIOMotorClient

from amancay_storage.changes import Changes
from amancay_storage.datasets import Datasets
from amancay_storage.driver import Database, Document, guarded
from amancay_storage.executions import Executions
from amancay_storage.layout import apply_layout
from amancay_storage.ledger import Ledger
from amancay_storage.settlement import Settlement
from amancay_storage.users import Users

SELECTION_MILLISECONDS = 5000
"""How long a call waits for a database that is away before it fails."""


class Store:
    """The admin store. A write is acknowledged once a majority has it on disk; reads see only such writes."""

    def __init__(self, client: AsyncIOMotorClient[Document], database: str) -> None:
        self._client = client
        self._database: Database = client.get_database(database)
        self.users = Users(self._database)
        self.datasets = Datasets(self._database)
        self.ledger = Ledger(client, self._database)
        self.settlement = Settlement(self._database, self.ledger)
        self.executions = Executions(self._database, self.ledger, self.settlement)
        self.changes = Changes(self._database)

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, database: str = "amancay") -> AsyncIterator[Self]:
        """The store in that database of that replica set; its connections are closed on leaving."""
        client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
            url,
            appname="amancay",
            tz_aware=True,
            tzinfo=UTC,
            w="majority",
            journal=True,
            readConcernLevel="majority",
            retryWrites=True,
            retryReads=True,
            serverSelectionTimeoutMS=SELECTION_MILLISECONDS,
        )
        try:
            yield cls(client, database)
        finally:
            client.close()

    @guarded
    async def prepare(self) -> None:
        """Makes collections, validators and indexes; again, or from several processes, changes nothing.

        Raises:
            Conflict: if a newer version of the software has prepared this database.
        """
        await apply_layout(self._database)

    @guarded
    async def ping(self) -> None:
        """Returns if the database answers.

        Raises:
            StoreUnavailable: if it does not, after a few seconds.
        """
        await self._database.command("ping")
