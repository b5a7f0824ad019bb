"""Executions: the jobs and their archive."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import Enum
from typing import Annotated

import strawberry
from strawberry.scalars import JSON

from amancay_schema.budget import PrivacyLoss
from amancay_schema.pagination import Node, PageInfo
from amancay_schema.problems import BudgetExceeded, Conflict, ErrorCode, InvalidQuery, NotFound
from amancay_schema.query import DpQuery, Library
from amancay_schema.table import Table


@strawberry.enum(description="Whether private or made-up rows are asked.")
class ExecutionKind(Enum):
    """Only private executions cost anything."""

    PRIVATE = strawberry.enum_value("PRIVATE", description="The real table; paid for.")
    DUMMY = strawberry.enum_value("DUMMY", description="Rows made from the metadata; free.")


@strawberry.enum(description="Where an execution stands.")
class ExecutionStatus(Enum):
    """The last three are final."""

    QUEUED = strawberry.enum_value("QUEUED", description="Waits for a worker; its price is reserved.")
    RUNNING = strawberry.enum_value("RUNNING", description="A worker has it.")
    SUCCEEDED = strawberry.enum_value("SUCCEEDED", description="Its answer is paid for and can be read.")
    FAILED = strawberry.enum_value("FAILED", description="No answer; charged if the data had been read.")
    CANCELLED = strawberry.enum_value("CANCELLED", description="Stopped on request; charged if the data had been read.")


@strawberry.type(description="How far an execution is. Stages depend on the query alone, never on the data.")
class Progress:
    """For progress bars."""

    fraction: float = strawberry.field(description="From 0 to 1.")
    stage: str = strawberry.field(description="What is being done.")


@strawberry.type(description="Why there is no answer. Never a word that depends on the private data.")
class ExecutionError:
    """A fixed text per code."""

    code: ErrorCode = strawberry.field(description="The kind of failure, for programs.")
    message: str = strawberry.field(description="What happened, for people.")


@strawberry.type(description="How exact a released quantity is.")
class Accuracy:
    """Known before asking."""

    column: str = strawberry.field(
        description="The column, and in brackets the noisy quantity behind it if it has several."
    )
    mechanism: str = strawberry.field(description="`laplace` or `gaussian`.")
    scale: float = strawberry.field(description="Noise scale in the column's units.")
    margin95: float = strawberry.field(description="The noise is at most this far from zero with probability 0.95.")


ExecutionOutput = Annotated[Table, strawberry.union("ExecutionOutput", description="What an execution released.")]


@strawberry.type(description="One question, its price, and in the end its answer.")
class Execution(Node):
    """A job and its record in the archive."""

    dataset: str = strawberry.field(description="The dataset's name.")
    requested_by: str = strawberry.field(description="Who asked.")
    library: Library = strawberry.field(description="The DP library that answers.")
    query: JSON = strawberry.field(description="The question as it was asked.")
    kind: ExecutionKind = strawberry.field(description="Private or made-up rows.")
    status: ExecutionStatus = strawberry.field(description="Where it stands.")
    progress: Progress = strawberry.field(description="How far it is.")
    revision: int = strawberry.field(description="Grows with every change: drop what you have seen.")
    cost: PrivacyLoss = strawberry.field(description="What was reserved.")
    charged: PrivacyLoss = strawberry.field(description="What was committed in the end; zero until then.")
    submitted_at: datetime = strawberry.field(description="When it was asked.")
    started_at: datetime | None = strawberry.field(description="When a worker took it first.")
    finished_at: datetime | None = strawberry.field(description="When it ended, on the release grid.")
    accuracy: list[Accuracy] = strawberry.field(description="The figures of `estimate`; empty until it has started.")
    error: ExecutionError | None = strawberry.field(description="Why there is no answer.")
    load_result: strawberry.Private[Callable[[], Awaitable[Table | None]]]

    @strawberry.field(description="The released answer, once it has succeeded.")
    async def result(self) -> ExecutionOutput | None:
        """Looked up when asked for."""
        return await self.load_result()


@strawberry.type(description="An edge of an execution connection.")
class ExecutionEdge:
    """Relay's edge."""

    cursor: str = strawberry.field(description="Opaque place of this execution.")
    node: Execution = strawberry.field(description="The execution.")


@strawberry.type(description="A page of executions, newest first.")
class ExecutionConnection:
    """Relay's connection."""

    edges: list[ExecutionEdge] = strawberry.field(description="The executions of this page.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")


@strawberry.input(description="Which executions to list; all that is given must hold.")
class ExecutionFilter:
    """Empty lists everything that the caller may see."""

    dataset: str | None = strawberry.field(default=None, description="On this dataset.")
    user: str | None = strawberry.field(default=None, description="Asked by this user.")
    status: list[ExecutionStatus] | None = strawberry.field(default=None, description="In one of these states.")
    library: list[Library] | None = strawberry.field(default=None, description="By one of these libraries.")
    kind: ExecutionKind | None = strawberry.field(default=None, description="Of this kind.")
    since: datetime | None = strawberry.field(default=None, description="Asked at this time or later.")
    until: datetime | None = strawberry.field(default=None, description="Asked before this time.")


@strawberry.type(description="What a question would cost and how exact its answer would be. Free; reads no data.")
class Estimate:
    """From the question and the metadata alone."""

    cost: PrivacyLoss = strawberry.field(description="What `execute` would reserve.")
    times_affordable: int = strawberry.field(description="How often the caller could ask it with what remains.")
    accuracy: list[Accuracy] = strawberry.field(
        description="Per released quantity, where the mechanism allows a bound."
    )


@strawberry.input(description="A question to a dataset.")
class ExecuteInput:
    """What `execute` takes."""

    dataset: str = strawberry.field(description="The dataset's name.")
    query: DpQuery = strawberry.field(description="The question.")
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="The same key again answers with the same execution, charged once. 1 to 128 characters.",
    )


@strawberry.input(description="The made-up rows to ask.")
class DummyInput:
    """What `executeDummy` takes besides."""

    rows: int = strawberry.field(default=100, description="How many.")
    seed: int = strawberry.field(default=42, description="The same seed gives the same rows and the same noise.")


ExecuteResult = Annotated[
    Execution | InvalidQuery | BudgetExceeded | NotFound | Conflict,
    strawberry.union("ExecuteResult", description="The execution, or why there is none."),
]
EstimateResult = Annotated[
    Estimate | InvalidQuery | NotFound,
    strawberry.union("EstimateResult", description="The estimate, or why there is none."),
]
