"""Executions: asking, following, cancelling and the archive."""

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from strawberry import ID, argument
from strawberry.scalars import JSON

from amancay_engine.dummy import MAX_DUMMY_ROWS, MAX_SEED, DummyRows
from amancay_engine.errors import FAILURE_MESSAGES, FailureCode, InvalidQuery
from amancay_engine.privacy import NOTHING, PrivacyLoss
from amancay_engine.query import Library as EngineLibrary
from amancay_engine.query import Query, dump_query, library_of
from amancay_engine.release import Accuracy as EngineAccuracy
from amancay_engine.runners import accuracy, price
from amancay_resolvers.budget import loss_of
from amancay_resolvers.context import Context, Info, not_found
from amancay_resolvers.pagination import NO_PAGE, page_info
from amancay_resolvers.problems import REFUSALS, no_dataset, problem
from amancay_resolvers.query import to_engine
from amancay_resolvers.table import table_of
from amancay_schema.argument import After, DatasetName, First, GlobalId
from amancay_schema.execution import (
    Accuracy,
    DummyInput,
    Estimate,
    EstimateResult,
    ExecuteInput,
    ExecuteResult,
    Execution,
    ExecutionConnection,
    ExecutionEdge,
    ExecutionError,
    ExecutionFilter,
    ExecutionKind,
    ExecutionStatus,
    Progress,
)
from amancay_schema.pagination import global_id, local_id
from amancay_schema.problems import BudgetExceeded, ErrorCode, NotFound
from amancay_schema.query import DpQuery, Library
from amancay_schema.table import FileFormat, Table
from amancay_storage.datasets import DatasetRecord
from amancay_storage.execution import ExecutionFilter as StoredFilter
from amancay_storage.execution import ExecutionRecord, Kind, Status, Submission

MAX_KEY = 128
Asked = Annotated[ExecuteInput, argument(description="What is asked, and of which dataset.")]
ENDED = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED})
CANCELLED_MESSAGE = "The execution was cancelled."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A vetted and priced question to a granted dataset."""

    dataset: DatasetRecord
    query: Query
    loss: PrivacyLoss


async def estimate(
    info: Info,
    dataset: DatasetName,
    query: Annotated[DpQuery, argument(description="The question.")],
) -> EstimateResult:
    """Price, affordability and accuracy: from the question and the metadata alone."""
    try:
        asked = await _asked(info.context, dataset, query)
        if asked is None:
            return no_dataset()
        figures = await asyncio.to_thread(accuracy, asked.query, asked.dataset.metadata)
    except REFUSALS as error:
        refusal = problem(error)
        assert not isinstance(refusal, BudgetExceeded)
        return refusal  # type: ignore[return-value]  # an estimate reserves nothing, so nothing conflicts
    balance = await info.context.budgets.load(dataset)
    return Estimate(
        cost=loss_of(asked.loss),
        times_affordable=min(2**31 - 1, asked.loss.times_within(balance.remaining if balance else NOTHING)),
        accuracy=[_accuracy_of(entry) for entry in figures],
    )


async def execute(info: Info, input: Asked) -> ExecuteResult:
    """Vets, prices, reserves and queues a question."""
    return await _submit(info.context, input, None)


async def execute_dummy(
    info: Info,
    input: Asked,
    dummy: Annotated[DummyInput | None, argument(description="The made-up rows.")] = None,
) -> ExecuteResult:
    """The same on made-up rows: free, and reproducible by its seed."""
    dummy = dummy or DummyInput()
    return await _submit(info.context, input, DummyRows(rows=dummy.rows, seed=dummy.seed))


async def cancel_execution(info: Info, id: GlobalId) -> ExecuteResult:
    """Stops an execution of the caller's: free before the data was read, charged after."""
    found = local_id(id, "Execution")
    try:
        if found is None:
            return _no_execution()
        return execution_of(info.context, await info.context.store.executions.cancel(found[1], info.context.user.name))
    except REFUSALS as error:
        refusal = problem(error)
        return _no_execution() if isinstance(refusal, NotFound) else refusal


async def execution(info: Info, id: GlobalId) -> Execution | None:
    """One execution, if the caller may see it."""
    record = await visible_execution(info.context, id)
    return None if record is None else execution_of(info.context, record)


async def executions(
    info: Info,
    filter: Annotated[ExecutionFilter | None, argument(description="Only these.")] = None,
    first: First = 20,
    after: After = None,
) -> ExecutionConnection:
    """The archive: the caller's own, or everybody's for those who oversee."""
    return await _page(info.context, filter or ExecutionFilter(), first, after)


async def executions_on(
    context: Context, dataset: str, first: int, after: str | None, filter: ExecutionFilter | None
) -> ExecutionConnection:
    """The archive of one dataset."""
    wanted = filter or ExecutionFilter()
    if wanted.dataset not in {None, dataset}:
        return ExecutionConnection(edges=[], page_info=NO_PAGE)
    wanted.dataset = dataset
    return await _page(context, wanted, first, after)


async def follow_execution(info: Info, id: ID) -> AsyncIterator[Execution]:
    """The state now, then every change; complete when it has ended."""
    context = info.context

    async def read() -> ExecutionRecord:
        record = await visible_execution(context, id)
        if record is None:
            raise not_found("execution")
        return record

    async with context.live.execution((await read()).id) as changes:
        shown = await read()
        yield execution_of(context, shown)
        while shown.status not in ENDED:
            change = await anext(changes, shown)
            if change is shown:  # the server stops
                return
            record = change or await read()
            if record.revision > shown.revision:
                shown = record
                yield execution_of(context, shown)


