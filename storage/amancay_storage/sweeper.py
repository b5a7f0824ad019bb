"""Finishes what crashes left behind. Safe at any time, in any number of processes."""

from collections.abc import Sequence
from dataclasses import dataclass

from amancay_storage.client import Store
from amancay_storage.driver import guarded
from amancay_storage.ledger import OldReservation

GRACE_SECONDS = 10.0
"""How old a leftover must be: longer than any healthy process takes from one write to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepReport:
    """How much was left behind, of each kind."""

    dropped: int
    """Submissions whose process died before they were queued."""
    given_up: int
    """Executions whose worker was lost as often as is allowed."""
    settled: int
    """Executions with an outcome that nobody showed."""
    reservations: int
    """Reservations that nobody would have settled."""


@guarded
async def sweep(store: Store, *, grace_seconds: float = GRACE_SECONDS) -> SweepReport:
    """Settles what a crash left: nobody is locked out of a budget, and nothing that was read goes unpaid."""
    dropped = await store.settlement.drop_abandoned(grace_seconds)
    given_up = await store.settlement.give_up()
    unsettled = await store.settlement.unsettled()
    for execution in unsettled:
        await store.settlement.settle(execution)
    reservations = await _settle(store, await store.ledger.pending_since(grace_seconds))
    return SweepReport(dropped=dropped, given_up=given_up, settled=len(unsettled), reservations=reservations)


async def _settle(store: Store, old: Sequence[OldReservation]) -> int:
    """Settles reservations whose execution is missing or has ended; returns how many."""
    opened = await store.settlement.opened([item.id for item in old])
    settled = [item for item in old if item.id not in opened or opened[item.id] is not None]
    for item in settled:
        await store.ledger.settle_orphan(item, opened=bool(opened.get(item.id)))
    return len(settled)
