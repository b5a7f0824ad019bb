"""The end of executions: who pays for what was read, what is shown, and what a crash left to be finished."""

from collections.abc import Sequence

from pymongo import ReturnDocument

from amancay_engine.errors import FailureCode
from amancay_engine.privacy import NOTHING
from amancay_storage.amount import dump_loss, parse_loss
from amancay_storage.driver import Database, Document, guarded, now_minus
from amancay_storage.errors import NotFound
from amancay_storage.execution import (
    END_TEXT,
    HIDDEN,
    LEASE_IS_OVER,
    MAX_ATTEMPTS,
    ExecutionRecord,
    Kind,
    Outcome,
    Stage,
    Status,
    dump_outcome,
    parse_execution,
    parse_mechanisms,
)
from amancay_storage.layout import EXECUTIONS, RESULTS
from amancay_storage.ledger import Ledger

MAX_SWEPT = 500
"""How many executions one sweep looks at, of each kind of leftover."""


class Settlement:
    """Settles executions. Every call may be repeated, and made by several processes at once."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._executions = database[EXECUTIONS]
        self._results = database[RESULTS]
        self._ledger = ledger

    @guarded
    async def settle(self, id: str) -> ExecutionRecord:
        """Charges what was read, gives back what was not, and only then shows the outcome.

        May be called by anybody, at any time, any number of times: an execution without an outcome, or with
        one that is shown already, is returned as it is.

        Raises:
            NotFound: if there is no such execution.
        """
        waiting = {"_id": id, "stage": {"$in": [Stage.QUEUED, Stage.RUNNING]}, "outcome": {"$ne": None}}
        document = await self._move(waiting, {"$set": {"stage": Stage.SETTLING}}) or await self._read(id)
        if document["stage"] != Stage.SETTLING:
            return parse_execution(document)
        await self._charge(document)
        await self._drop_results(document)
        return parse_execution(
            await self._move({"_id": id, "stage": Stage.SETTLING}, _ending(document)) or await self._read(id)
        )

    async def _charge(self, document: Document) -> None:
        if document["kind"] != Kind.PRIVATE:
            return
        who = document["_id"], document["user"], document["dataset"], parse_loss(document["cost"])
        if document["opened"]:
            await self._ledger.commit(*who, mechanisms=parse_mechanisms(document))
        else:
            await self._ledger.void(*who)

    async def _drop_results(self, document: Document) -> None:
        """Deletes what will never be shown: results of lost attempts, and of a run that did not succeed."""
        unwanted: Document = {"execution": document["_id"]}
        if document["outcome"]["status"] == Status.SUCCEEDED:
            if document["attempt"] == 1:
                return
            unwanted["_id"] = {"$ne": f"{document['_id']}/{document['sealed_attempt']}"}
        await self._results.delete_many(unwanted)

    @guarded
    async def unsettled(self) -> list[str]:
        """Executions with an outcome that nobody is about to show: settling broke off, or the worker is lost."""
        orphaned = {
            "outcome": {"$ne": None},
            "$or": [{"stage": Stage.QUEUED}, {"stage": Stage.RUNNING, "$expr": LEASE_IS_OVER}],
        }
        return await self._ids({"$or": [{"stage": Stage.SETTLING}, orphaned]})

    @guarded
    async def give_up(self) -> int:
        """Fails the executions whose worker was lost as often as is allowed; returns how many."""
        spent = {
            "stage": Stage.RUNNING,
            "outcome": None,
            "attempt": {"$gte": MAX_ATTEMPTS},
            "$expr": LEASE_IS_OVER,
        }
        outcome = dump_outcome(Outcome(status=Status.FAILED, code=FailureCode.INTERNAL))
        return int((await self._executions.update_many(spent, {"$set": {"outcome": outcome}})).modified_count)

    @guarded
    async def drop_abandoned(self, grace_seconds: float) -> int:
        """Ends submissions whose process died before it had queued them; returns how many."""
        old = {"$expr": {"$lte": ["$submitted_at", now_minus(grace_seconds)]}}
        abandoned = await self._ids({"stage": {"$in": HIDDEN}, **old})
        for execution in abandoned:
            # A slow submission finds this done and gives up: either it queues, or it is dropped.
            document = await self._move(
                {"_id": execution, "stage": {"$in": HIDDEN}}, {"$set": {"stage": Stage.DROPPED}}
            )
            if document is not None:
                await self._charge(document)
                await self._executions.delete_one({"_id": execution, "stage": Stage.DROPPED})
        return len(abandoned)

    @guarded
    async def opened(self, ids: Sequence[str]) -> dict[str, bool | None]:
        """Of each execution that exists: whether it has read private data; None while that may change."""
        found = self._executions.find({"_id": {"$in": list(ids)}}, {"stage": True, "opened": True})
        return {it["_id"]: it["opened"] if it["stage"] == Stage.ENDED else None async for it in found}

    async def _ids(self, query: Document) -> list[str]:
        found = self._executions.find(query, {"_id": True}).limit(MAX_SWEPT)
        return [document["_id"] async for document in found]

    async def _move(self, query: Document, change: Document | list[Document]) -> Document | None:
        document: Document | None = await self._executions.find_one_and_update(
            query, change, return_document=ReturnDocument.AFTER
        )
        return document

    async def _read(self, id: str) -> Document:
        document: Document | None = await self._executions.find_one({"_id": id, "stage": {"$nin": HIDDEN}})
        if document is None:
            raise NotFound("There is no such execution.")
        return document


def _ending(document: Document) -> list[Document]:
    """The last change of an execution, which shows its outcome."""
    status = Status(document["outcome"]["status"])
    charged = document["kind"] == Kind.PRIVATE and document["opened"]
    change: Document = {
        "stage": Stage.ENDED,
        "status": status,
        "code": document["outcome"]["code"],
        "charged": "$cost" if charged else dump_loss(NOTHING),
        "has_result": status is Status.SUCCEEDED,
        "stage_text": END_TEXT[status],
        "finished_at": "$$NOW",
        "revision": {"$add": ["$revision", 1]},
    }
    return [{"$set": change | ({"fraction": 1.0} if status is Status.SUCCEEDED else {})}]
