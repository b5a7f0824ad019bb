"""A process may die between any two writes: the sweeper finishes what it began, and nobody stays locked out."""

import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from amancay_storage.account import Account, reserving
from amancay_storage.client import Store
from amancay_storage.driver import Document
from amancay_storage.errors import BudgetExceeded
from amancay_storage.execution import ExecutionFilter, Kind, Outcome, Status
from amancay_storage.layout import ACCOUNTS
from amancay_storage.sweeper import SweepReport, sweep
from tests.storage.mortal import Died, mortal
from tests.storage.scene import (
    ACCURACY,
    DONE,
    LEASE,
    LIMIT,
    MECHANISM,
    NOTHING,
    RELEASE,
    TENTH,
    assert_balance,
    balances,
    grant,
    queued,
    submission,
)

pytestmark = pytest.mark.anyio
UNAVAILABLE = Outcome(status=Status.FAILED, code="UNAVAILABLE")
NOTHING_LEFT = SweepReport(dropped=0, given_up=0, settled=0, reservations=0)
ENDED = {Status.SUCCEEDED, Status.FAILED, Status.CANCELLED}
Life = Callable[[Store], Awaitable[None]]


async def succeed(store: Store) -> None:
    record, _ = await store.executions.submit(submission(key=secrets.token_hex(4)))
    claimed = await store.executions.claim("worker", 0)
    assert claimed is not None
    await store.executions.mark_opened(record.id, 1, (ACCURACY,), (MECHANISM,))
    await store.executions.seal(record.id, 1, DONE, RELEASE)
    await store.executions.settle(record.id)


async def fail_unopened(store: Store) -> None:
    record, _ = await store.executions.submit(submission())
    await store.executions.claim("worker", 0)
    await store.executions.seal(record.id, 1, UNAVAILABLE, None)
    await store.executions.settle(record.id)


async def cancel_waiting(store: Store) -> None:
    record, _ = await store.executions.submit(submission())
    await store.executions.cancel(record.id, "ana")


async def cancel_sealed(store: Store) -> None:
    record, _ = await store.executions.submit(submission())
    await store.executions.claim("worker", 0)
    await store.executions.mark_opened(record.id, 1, (ACCURACY,), (MECHANISM,))
    await store.executions.seal(record.id, 1, DONE, RELEASE)
    await store.executions.cancel(record.id, "ana")
    await store.executions.settle(record.id)


async def run_on_dummy(store: Store) -> None:
    record, _ = await store.executions.submit(submission(kind=Kind.DUMMY))
    await store.executions.claim("worker", 0)
    await store.executions.seal(record.id, 1, DONE, RELEASE)
    await store.executions.settle(record.id)


async def be_refused(store: Store) -> None:
    await store.ledger.set_cap("census", NOTHING, actor="admin")
    with pytest.raises(BudgetExceeded):
        await store.executions.submit(submission())


LIVES: dict[str, Life] = {
    life.__name__: life for life in (succeed, fail_unopened, cancel_waiting, cancel_sealed, run_on_dummy, be_refused)
}


@pytest.fixture
async def client(mongo_url: str) -> AsyncIterator[AsyncIOMotorClient[Document]]:
    connected: AsyncIOMotorClient[Document] = AsyncIOMotorClient(mongo_url, tz_aware=True)
    yield connected
    connected.close()


async def dies(life: Life, store: Store) -> bool:
    try:
        await life(store)
    except Died:
        return True
    return False


async def recover(store: Store) -> None:
    """What the surviving processes do: sweep, and run again what had lost its worker."""
    await sweep(store, grace_seconds=0)
    while (claimed := await store.executions.claim("second", 0)) is not None:
        await store.executions.seal(claimed.id, claimed.attempt, UNAVAILABLE, None)
        await store.executions.settle(claimed.id)
    await sweep(store, grace_seconds=0)