async def visible_execution(context: Context, id: str) -> ExecutionRecord | None:
    """The execution behind a global id, if the caller may see it."""
    found = local_id(id, "Execution")
    record = None if found is None else await context.store.executions.get(found[1])
    if record is None or (record.user != context.user.name and not context.oversees):
        return None
    return record


def execution_of(context: Context, record: ExecutionRecord) -> Execution:
    """An execution for display."""
    return Execution(
        id=global_id("Execution", record.id),
        dataset=record.dataset,
        requested_by=record.user,
        library=Library(record.library.value),
        query=JSON(record.query),
        kind=ExecutionKind(record.kind.value),
        status=ExecutionStatus(record.status.value),
        progress=Progress(fraction=record.fraction, stage=record.stage_text),
        revision=record.revision,
        cost=loss_of(record.cost),
        charged=loss_of(record.charged),
        submitted_at=record.submitted_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
        accuracy=[_accuracy_of(entry) for entry in record.accuracy],
        error=None if record.code is None else _error_of(record.code),
        load_result=partial(_result, context, record),
    )


async def _asked(context: Context, dataset: str, query: DpQuery) -> _Asked | None:
    """Permission first, then existence, then input; None if there is no such dataset for the caller.

    Raises:
        InvalidQuery: whatever cannot be asked.
    """
    if await context.budgets.load(dataset) is None:
        return None
    record = await context.store.datasets.get(dataset)
    if record is None:
        return None
    asked = to_engine(query)
    if library_of(asked) not in record.libraries:
        raise InvalidQuery(f"{library_of(asked)} may not query this dataset", "query")
    loss = await asyncio.to_thread(price, asked, record.metadata)
    return _Asked(dataset=record, query=asked, loss=loss)


async def _submit(context: Context, input: ExecuteInput, dummy: DummyRows | None) -> ExecuteResult:
    try:
        asked = await _asked(context, input.dataset, input.query)
        if asked is None:
            return no_dataset()
        _vet_request(input.idempotency_key, dummy)
        submission = _submission(context.user.name, asked, input.idempotency_key, dummy)
        record, fresh = await context.store.executions.submit(submission)
    except REFUSALS as error:
        return problem(error)
    if fresh:
        context.wake_worker()
    return execution_of(context, record)


def _vet_request(key: str | None, dummy: DummyRows | None) -> None:
    if key is not None and not 0 < len(key) <= MAX_KEY:
        raise InvalidQuery(f"an idempotency key has 1 to {MAX_KEY} characters", "idempotencyKey")
    if dummy is not None and not 0 <= dummy.rows <= MAX_DUMMY_ROWS:
        raise InvalidQuery(f"dummy rows must be from 0 to {MAX_DUMMY_ROWS}", "dummy", "rows")
    if dummy is not None and not 0 <= dummy.seed <= MAX_SEED:
        raise InvalidQuery(f"the seed of dummy rows must be from 0 to {MAX_SEED}", "dummy", "seed")


def _submission(user: str, asked: _Asked, key: str | None, dummy: DummyRows | None) -> Submission:
    query = dump_query(asked.query)
    kind = Kind.PRIVATE if dummy is None else Kind.DUMMY
    rows, seed = (None, None) if dummy is None else (dummy.rows, dummy.seed)
    same = json.dumps([asked.dataset.name, kind, query, rows, seed], sort_keys=True)
    return Submission(
        id=secrets.token_urlsafe(16),
        user=user,
        dataset=asked.dataset.name,
        dataset_version=asked.dataset.version,
        kind=kind,
        query=query,
        library=EngineLibrary(library_of(asked.query)),
        loss=asked.loss if dummy is None else NOTHING,
        fingerprint=hashlib.sha256(same.encode()).hexdigest(),
        idempotency_key=key,
        dummy_rows=rows,
        dummy_seed=seed,
    )


async def _page(context: Context, filter: ExecutionFilter, first: int, after: str | None) -> ExecutionConnection:
    user = filter.user if context.oversees else context.user.name
    if filter.user not in {None, user}:
        return ExecutionConnection(edges=[], page_info=NO_PAGE)
    stored = StoredFilter(
        user=user,
        dataset=filter.dataset,
        kind=None if filter.kind is None else Kind(filter.kind.name),
        status=tuple(Status(status.name) for status in filter.status or ()),
        library=tuple(EngineLibrary(library.name) for library in filter.library or ()),
        since=filter.since,
        until=filter.until,
    )
    page = await context.store.executions.page(stored, first, after)
    edges = [
        ExecutionEdge(cursor=cursor, node=execution_of(context, record))
        for record, cursor in zip(page.items, page.cursors, strict=True)
    ]
    return ExecutionConnection(edges=edges, page_info=page_info(page))


async def _result(context: Context, record: ExecutionRecord) -> Table | None:
    if not record.has_result:
        return None
    stored = await context.store.executions.result(record.id)
    if stored is None:
        return None

    def sign(format: FileFormat) -> str:
        return context.sign_download(context.user.name, {"execution": record.id, "format": format.name})

    return table_of(stored.table, stored.columns, stored.row_count, sign)


def _accuracy_of(entry: EngineAccuracy) -> Accuracy:
    return Accuracy(column=entry.column, mechanism=entry.mechanism, scale=entry.scale, margin95=entry.margin95)


def _error_of(code: str) -> ExecutionError:
    message = CANCELLED_MESSAGE if code == "CANCELLED" else FAILURE_MESSAGES[FailureCode(code)]
    return ExecutionError(code=ErrorCode(code), message=message)


def _no_execution() -> NotFound:
    return NotFound(code=ErrorCode.NOT_FOUND, message="There is no such execution for you.")
