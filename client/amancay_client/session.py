"""The synchronous face, for notebooks and scripts: every call runs the asynchronous core."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

import polars as pl

from amancay_client.account import Server, User
from amancay_client.bridge import call, follow
from amancay_client.budget import Budget
from amancay_client.client import (
    DEFAULT_TIMEOUT,
    MAX_LISTED,
    AsyncClient,
    AsyncDataset,
    AsyncExecution,
    AsyncQuery,
    ExecutionFilter,
    new_key,
)
from amancay_client.dataset import DatasetFacts, Datasets
from amancay_client.display import plain
from amancay_client.errors import StillRunning, again, later
from amancay_client.execution import ExecutionFacts, ExecutionRecord, Executions, settled
from amancay_client.frames import Table
from amancay_client.progress import Bar
from amancay_client.query import Estimate, QueryFacts

if TYPE_CHECKING:
    import pandas as pd


def connect(url: str | None = None, token: str | None = None, *, timeout: float = DEFAULT_TIMEOUT) -> "Session":
    """Open a session with a server; URL and token may come from AMANCAY_URL and AMANCAY_TOKEN.

    `timeout` is in seconds, for each attempt at a request. Raises ServerUnreachable or Unauthenticated.
    """
    return Session(call(AsyncClient(url, token, timeout=timeout).open))


class Execution(ExecutionFacts):
    """An execution of one's own, to wait for and to read."""

    def __init__(self, core: AsyncExecution) -> None:
        self._core = core

    @property
    def _record(self) -> ExecutionRecord:  # type: ignore[override]  # the core's record is the one that moves
        return self._core._record

    def refresh(self) -> Self:
        """Bring the facts up to date."""
        call(self._core.refresh)
        return self

    def wait(self, *, progress: bool = True, timeout: float | None = None) -> Self:
        """Return when it has ended, however that was; `timeout` in seconds raises StillRunning.

        An interrupt ends the wait only: the execution goes on.
        """
        with _interruptible(later(self.id)), Bar(visible=progress) as bar:
            try:
                follow(partial(self._core.follow, timeout=timeout), bar.show)
            except StillRunning as error:
                error.execution = self
                raise
        return self

    @property
    def result(self) -> Table:
        """The released table; waits for it if need be.

        Raises ExecutionFailed or ExecutionCancelled.
        """
        settled(self.wait(progress=False))
        return call(self._core.fetch)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every row of the result as a mapping from column to value."""
        return self.result.rows

    def to_polars(self) -> pl.DataFrame:
        """The result as a Polars frame."""
        return self.result.to_polars()

    def to_pandas(self) -> "pd.DataFrame":
        """The result as a pandas frame; needs `pip install 'amancay-client[pandas]'`."""
        return self.result.to_pandas()

    def cancel(self) -> Self:
        """Ask for its end, which comes soon; one that has ended stays as it is.

        If it has begun to read the data it is charged all the same.
        """
        call(self._core.cancel)
        return self


class Query(QueryFacts):
    """A question to one dataset: estimate it, rehearse it on dummy rows, run it."""

    def __init__(self, core: AsyncQuery) -> None:
        self._core = core
        self._dataset = core.dataset
        self._question = core.question

    def estimate(self) -> Estimate:
        """The price and the noise, from metadata alone; free.

        Raises InvalidQuery or NotFound.
        """
        return call(self._core.estimate)

    def dummy(
        self, rows: int = 100, seed: int = 42, *, progress: bool = True, timeout: float | None = None
    ) -> Execution:
        """Run it on made-up rows and wait; free.

        Raises InvalidQuery, NotFound, LimitExceeded, ExecutionFailed or StillRunning.
        """
        execution = Execution(call(self._core.submit_dummy, rows, seed))
        return settled(execution.wait(progress=progress, timeout=timeout))

    def run(
        self,
        *,
        progress: bool = True,
        idempotency_key: str | None = None,
        wait: bool = True,
        timeout: float | None = None,
    ) -> Execution:
        """Run it on the private data, pay for it, and wait for the answer (`timeout` in seconds).

        The same `idempotency_key` gives the same execution, charged once; without one, each call is another.
        An interrupt ends the wait only: the execution goes on.

        Raises InvalidQuery, BudgetExceeded, NotFound, Conflict, ExecutionFailed, ExecutionCancelled or
        StillRunning.
        """
        key = idempotency_key or new_key()
        with _interruptible(again(key)):
            execution = Execution(call(self._core.submit, key))
        if not wait:
            return execution
        return settled(execution.wait(progress=progress, timeout=timeout))


class Dataset(DatasetFacts):
    """A dataset that was granted to the user."""

    def __init__(self, core: AsyncDataset) -> None:
        self._core = core
        self._record = core._record

    @property
    def budget(self) -> Budget | None:
        """The user's budget as it is now; None for those who may look without one."""
        return call(self._core.budget)

    def dummy(self, rows: int = 100, seed: int = 42) -> Table:
        """Made-up rows of the declared shape: they know nothing of the data, and are free."""
        return call(self._core.dummy, rows, seed)

    def sql(
        self,
        sql: str,
        *,
        epsilon: float,
        delta: float = 1e-6,
        mechanisms: Mapping[str, str] | None = None,
        postprocess: bool = True,
        censor_dims: bool | None = None,
    ) -> Query:
        """A question in SQL; nothing is sent yet. The parameters are those of SqlQuestion."""
        query = self._core.sql(
            sql,
            epsilon=epsilon,
            delta=delta,
            mechanisms=mechanisms,
            postprocess=postprocess,
            censor_dims=censor_dims,
        )
        return Query(query)

    def executions(self, limit: int = 20, **filters: Unpack[ExecutionFilter]) -> Executions[Execution]:
        """The newest executions on this dataset; the filters are those of `session.executions`."""
        return Executions(map(Execution, call(self._core.executions, limit, **filters)))


class Session:
    """A session with one server, from `connect`; closes itself as a context manager."""

    def __init__(self, core: AsyncClient) -> None:
        self._core = core

    def __repr__(self) -> str:
        return repr(self._core)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the session; executions go on."""
        call(self._core.close)

    @property
    def me(self) -> User:
        """The user behind the token, with every budget."""
        return call(self._core.me)

    @property
    def server(self) -> Server:
        """The server's version, libraries and limits."""
        return call(self._core.server)

    def datasets(self, limit: int = MAX_LISTED) -> Datasets[Dataset]:
        """The datasets that were granted to the user, by name."""
        return Datasets(map(Dataset, call(self._core.datasets, limit)))

    def dataset(self, name: str) -> Dataset:
        """One dataset.

        Raises NotFound if there is none of that name, or no grant for it.
        """
        return Dataset(call(self._core.dataset, name))

    def executions(self, limit: int = 20, **filters: Unpack[ExecutionFilter]) -> Executions[Execution]:
        """The newest executions that pass every filter given."""
        return Executions(map(Execution, call(self._core.executions, limit, **filters)))

    def execution(self, id: str) -> Execution:
        """One execution.

        Raises NotFound.
        """
        return Execution(call(self._core.execution, id))


@contextmanager
def _interruptible(advice: str) -> Iterator[None]:
    """Say what becomes of an execution when somebody interrupts the wait for it."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{plain(advice)}\n")
        raise
