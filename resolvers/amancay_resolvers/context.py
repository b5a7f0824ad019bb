"""What a resolver may use: who is asking, the store, and a few things that the server lends."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from strawberry.types import Info as StrawberryInfo

from amancay_resolvers.loaders import BudgetLoader
from amancay_schema.errors import ApiError
from amancay_storage.changes import GrantChange
from amancay_storage.client import Store
from amancay_storage.execution import ExecutionRecord
from amancay_storage.users import Role, UserRecord

Downloadable = dict[str, str | int]
"""What a download path stands for: an execution's result, or made-up rows."""


class Live(Protocol):
    """Changes as they happen; each item is the latest state, None means: read the present state again."""

    def execution(self, id: str) -> AbstractAsyncContextManager[AsyncIterator[ExecutionRecord | None]]:
        """The visible changes of one execution."""

    def grant(self, user: str, dataset: str) -> AbstractAsyncContextManager[AsyncIterator[GrantChange | None]]:
        """The changes of one grant's balance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicLimits:
    """The bounds that `server { limits }` shows."""

    max_depth: int
    max_tokens: int
    max_aliases: int
    max_execution_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One request's."""

    user: UserRecord
    store: Store
    live: Live
    budgets: BudgetLoader
    version: str
    limits: PublicLimits
    wake_worker: Callable[[], None]
    sign_download: Callable[[str, Downloadable], str]
    """Takes the user and what may be fetched; returns a short-lived path on this server."""

    @property
    def oversees(self) -> bool:
        """Administrators and auditors see everybody's."""
        return self.user.role in {Role.ADMIN, Role.AUDITOR}


Info = StrawberryInfo[Context, None]


def not_found(what: str) -> ApiError:
    """The one answer for what does not exist and what is not the caller's."""
    return ApiError("NOT_FOUND", f"There is no such {what} for you.")
