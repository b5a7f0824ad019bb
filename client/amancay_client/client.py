"""The asynchronous client: the core that the synchronous face runs.

async with amancay_client.AsyncClient("https://amancay.example.org/graphql", token) as session:
    penguins = await session.dataset("penguins")
    execution = await penguins.sql("SELECT COUNT(*) AS n FROM df", epsilon=0.1).run()
    print((await execution.result()).to_polars())
"""

import os
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

import anyio

from amancay_client.account import Server, User
from amancay_client.budget import Budget
from amancay_client.dataset import DatasetFacts, DatasetRecord, Datasets
from amancay_client.errors import (
    AmancayError,
    NotFound,
    ServerFault,
    ServerUnreachable,
    StillRunning,
    again,
    refusal,
)
from amancay_client.execution import ExecutionFacts, ExecutionRecord, Executions, settled
from amancay_client.frames import Table, read_table
from amancay_client.progress import Bar
from amancay_client.query import Estimate, QueryFacts, SqlQuestion
from amancay_client.transport import Connection
from amancay_client.watch import Show, Watch, fetch_execution

MAX_PAGE = 100
MAX_LISTED = 1000
DEFAULT_TIMEOUT = 30.0


class ExecutionFilter(TypedDict, total=False):
    """Which executions to list: one status or library, or several; since and until with a time zone."""

    dataset: str
    user: str
    status: str | Iterable[str]
    library: str | Iterable[str]
    kind: str
    since: datetime
    until: datetime


class AsyncExecution(ExecutionFacts):
    """An execution of one's own, to wait for and to read."""

    def __init__(self, connection: Connection, record: ExecutionRecord) -> None:
        self._connection = connection
        self._record = record
        self._table: Table | None = None

    async def refresh(self) -> Self:
        """Bring the facts up to date."""
        self._see(await fetch_execution(self._connection, self.id))
        return self

    async def wait(
        self,
        *,
        progress: bool = True,
        timeout: float | None = None,  # noqa: ASYNC109  # seconds until StillRunning: both faces have the same names
    ) -> Self:
        """Return when it has ended, however that was; `timeout` in seconds raises StillRunning."""
        with Bar(visible=progress) as bar:
            await self.follow(bar.show, timeout)
        return self

    async def follow(
        self,
        show: Show,
        timeout: float | None = None,  # noqa: ASYNC109  # seconds until StillRunning: both faces have the same names
    ) -> None:
        """Call `show` with the present record and with each newer one until it has ended."""

        def see(record: ExecutionRecord) -> None:
            self._see(record)
            show(record)

        with anyio.move_on_after(timeout) as scope:
            await Watch(self._connection, self._record, see).until_ended()
        if scope.cancelled_caught and timeout is not None:
            raise StillRunning(self, timeout)

    async def result(self) -> Table:
        """The released table; waits for it if need be.

        Raises ExecutionFailed or ExecutionCancelled.
        """
        return await settled(await self.wait(progress=False)).fetch()

    async def fetch(self) -> Table:
        """The table of an execution that has succeeded; it is asked for once."""
        if self._table is None:
            answer = await self._connection.ask("result", id=self.id)
            self._table = await read_table(_table_of(answer), self._page)
        return self._table

    async def cancel(self) -> Self:
        """Ask for its end, which comes soon; one that has ended stays as it is.

        If it has begun to read the data it is charged all the same.
        """
        answer = await self._connection.ask("cancel_execution", id=self.id)
        self._see(ExecutionRecord.parse(accepted(answer["cancelExecution"], self._connection.url)))
        return self

    async def _page(self, first: int, offset: int) -> Any:
        answer = await self._connection.ask("result_rows", id=self.id, first=first, offset=offset)
        return answer["execution"]["result"]["rows"]

    def _see(self, record: ExecutionRecord) -> None:
        if record.revision >= self._record.revision:
            self._record = record


