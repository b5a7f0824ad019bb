"""What the store keeps of an execution, and how it is written down."""

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from amancay_engine.privacy import NOTHING, PrivacyLoss
from amancay_engine.query import Library
from amancay_engine.release import Accuracy, Mechanism
from amancay_storage.amount import dump_loss, parse_loss, storable
from amancay_storage.driver import Document
from amancay_storage.errors import LimitExceeded
from amancay_storage.name import check_name

MAX_QUERY_BYTES = 1 << 20
MAX_KEY = 200


class Kind(StrEnum):
    """Whether private data is read (and paid for) or dummy data."""

    PRIVATE = "PRIVATE"
    DUMMY = "DUMMY"


class Status(StrEnum):
    """What the world sees of an execution's life."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Stage(StrEnum):
    """The inner life, which the world does not see.

    RESERVING -> QUEUED -> RUNNING -> SETTLING -> ENDED. A submission that lost its budget or its process is
    DROPPED and then deleted. From SETTLING on the outcome is fixed.
    """

    RESERVING = "RESERVING"
    DROPPED = "DROPPED"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SETTLING = "SETTLING"
    ENDED = "ENDED"


HIDDEN = (Stage.RESERVING.value, Stage.DROPPED.value)
ACTIVE = (Stage.RESERVING.value, Stage.QUEUED.value, Stage.RUNNING.value, Stage.SETTLING.value)
CANCELLED_CODE = "CANCELLED"
MAX_ATTEMPTS = 3
LEASE_IS_OVER: Document = {"$lte": ["$lease_until", "$$NOW"]}
"""The condition, by the database's clock, that the worker of a running execution is lost."""
END_TEXT = {Status.SUCCEEDED: "Done", Status.FAILED: "Failed", Status.CANCELLED: "Cancelled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an execution ended: `code` is a failure code, or CANCELLED, or None after success."""

    status: Status
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What is asked to be run. `fingerprint` tells two uses of one idempotency key apart."""

    id: str
    user: str
    dataset: str
    dataset_version: int
    kind: Kind
    query: dict[str, Any]
    library: Library
    loss: PrivacyLoss
    fingerprint: str
    idempotency_key: str | None = None
    dummy_rows: int | None = None
    dummy_seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRecord:
    """An execution as it may be shown, and what a worker needs to run it."""

    id: str
    user: str
    dataset: str
    dataset_version: int
    kind: Kind
    library: Library
    query: dict[str, Any]
    status: Status
    fraction: float
    stage_text: str
    revision: int
    """Grows with every visible change."""
    cost: PrivacyLoss
    charged: PrivacyLoss
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    code: str | None
    accuracy: tuple[Accuracy, ...]
    has_result: bool
    attempt: int
    opened: bool
    dummy_rows: int | None
    dummy_seed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFilter:
    """Which executions are listed; None and empty let everything through. Times: since <= submitted < until."""

    user: str | None = None
    dataset: str | None = None
    kind: Kind | None = None
    status: tuple[Status, ...] = field(default=())
    library: tuple[Library, ...] = field(default=())
    since: datetime | None = None
    until: datetime | None = None

    def query(self) -> Document:
        """The filter as the database reads it."""
        found: Document = {"stage": {"$nin": HIDDEN}}
        found |= {key: value for key, value in (("user", self.user), ("dataset", self.dataset)) if value is not None}
        if self.kind is not None:
            found["kind"] = self.kind.value
        for key, values in (("status", self.status), ("library", self.library)):
            if values:
                found[key] = {"$in": [value.value for value in values]}
        span = {"$gte": self.since, "$lt": self.until}
        if times := {bound: at for bound, at in span.items() if at is not None}:
            found["submitted_at"] = times
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResult:
    """The release of an execution that succeeded."""

    table: bytes
    columns: tuple[tuple[str, str], ...]
    row_count: int


def dump_submission(submission: Submission) -> Document:
    """The document of a new execution, still without its time.

    Raises:
        BadName: if user or dataset is not a name.
        LimitExceeded: if the query, the key or the loss is too large to be kept.
    """
    query = json.dumps(submission.query)
    if len(query.encode()) > MAX_QUERY_BYTES or len(submission.idempotency_key or "") > MAX_KEY:
        raise LimitExceeded("query", f"A query has at most {MAX_QUERY_BYTES} bytes, its key {MAX_KEY} characters.")
    if not storable(submission.loss):
        raise LimitExceeded("loss", "The privacy loss is too large.")
    return {
        "_id": submission.id,
        "user": check_name(submission.user),
        "dataset": check_name(submission.dataset),
        "dataset_version": submission.dataset_version,
        "kind": submission.kind.value,
        "library": submission.library.value,
        "query": query,
        "fingerprint": submission.fingerprint,
        "idempotency_key": submission.idempotency_key,
        "dummy_rows": submission.dummy_rows,
        "dummy_seed": submission.dummy_seed,
        "cost": dump_loss(submission.loss),
        **_UNTOUCHED,
    }


_UNTOUCHED: Document = {
    "status": Status.QUEUED.value,
    "stage": Stage.RESERVING.value,
    "fraction": 0.0,
    "stage_text": "Waiting",
    "revision": 0,
    "charged": dump_loss(NOTHING),
    "started_at": None,
    "finished_at": None,
    "code": None,
    "accuracy": [],
    "mechanisms": [],
    "has_result": False,
    "attempt": 0,
    "opened": False,
    "outcome": None,
    "sealed_attempt": None,
    "cancel_asked": False,
    "worker": None,
    "lease_until": None,
}


def parse_execution(document: Document) -> ExecutionRecord:
    """The record in an execution's document."""
    return ExecutionRecord(
        id=document["_id"],
        user=document["user"],
        dataset=document["dataset"],
        dataset_version=document["dataset_version"],
        kind=Kind(document["kind"]),
        library=Library(document["library"]),
        query=json.loads(document["query"]),
        status=Status(document["status"]),
        fraction=document["fraction"],
        stage_text=document["stage_text"],
        revision=document["revision"],
        cost=parse_loss(document["cost"]),
        charged=parse_loss(document["charged"]),
        submitted_at=document["submitted_at"],
        started_at=document["started_at"],
        finished_at=document["finished_at"],
        code=document["code"],
        accuracy=tuple(Accuracy(**item) for item in document["accuracy"]),
        has_result=document["has_result"],
        attempt=document["attempt"],
        opened=document["opened"],
        dummy_rows=document["dummy_rows"],
        dummy_seed=document["dummy_seed"],
    )


def parse_mechanisms(document: Document) -> tuple[Mechanism, ...]:
    """The mechanisms in an execution's document, for its ledger entry."""
    return tuple(Mechanism(**item) for item in document["mechanisms"])


def dump_outcome(outcome: Outcome) -> Document:
    """The sub-document of an outcome."""
    return {"status": outcome.status.value, "code": outcome.code}


def dump_knowledge(accuracy: tuple[Accuracy, ...], mechanisms: tuple[Mechanism, ...]) -> Document:
    """What is known of a run before any data is read."""
    return {
        "accuracy": [asdict(item) for item in accuracy],
        "mechanisms": [asdict(item) for item in mechanisms],
    }


def parse_result(document: Document) -> StoredResult:
    """The release in a result's document."""
    return StoredResult(
        table=bytes(document["table"]),
        columns=tuple((name, kind) for name, kind in document["columns"]),
        row_count=document["row_count"],
    )
