"""Budgets, grants and their ledgers."""

from collections.abc import AsyncIterator
from functools import partial

import strawberry

from amancay_engine.privacy import PrivacyLoss as Loss
from amancay_resolvers.context import Info, not_found
from amancay_resolvers.pagination import page_info
from amancay_schema.budget import (
    Budget,
    Grant,
    GrantConnection,
    GrantEdge,
    LedgerConnection,
    LedgerEdge,
    LedgerEntry,
    LedgerEntryKind,
    PrivacyLoss,
)
from amancay_schema.pagination import global_id
from amancay_storage.account import Balance
from amancay_storage.client import Store
from amancay_storage.ledger import Grant as GrantRecord
from amancay_storage.ledger import LedgerEntry as EntryRecord


def loss_of(loss: Loss) -> PrivacyLoss:
    """A privacy loss for display."""
    return PrivacyLoss(epsilon=loss.epsilon, delta=loss.delta)


def budget_of(balance: Balance) -> Budget:
    """An account for display."""
    return Budget(
        limit=loss_of(balance.limit),
        spent=loss_of(balance.spent),
        reserved=loss_of(balance.reserved),
        remaining=loss_of(balance.remaining),
    )


async def grants(store: Store, user: str, first: int, after: str | None) -> GrantConnection:
    """A page of a user's grants."""
    page = await store.ledger.grants(user, first, after)
    edges = [
        GrantEdge(cursor=cursor, node=_grant_of(store, item))
        for item, cursor in zip(page.items, page.cursors, strict=True)
    ]
    return GrantConnection(edges=edges, page_info=page_info(page))


def _grant_of(store: Store, grant: GrantRecord) -> Grant:
    return Grant(
        user=grant.user,
        dataset=grant.dataset,
        budget=budget_of(grant.balance),
        load_ledger=partial(_ledger, store, grant.user, grant.dataset),
    )


async def _ledger(store: Store, user: str, dataset: str, first: int, after: str | None) -> LedgerConnection:
    page = await store.ledger.entries(user, dataset, first, after)
    edges = [
        LedgerEdge(cursor=cursor, node=_entry_of(item)) for item, cursor in zip(page.items, page.cursors, strict=True)
    ]
    return LedgerConnection(edges=edges, page_info=page_info(page))


def _entry_of(entry: EntryRecord) -> LedgerEntry:
    return LedgerEntry(
        id=strawberry.ID(entry.id),
        at=entry.at,
        kind=LedgerEntryKind(entry.kind.value),
        loss=loss_of(entry.loss),
        execution=None if entry.execution is None else global_id("Execution", entry.execution),
        actor=entry.actor,
    )


async def follow_budget(info: Info, dataset: str) -> AsyncIterator[Budget]:
    """The balance now, then every change."""
    user, ledger = info.context.user.name, info.context.store.ledger

    async def read() -> Balance:
        balance = (await ledger.balances(user, [dataset])).get(dataset)
        if balance is None:
            raise not_found("dataset")
        return balance

    async with info.context.live.grant(user, dataset) as changes:
        shown = await read()
        yield budget_of(shown)
        async for change in changes:
            balance = await read() if change is None else change.balance
            if balance != shown:
                shown = balance
                yield budget_of(shown)
