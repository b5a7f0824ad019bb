"""The life of executions: submitted, claimed, opened, sealed, settled.

Every step is one conditional update, so any number of servers and workers may take it, die in it and repeat
it. The attempt's number is the fence: a worker that has lost its lease changes nothing any more.
"""

import asyncio
from collections.abc import Sequence

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from amancay_engine.release import Accuracy, Mechanism, Release
from amancay_storage.amount import storable
from amancay_storage.driver import Database, Document, guarded, insert_once, now_plus
from amancay_storage.errors import Conflict, LimitExceeded, NotFound, StorageRefusal, StoreUnavailable
from amancay_storage.execution import (
    ACTIVE,
    CANCELLED_CODE,
    HIDDEN,
    LEASE_IS_OVER,
    MAX_ATTEMPTS,
    ExecutionFilter,
    ExecutionRecord,
    Kind,
    Outcome,
    Stage,
    Status,
    StoredResult,
    Submission,
    dump_knowledge,
    dump_outcome,
    dump_submission,
    parse_execution,
    parse_result,
)
from amancay_storage.layout import EXECUTIONS, RESULTS
from amancay_storage.ledger import Ledger
from amancay_storage.page import Page, check_first, older_than, page_of, time_cursor
from amancay_storage.settlement import Settlement

__all__ = [
    "ExecutionFilter",
    "ExecutionRecord",
    "Executions",
    "Kind",
    "Outcome",
    "Status",
    "StoredResult",
    "Submission",
]

MAX_ACTIVE_PER_USER = 100
MAX_RESULT_BYTES = 12 * 1024 * 1024
SUBMIT_ATTEMPTS = 5
SETTLED_WITHIN_SECONDS = 3.0
POLL_SECONDS = 0.03
GIVEN_UP = "the submission took too long and was given up"