class AsyncQuery(QueryFacts):
    """A question to one dataset: estimate it, rehearse it on dummy rows, run it."""

    def __init__(self, connection: Connection, dataset: str, question: SqlQuestion) -> None:
        self._connection = connection
        self._dataset = dataset
        self._question = question

    async def estimate(self) -> Estimate:
        """The price and the noise, from metadata alone; free.

        Raises InvalidQuery or NotFound.
        """
        asked = {"dataset": self._dataset, "query": self._question.variables()}
        answer = await self._connection.ask("estimate", **asked)
        return Estimate.parse(accepted(answer["estimate"], self._connection.url))

    async def dummy(
        self,
        rows: int = 100,
        seed: int = 42,
        *,
        progress: bool = True,
        timeout: float | None = None,  # noqa: ASYNC109  # seconds until StillRunning: both faces have the same names
    ) -> AsyncExecution:
        """Run it on made-up rows and wait; free.

        Raises InvalidQuery, NotFound, LimitExceeded, ExecutionFailed or StillRunning.
        """
        execution = await self.submit_dummy(rows, seed)
        return settled(await execution.wait(progress=progress, timeout=timeout))

    async def run(
        self,
        *,
        progress: bool = True,
        idempotency_key: str | None = None,
        wait: bool = True,
        timeout: float | None = None,  # noqa: ASYNC109  # seconds until StillRunning: both faces have the same names
    ) -> AsyncExecution:
        """Run it on the private data, pay for it, and wait for the answer (`timeout` in seconds).

        The same `idempotency_key` gives the same execution, charged once; without one, each call is another.

        Raises InvalidQuery, BudgetExceeded, NotFound, Conflict, ExecutionFailed, ExecutionCancelled or
        StillRunning.
        """
        execution = await self.submit(idempotency_key or new_key())
        if not wait:
            return execution
        return settled(await execution.wait(progress=progress, timeout=timeout))

    async def submit(self, key: str) -> AsyncExecution:
        """Hand it in under an idempotency key and return at once."""
        try:
            answer = await self._connection.ask("execute", input=self._input(key))
        except (ServerUnreachable, ServerFault) as error:
            error.add_note(again(key))
            raise
        return self._execution(answer["execute"])

    async def submit_dummy(self, rows: int, seed: int) -> AsyncExecution:
        """Hand in a rehearsal and return at once."""
        dummy = {"rows": rows, "seed": seed}
        answer = await self._connection.ask("execute_dummy", input=self._input(new_key()), dummy=dummy)
        return self._execution(answer["executeDummy"])

    def _input(self, key: str) -> dict[str, Any]:
        return {"dataset": self._dataset, "query": self._question.variables(), "idempotencyKey": key}

    def _execution(self, answer: Mapping[str, Any]) -> AsyncExecution:
        record = ExecutionRecord.parse(accepted(answer, self._connection.url))
        return AsyncExecution(self._connection, record)


class AsyncDataset(DatasetFacts):
    """A dataset that was granted to the user."""

    def __init__(self, connection: Connection, record: DatasetRecord) -> None:
        self._connection = connection
        self._record = record

    async def budget(self) -> Budget | None:
        """The user's budget as it is now; None for those who may look without one."""
        answer = _known(await self._connection.ask("budget", name=self.name), self.name)
        return Budget.parse(answer["budget"]) if answer["budget"] else None

    async def dummy(self, rows: int = 100, seed: int = 42) -> Table:
        """Made-up rows of the declared shape: they know nothing of the data, and are free."""

        async def page(first: int, offset: int) -> Any:
            answer = await self._connection.ask("dummy_rows", **asked, first=first, offset=offset)
            return answer["dataset"]["dummy"]["rows"]

        asked = {"name": self.name, "rows": rows, "seed": seed}
        answer = _known(await self._connection.ask("dummy_table", **asked), self.name)
        return await read_table(answer["dummy"], page)

    def sql(
        self,
        sql: str,
        *,
        epsilon: float,
        delta: float = 1e-6,
        mechanisms: Mapping[str, str] | None = None,
        postprocess: bool = True,
        censor_dims: bool | None = None,
    ) -> AsyncQuery:
        """A question in SQL; nothing is sent yet. The parameters are those of SqlQuestion."""
        question = SqlQuestion(
            sql=sql,
            epsilon=epsilon,
            delta=delta,
            mechanisms=mechanisms,
            postprocess=postprocess,
            censor_dims=censor_dims,
        )
        return AsyncQuery(self._connection, self.name, question)

    async def executions(self, limit: int = 20, **filters: Unpack[ExecutionFilter]) -> Executions[AsyncExecution]:
        """The newest executions on this dataset; the filters are those of `session.executions`."""
        filters["dataset"] = self.name
        return await list_executions(self._connection, limit, **filters)


