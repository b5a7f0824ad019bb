"""An execution: one query on its way through the server, and its record afterwards."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self, TypeVar

from amancay_client.budget import PrivacyLoss
from amancay_client.display import Grid, Shown, moment, number
from amancay_client.errors import ExecutionCancelled, ExecutionFailed
from amancay_client.metadata import timestamp


class ExecutionStatus(StrEnum):
    """Where an execution stands; the last three are final."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        """True if nothing will change any more."""
        return self not in {ExecutionStatus.QUEUED, ExecutionStatus.RUNNING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far it is, from 0 to 1, and what it is doing."""

    fraction: float
    stage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionError:
    """Why it gave no answer."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """The noise in one released column: with probability 0.95 it is at most `margin95` either way."""

    column: str
    mechanism: str
    scale: float
    margin95: float

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> Self:
        """From the server's `Accuracy`."""
        return cls(
            column=answer["column"],
            mechanism=answer["mechanism"],
            scale=float(answer["scale"]),
            margin95=float(answer["margin95"]),
        )

    def cells(self) -> tuple[str, ...]:
        """For a row of a table under `ACCURACY_HEADERS`."""
        return (self.column, self.mechanism, number(self.scale), f"± {number(self.margin95)}")


ACCURACY_HEADERS = ("column", "mechanism", "noise scale", "95 % margin")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRecord:
    """The server's record of an execution at one revision; a higher revision is newer."""

    id: str
    dataset: str
    requested_by: str
    library: str
    query: Any
    kind: str
    status: ExecutionStatus
    progress: Progress
    revision: int
    cost: PrivacyLoss
    charged: PrivacyLoss
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    accuracy: tuple[Accuracy, ...]
    error: ExecutionError | None

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> Self:
        """From the server's `Execution`."""
        progress, error = answer["progress"], answer["error"]
        return cls(
            id=answer["id"],
            dataset=answer["dataset"],
            requested_by=answer["requestedBy"],
            library=answer["library"],
            query=answer["query"],
            kind=answer["kind"],
            status=ExecutionStatus(answer["status"]),
            progress=Progress(fraction=float(progress["fraction"]), stage=progress["stage"]),
            revision=int(answer["revision"]),
            cost=PrivacyLoss.parse(answer["cost"]),
            charged=PrivacyLoss.parse(answer["charged"]),
            submitted_at=datetime.fromisoformat(answer["submittedAt"]),
            started_at=timestamp(answer["startedAt"]),
            finished_at=timestamp(answer["finishedAt"]),
            accuracy=tuple(map(Accuracy.parse, answer["accuracy"])),
            error=ExecutionError(code=error["code"], message=error["message"]) if error else None,
        )


class ExecutionFacts(Shown):
    """What the server last said about an execution; a wait or `refresh()` brings it up to date."""

    _record: ExecutionRecord

    @property
    def id(self) -> str:
        """What `session.execution(id)` finds it by."""
        return self._record.id

    @property
    def dataset(self) -> str:
        """The name of the dataset."""
        return self._record.dataset

    @property
    def requested_by(self) -> str:
        """The name of the user who asked."""
        return self._record.requested_by

    @property
    def library(self) -> str:
        """The differential privacy library that answers."""
        return self._record.library

    @property
    def query(self) -> Any:
        """The query as it was asked, as plain JSON."""
        return self._record.query

    @property
    def kind(self) -> str:
        """PRIVATE, or DUMMY: a rehearsal on made-up rows, free of charge."""
        return self._record.kind

    @property
    def status(self) -> ExecutionStatus:
        """Where it stands."""
        return self._record.status

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return self._record.progress

    @property
    def cost(self) -> PrivacyLoss:
        """The privacy loss that was reserved for it."""
        return self._record.cost

    @property
    def charged(self) -> PrivacyLoss:
        """The privacy loss that was charged in the end."""
        return self._record.charged

    @property
    def submitted_at(self) -> datetime:
        """When it was accepted (UTC)."""
        return self._record.submitted_at

    @property
    def started_at(self) -> datetime | None:
        """When it began to run (UTC)."""
        return self._record.started_at

    @property
    def finished_at(self) -> datetime | None:
        """When it ended (UTC)."""
        return self._record.finished_at

    @property
    def accuracy(self) -> tuple[Accuracy, ...]:
        """The noise in each released column, as the estimate told it."""
        return self._record.accuracy

    @property
    def error(self) -> ExecutionError | None:
        """Why it failed, if it did."""
        return self._record.error

    def _grid(self) -> Grid:
        error = self.error
        rows = [
            ("status", f"{self.status} ({self.progress.fraction:.0%}, {self.progress.stage})"),
            ("dataset", self.dataset),
            ("query", question(self.query)),
            ("cost", str(self.cost)),
            ("charged", str(self.charged)),
            ("submitted", moment(self.submitted_at)),
            ("finished", moment(self.finished_at)),
        ]
        if error is not None:
            rows.append(("error", f"{error.message} [{error.code}]"))
        return Grid(title=f"{self.kind.capitalize()} execution {self.id}", rows=tuple(rows))


E = TypeVar("E", bound=ExecutionFacts)


class Executions(Shown, list[E]):
    """Executions, as a list that shows itself as a table."""

    __slots__ = ()

    def _grid(self) -> Grid:
        headers = ("submitted", "dataset", "kind", "status", "epsilon", "delta", "query", "id")
        return Grid(title=f"Executions: {len(self)}", headers=headers, rows=tuple(map(_summary, self)))


def settled(execution: E) -> E:
    """The execution, if it has an answer.

    Raises ExecutionFailed or ExecutionCancelled.
    """
    if execution.status is ExecutionStatus.FAILED:
        raise ExecutionFailed(execution)
    if execution.status is ExecutionStatus.CANCELLED:
        raise ExecutionCancelled(execution)
    return execution


def question(query: Any) -> str:
    """A query as one line for reading: its SQL where it has one."""
    inner = query.get("smartnoiseSql", query) if isinstance(query, dict) else query
    sql = inner.get("sql") if isinstance(inner, dict) else None
    return sql if isinstance(sql, str) else json.dumps(query, ensure_ascii=False)


def _summary(execution: ExecutionFacts) -> tuple[str, ...]:
    charged = execution.charged
    return (
        moment(execution.submitted_at),
        execution.dataset,
        execution.kind,
        execution.status,
        number(charged.epsilon),
        number(charged.delta),
        question(execution.query),
        execution.id,
    )
