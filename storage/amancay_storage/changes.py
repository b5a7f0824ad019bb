"""One stream of everything that visibly changes, for all live updates of a server process."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from motor.motor_asyncio import AsyncIOMotorChangeStream
from pymongo.errors import OperationFailure, PyMongoError

from amancay_storage.account import Balance
from amancay_storage.driver import Database, Document
from amancay_storage.execution import HIDDEN, ExecutionRecord, parse_execution
from amancay_storage.layout import ACCOUNTS, EXECUTIONS
from amancay_storage.ledger import parse_grant

AWAIT_MILLISECONDS = 500
RECONNECT_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantChange:
    """A grant's balance is now this."""

    user: str
    dataset: str
    balance: Balance


@dataclass(frozen=True, slots=True, kw_only=True)
class Resync:
    """From here on nothing is missed; what changed before may have been, and is to be read anew."""


Change = ExecutionRecord | GrantChange | Resync
Token = Mapping[str, Any] | None


class Changes:
    """The changes of this store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def stream(self) -> AsyncIterator[Change]:
        """Visible changes as they happen, each with the latest state; ends only with its reader.

        The first item is a `Resync`: the stream stands. It goes on by itself after a lost connection; if
        changes may have been missed, another `Resync` says so. The same state may come twice.
        """
        token: Token = None
        while True:
            try:
                async with self._watch(token) as stream:
                    if token is None:
                        yield Resync()
                    try:
                        async for event in stream:
                            change = _parse(event)
                            if change is not None:
                                yield change
                    finally:
                        token = stream.resume_token
                token = None  # the database itself was dropped
            except OperationFailure:
                token = None  # the token is too old to resume from
            except PyMongoError:
                pass  # away; asked again with the same token
            await asyncio.sleep(RECONNECT_SECONDS)

    def _watch(self, token: Token) -> AsyncIOMotorChangeStream[Document]:
        return self._database.watch(
            _VISIBLE, full_document="updateLookup", resume_after=token, max_await_time_ms=AWAIT_MILLISECONDS
        )


# An execution's change is visible if its revision grew; of an account every update is.
_VISIBLE: list[Document] = [
    {
        "$match": {
            "operationType": {"$in": ["update", "replace"]},
            "$or": [
                {"ns.coll": EXECUTIONS, "updateDescription.updatedFields.revision": {"$exists": True}},
                {"ns.coll": ACCOUNTS, "fullDocument.kind": "grant"},
            ],
        }
    }
]


def _parse(event: Document) -> Change | None:
    document = event.get("fullDocument")
    if document is None:
        return None  # deleted since
    if event["ns"]["coll"] == ACCOUNTS:
        grant = parse_grant(document)
        return GrantChange(user=grant.user, dataset=grant.dataset, balance=grant.balance)
    return None if document["stage"] in HIDDEN else parse_execution(document)