class AsyncClient:
    """A session with one server: `async with AsyncClient(url, token) as session`.

    URL and token come from AMANCAY_URL and AMANCAY_TOKEN when they are not given; `timeout` is in seconds,
    for each attempt at a request.
    """

    def __init__(self, url: str | None = None, token: str | None = None, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self._connection = Connection(
            _given(url, "AMANCAY_URL", "url"), _given(token, "AMANCAY_TOKEN", "token"), timeout
        )
        self._greeting = "not connected"

    async def open(self) -> Self:
        """Connect and see who one is.

        Raises ServerUnreachable or Unauthenticated.
        """
        await self._connection.open()
        try:
            answer = await self._connection.ask("greet")
        except AmancayError:
            await self.close()
            raise
        user, version = answer["me"], answer["server"]["version"]
        self._greeting = f"{user['name']} ({user['role']}), server {version}"
        return self

    async def close(self) -> None:
        """End the session; executions go on."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Amancay session at {self._connection.url}: {self._greeting}>"

    async def me(self) -> User:
        """The user behind the token, with every budget."""
        return User.parse((await self._connection.ask("me", first=MAX_PAGE))["me"])

    async def server(self) -> Server:
        """The server's version, libraries and limits."""
        return Server.parse((await self._connection.ask("server"))["server"])

    async def datasets(self, limit: int = MAX_LISTED) -> Datasets[AsyncDataset]:
        """The datasets that were granted to the user, by name."""
        nodes = await _listed(self._connection, "datasets", limit)
        records = map(DatasetRecord.parse, nodes)
        return Datasets(AsyncDataset(self._connection, record) for record in records)

    async def dataset(self, name: str) -> AsyncDataset:
        """One dataset.

        Raises NotFound if there is none of that name, or no grant for it.
        """
        answer = _known(await self._connection.ask("dataset", name=name), name)
        return AsyncDataset(self._connection, DatasetRecord.parse(answer))

    async def executions(self, limit: int = 20, **filters: Unpack[ExecutionFilter]) -> Executions[AsyncExecution]:
        """The newest executions that pass every filter given."""
        return await list_executions(self._connection, limit, **filters)

    async def execution(self, id: str) -> AsyncExecution:
        """One execution.

        Raises NotFound.
        """
        return AsyncExecution(self._connection, await fetch_execution(self._connection, id))


async def list_executions(
    connection: Connection, limit: int, **filters: Unpack[ExecutionFilter]
) -> Executions[AsyncExecution]:
    """The newest executions that pass every filter."""
    chosen = {name: _filter(name, value) for name, value in filters.items()}
    nodes = await _listed(connection, "executions", limit, filter=chosen or None)
    return Executions(AsyncExecution(connection, record) for record in map(ExecutionRecord.parse, nodes))


def accepted(answer: Mapping[str, Any], url: str) -> Mapping[str, Any]:
    """What was asked for, or the refusal that came in its place, raised."""
    if "code" in answer:
        raise refusal(answer, url)
    return answer


def new_key() -> str:
    """An idempotency key that nobody has used."""
    return str(uuid.uuid4())


async def _listed(connection: Connection, field: str, limit: int, **variables: Any) -> list[Mapping[str, Any]]:
    """The first `limit` nodes of a connection, page by page; `field` is also the document's name."""
    nodes: list[Mapping[str, Any]] = []
    after: str | None = None
    while (missing := min(limit, MAX_LISTED) - len(nodes)) > 0:
        answer = await connection.ask(field, first=min(missing, MAX_PAGE), after=after, **variables)
        nodes.extend(edge["node"] for edge in answer[field]["edges"])
        page = answer[field]["pageInfo"]
        if not page["hasNextPage"]:
            break
        after = page["endCursor"]
    return nodes


def _filter(name: str, value: Any) -> Any:
    """A filter's value as the server reads it."""
    if name in {"status", "library"}:
        return [value] if isinstance(value, str) else list(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _known(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    dataset: Mapping[str, Any] | None = answer["dataset"]
    if dataset is None:
        raise NotFound(f"There is no dataset {name!r}, or no grant for it.", code="NOT_FOUND")
    return dataset


def _table_of(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The table in an execution's result."""
    result: Mapping[str, Any] | None = answer["execution"] and answer["execution"]["result"]
    if result is None:
        raise NotFound("The result is not there any more.", code="NOT_FOUND")
    if result["__typename"] != "Table":
        raise AmancayError(f"This client is too old for a result of type {result['__typename']}.")
    return result


def _given(value: str | None, variable: str, name: str) -> str:
    found = value if value is not None else os.environ.get(variable)
    if not found:
        raise ValueError(f"no {name}: pass {name}=... or set {variable} in the environment")
    return found
