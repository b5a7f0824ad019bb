"""Privacy losses and the accounts that pay them."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import Enum

import strawberry

from amancay_schema.argument import After, First
from amancay_schema.pagination import PageInfo


@strawberry.type(description="A privacy loss: pure (delta = 0) or approximate differential privacy.")
class PrivacyLoss:
    """Epsilon and delta."""

    epsilon: float = strawberry.field(description="How much one privacy unit can change the odds of any answer.")
    delta: float = strawberry.field(description="The probability with which epsilon may be exceeded.")


@strawberry.type(description="How much of an account is gone. remaining = limit - spent - reserved, never below zero.")
class Budget:
    """One account."""

    limit: PrivacyLoss = strawberry.field(description="What may be spent in all.")
    spent: PrivacyLoss = strawberry.field(description="Committed: an answer, or a failure after the data was read.")
    reserved: PrivacyLoss = strawberry.field(description="Held by executions that have not ended.")
    remaining: PrivacyLoss = strawberry.field(description="What can still be asked for.")


@strawberry.enum(description="What a ledger entry records.")
class LedgerEntryKind(Enum):
    """Entries are never changed or removed."""

    GRANT = strawberry.enum_value("GRANT", description="The limit was set.")
    COMMIT = strawberry.enum_value("COMMIT", description="A reservation was spent.")
    VOID = strawberry.enum_value("VOID", description="A reservation was given back: no data had been read.")


@strawberry.type(description="One line of the ledger.")
class LedgerEntry:
    """Append-only."""

    id: strawberry.ID = strawberry.field(description="The entry's id.")
    at: datetime = strawberry.field(description="When it was written.")
    kind: LedgerEntryKind = strawberry.field(description="What happened.")
    loss: PrivacyLoss = strawberry.field(description="The amount: a new limit, or what was spent or given back.")
    execution: strawberry.ID | None = strawberry.field(description="The execution that it belongs to.")
    actor: str = strawberry.field(description="Who brought it about.")


@strawberry.type(description="An edge of a ledger connection.")
class LedgerEdge:
    """Relay's edge."""

    cursor: str = strawberry.field(description="Opaque place of this entry.")
    node: LedgerEntry = strawberry.field(description="The entry.")


@strawberry.type(description="A page of ledger entries, newest first.")
class LedgerConnection:
    """Relay's connection."""

    edges: list[LedgerEdge] = strawberry.field(description="The entries of this page.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")


@strawberry.type(description="A researcher's right to spend on a dataset, up to a limit.")
class Grant:
    """One grant account."""

    user: str = strawberry.field(description="The researcher's name.")
    dataset: str = strawberry.field(description="The dataset's name.")
    budget: Budget = strawberry.field(description="How much of it is gone.")
    load_ledger: strawberry.Private[Callable[[int, str | None], Awaitable[LedgerConnection]]]

    @strawberry.field(description="Every change of this account, newest first.")
    async def ledger(self, first: First = 20, after: After = None) -> LedgerConnection:
        """Looked up when asked for."""
        return await self.load_ledger(first, after)


@strawberry.type(description="An edge of a grant connection.")
class GrantEdge:
    """Relay's edge."""

    cursor: str = strawberry.field(description="Opaque place of this grant.")
    node: Grant = strawberry.field(description="The grant.")


@strawberry.type(description="A page of grants, by dataset.")
class GrantConnection:
    """Relay's connection."""

    edges: list[GrantEdge] = strawberry.field(description="The grants of this page.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")