async def assert_all_is_well(store: Store) -> None:
    page = await store.executions.page(ExecutionFilter(), 100, None)
    assert {record.status for record in page.items} <= ENDED
    charged = sum(record.charged == TENTH for record in page.items)
    assert charged == sum(record.opened for record in page.items)
    for balance in await balances(store):
        assert (balance.spent, balance.reserved) == (TENTH * charged, NOTHING)
    assert await store.ledger.check(grace_seconds=0) == []
    assert await sweep(store, grace_seconds=0) == NOTHING_LEFT


@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES.keys())
async def test_death_at_any_write_is_recovered_from(
    store: Store, client: AsyncIOMotorClient[Document], database_name: str, life: Life
) -> None:
    """Goal: no crash locks out or overspends. Method: die before each write in turn, recover, check everything."""
    await grant(store, LIMIT * 3)
    for writes in itertools.count():
        died = await dies(life, mortal(client, database_name, writes=writes))
        await recover(store)
        await assert_all_is_well(store)
        await store.ledger.set_cap("census", LIMIT * 3, actor="admin")
        if not died:
            break
    assert writes >= 5


@pytest.mark.slow
@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES.keys())
async def test_death_while_recovering_is_recovered_from(
    store: Store, client: AsyncIOMotorClient[Document], database_name: str, life: Life
) -> None:
    """Goal: the sweeper may die as well. Method: for each death, let each write of the recovery be the last."""
    await grant(store, LIMIT * 100)
    for writes in itertools.count():
        for recovering in itertools.count():
            died = await dies(life, mortal(client, database_name, writes=writes))
            again = await dies(recover, mortal(client, database_name, writes=recovering))
            await recover(store)
            assert await store.ledger.check(grace_seconds=0) == []
            await store.ledger.set_cap("census", LIMIT * 100, actor="admin")
            if not again:
                break
        if not died:
            break
    assert await sweep(store, grace_seconds=0) == NOTHING_LEFT
    for balance in await balances(store):
        assert balance.reserved == NOTHING


async def test_a_key_survives_every_death(
    store: Store, client: AsyncIOMotorClient[Document], database_name: str
) -> None:
    """Goal: whoever asks again with the key gets one answer. Method: die before each write of a submission."""
    await grant(store)
    for writes in range(5):
        with suppress(Died):
            await mortal(client, database_name, writes=writes).executions.submit(submission(key=f"k{writes}"))
        await sweep(store, grace_seconds=0)
        record, _ = await store.executions.submit(submission(key=f"k{writes}"))
        assert (record.status, record.revision) == (Status.QUEUED, 1)
    await assert_balance(store, reserved=5)


async def test_an_empty_sweep_changes_nothing(store: Store) -> None:
    """Goal: what is alive is left alone. Method: sweep with the usual grace, and without, beside healthy work."""
    await grant(store)
    waiting = await queued(store)
    claimed = await store.executions.claim("worker", LEASE)
    assert claimed is not None
    other = await queued(store)
    for grace in (10.0, 0.0):
        assert await sweep(store, grace_seconds=grace) == NOTHING_LEFT
    assert await store.executions.get(waiting.id) == claimed
    assert await store.executions.get(other.id) == other
    await assert_balance(store, reserved=2)


async def test_a_reservation_that_only_the_cap_holds_is_given_back(
    store: Store, client: AsyncIOMotorClient[Document], database_name: str
) -> None:
    """Goal: the cap is not held for ever. Method: its part is taken by a process that slept through the verdict."""
    await grant(store)
    await store.ledger.void("late", "ana", "census", TENTH)
    late = reserving(Account(user=None, dataset="census"), "late", TENTH)
    assert (await client[database_name][ACCOUNTS].update_one(*late)).matched_count == 1
    assert (await balances(store))[1].reserved == TENTH
    assert (await sweep(store, grace_seconds=0)).reservations == 1
    await assert_balance(store)


async def test_a_reservation_without_an_execution_is_given_back(store: Store) -> None:
    """Goal: no orphan holds budget. Method: a bare reservation, with grace and without."""
    await grant(store)
    await store.ledger.reserve("orphan", "ana", "census", TENTH)
    assert (await sweep(store)).reservations == 0
    assert (await sweep(store, grace_seconds=0)).reservations == 1
    await assert_balance(store)