class Executions:
    """The executions of this server."""

    def __init__(self, database: Database, ledger: Ledger, settlement: Settlement) -> None:
        self._executions = database[EXECUTIONS]
        self._results = database[RESULTS]
        self._ledger = ledger
        self._settlement = settlement

    @guarded
    async def submit(self, submission: Submission) -> tuple[ExecutionRecord, bool]:
        """Reserves the loss and queues the execution; nothing is left behind by a refusal.

        The same id, or the same idempotency key of the same user, answers with the execution that is there,
        and False.

        Raises:
            NotFound: if there is no grant on the dataset, or no cap.
            BadName, LimitExceeded: if something is too large, or too many executions of the user are under
            way. Conflict: if the key has been used for something else. BudgetExceeded: if the loss does not
            fit into what remains.
        """
        if submission.kind is Kind.PRIVATE and not storable(submission.loss):
            await self._ledger.reserve(submission.id, submission.user, submission.dataset, submission.loss)
        document = dump_submission(submission)
        for _ in range(SUBMIT_ATTEMPTS):
            if await self._insert(document):
                return await self._admit(submission), True
            earlier = await self._earlier(submission)
            if earlier is not None:
                return earlier, False
        raise StoreUnavailable("an earlier submission with this key is still under way")

    async def _insert(self, document: Document) -> bool:
        try:
            return await insert_once(self._executions, document, stamp="submitted_at") is None
        except DuplicateKeyError:
            return False  # the idempotency key is taken

    async def _earlier(self, submission: Submission) -> ExecutionRecord | None:
        """The execution that holds the id or the key, once its fate is known; None if it has vanished meanwhile."""
        same: list[Document] = [{"_id": submission.id}]
        if submission.idempotency_key is not None:
            same.append({"user": submission.user, "idempotency_key": submission.idempotency_key})
        for _ in range(round(SETTLED_WITHIN_SECONDS / POLL_SECONDS)):
            document: Document | None = await self._executions.find_one({"$or": same})
            if document is None:
                return None
            wanted = (submission.user, submission.dataset, submission.fingerprint)
            if (document["user"], document["dataset"], document["fingerprint"]) != wanted:
                raise Conflict("This idempotency key has been used for another query.")
            if document["stage"] not in HIDDEN:
                return parse_execution(document)
            await asyncio.sleep(POLL_SECONDS)
        raise StoreUnavailable("an earlier submission with this key is still under way")

    async def _admit(self, submission: Submission) -> ExecutionRecord:
        try:
            await self._check_active(submission.user)
            if submission.kind is Kind.PRIVATE:
                await self._ledger.reserve(submission.id, submission.user, submission.dataset, submission.loss)
        except Conflict:
            raise StoreUnavailable(GIVEN_UP) from None  # the sweeper has voided the reservation before it was made
        except StorageRefusal:
            await self._executions.delete_one({"_id": submission.id, "stage": Stage.RESERVING})
            raise
        document = await self._move(
            {"_id": submission.id, "stage": Stage.RESERVING},
            {"$set": {"stage": Stage.QUEUED}, "$inc": {"revision": 1}},
        )
        if document is None:
            # The sweeper took this process for dead, and the budget back; it may have come before the
            # reservation.
            if submission.kind is Kind.PRIVATE:
                await self._ledger.void(submission.id, submission.user, submission.dataset, submission.loss)
            raise StoreUnavailable(GIVEN_UP)
        return parse_execution(document)

    async def _check_active(self, user: str) -> None:
        active = {"user": user, "stage": {"$in": ACTIVE}}
        if await self._executions.count_documents(active, limit=MAX_ACTIVE_PER_USER + 1) > MAX_ACTIVE_PER_USER:
            raise LimitExceeded("executions", f"At most {MAX_ACTIVE_PER_USER} executions of a user may be under way.")

    @guarded
    async def claim(self, worker: str, lease_seconds: float) -> ExecutionRecord | None:
        """Takes the oldest execution that waits, or whose worker was lost, for `lease_seconds`; None if there is none.

        The record's `attempt` is the fence that every later call must name.
        """
        lost = {"stage": Stage.RUNNING, "attempt": {"$lt": MAX_ATTEMPTS}, "$expr": LEASE_IS_OVER}
        change = {
            "stage": Stage.RUNNING,
            "status": Status.RUNNING,
            "attempt": {"$add": ["$attempt", 1]},
            "worker": {"$literal": worker},
            "lease_until": now_plus(lease_seconds),
            "started_at": {"$ifNull": ["$started_at", "$$NOW"]},
            "fraction": 0.0,
            "stage_text": "Starting",
            "revision": {"$add": ["$revision", 1]},
        }
        document: Document | None = await self._executions.find_one_and_update(
            {"outcome": None, "$or": [{"stage": Stage.QUEUED}, lost]},
            [{"$set": change}],
            sort=[("submitted_at", 1)],
            return_document=ReturnDocument.AFTER,
        )
        return None if document is None else parse_execution(document)

    @guarded
    async def heartbeat(self, id: str, attempt: int, lease_seconds: float) -> bool:
        """Prolongs the lease; False if the attempt has lost it, or was cancelled, or has ended."""
        ours = {**_running(id, attempt), "cancel_asked": False}
        beat = await self._executions.update_one(ours, [{"$set": {"lease_until": now_plus(lease_seconds)}}])
        return bool(beat.matched_count)

    @guarded
    async def mark_opened(
        self,
        id: str,
        attempt: int,
        accuracy: Sequence[Accuracy],
        mechanisms: Sequence[Mechanism],
        *,
        fraction: float = 0.5,
        stage_text: str = "Reading the data",
    ) -> bool:
        """Writes down that private data is about to be read: from now on the execution is paid for.

        Shows `fraction` and `stage_text` as its progress. False if the attempt may not go on: it was fenced or
        cancelled, and nothing is marked.
        """
        known = dump_knowledge(tuple(accuracy), tuple(mechanisms))
        marked = await self._executions.update_one(
            {**_running(id, attempt), "outcome": None},
            {
                "$set": {**known, "opened": True, "fraction": fraction, "stage_text": stage_text},
                "$inc": {"revision": 1},
            },
        )
        return bool(marked.matched_count)

    @guarded
    async def report(self, id: str, attempt: int, fraction: float, stage_text: str) -> bool:
        """Shows progress, a fraction within 0 to 1; False if the attempt has nothing more to say."""
        shown = {"fraction": min(max(fraction, 0.0), 1.0), "stage_text": stage_text}
        told = await self._executions.update_one(
            {**_running(id, attempt), "outcome": None}, {"$set": shown, "$inc": {"revision": 1}}
        )
        return bool(told.matched_count)

    @guarded
    async def seal(self, id: str, attempt: int, outcome: Outcome, result: Release | None) -> bool:
        """Fixes how this attempt ended, durably and not yet visibly; again, changes nothing.

        False if the attempt was fenced or cancelled meanwhile: its result is deleted unseen.

        Raises:
            LimitExceeded: if the result is larger than 12 MiB.
        """
        if (outcome.status is Status.SUCCEEDED) != (result is not None):
            raise ValueError("success has a result, and nothing else has one")
        ours = {**_running(id, attempt), "outcome": None}
        if result is not None and await self._executions.find_one(ours, {"_id": True}):
            await self._keep(id, attempt, result)
        sealed = await self._executions.update_one(
            ours,
            {"$set": {"outcome": dump_outcome(outcome), "sealed_attempt": attempt}},
        )
        if sealed.matched_count:
            return True
        return await self._is_sealed_by(id, attempt)

    async def _keep(self, id: str, attempt: int, result: Release) -> None:
        if len(result.table) > MAX_RESULT_BYTES:
            raise LimitExceeded("result", f"A result has at most {MAX_RESULT_BYTES} bytes.")
        document = {
            "_id": f"{id}/{attempt}",
            "execution": id,
            "table": result.table,
            "columns": [list(column) for column in result.columns],
            "row_count": result.row_count,
        }
        # The first result of an attempt stays: there is one answer per charge.
        await self._results.update_one({"_id": document["_id"]}, {"$setOnInsert": document}, upsert=True)

    async def _is_sealed_by(self, id: str, attempt: int) -> bool:
        """True if this attempt's outcome stands; otherwise its result is deleted."""
        document = await self._executions.find_one({"_id": id}, {"sealed_attempt": True, "cancel_asked": True})
        if document is not None and document["sealed_attempt"] == attempt and not document["cancel_asked"]:
            return True
        await self._results.delete_one({"_id": f"{id}/{attempt}"})
        return False

    async def settle(self, id: str) -> ExecutionRecord:
        """Charges what was read, gives back what was not, and only then shows the outcome.

        As `Settlement.settle`: may be called by anybody, at any time, any number of times.
        """
        return await self._settlement.settle(id)

    @guarded
    async def cancel(self, id: str, user: str) -> ExecutionRecord:
        """Asks for the end of an execution.

        One that waits ends at once; one that runs, soon, even if it had finished
        unseen; what private data was read for stays paid. One that has ended is returned as it is.

        Raises:
            NotFound: if the user has no such execution.
        """
        outcome = dump_outcome(Outcome(status=Status.CANCELLED, code=CANCELLED_CODE))
        asked = {"$set": {"outcome": outcome, "cancel_asked": True}}
        document = await self._move({"_id": id, "user": user, "stage": {"$in": [Stage.QUEUED, Stage.RUNNING]}}, asked)
        if document is None:
            document = await self._read(id)
            if document["user"] != user:
                raise NotFound("There is no such execution.")
        return await self.settle(id) if document["stage"] == Stage.QUEUED else parse_execution(document)

    @guarded
    async def get(self, id: str) -> ExecutionRecord | None:
        """The execution of that id, or None."""
        document: Document | None = await self._executions.find_one({"_id": id, "stage": {"$nin": HIDDEN}})
        return None if document is None else parse_execution(document)

    @guarded
    async def result(self, id: str) -> StoredResult | None:
        """The release of an execution that has succeeded, or None."""
        done = await self._executions.find_one({"_id": id, "status": Status.SUCCEEDED}, {"sealed_attempt": True})
        if done is None:
            return None
        document: Document | None = await self._results.find_one({"_id": f"{id}/{done['sealed_attempt']}"})
        return None if document is None else parse_result(document)

    @guarded
    async def page(self, filter: ExecutionFilter, first: int, after: str | None) -> Page[ExecutionRecord]:
        """The executions that pass the filter, the newest first.

        Raises:
            LimitExceeded: if `first` is not within 0 to 100.
            BadCursor: if `after` is not a cursor of this list.
        """
        query = filter.query()
        if after is not None:
            query |= older_than(after, time_field="submitted_at")
        newest = [("submitted_at", -1), ("_id", -1)]
        documents = await self._executions.find(query).sort(newest).limit(check_first(first) + 1).to_list(None)
        return page_of(
            documents,
            first,
            after,
            parse=parse_execution,
            cursor=lambda it: time_cursor(it["submitted_at"], it["_id"]),
        )

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


def _running(id: str, attempt: int) -> Document:
    return {"_id": id, "attempt": attempt, "stage": Stage.RUNNING}
