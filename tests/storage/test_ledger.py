"""The ledger: nothing overspends, and every write may be repeated."""

import asyncio
import secrets

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.errors import WriteError

from amancay_engine.privacy import PrivacyLoss
from amancay_storage.account import MAX_PENDING_PER_GRANT
from amancay_storage.amount import MAX_AMOUNT
from amancay_storage.client import Store
from amancay_storage.errors import BadCursor, BudgetExceeded, Conflict, LimitExceeded, NotFound
from amancay_storage.ledger import EntryKind
from tests.storage.scene import LIMIT, MECHANISM, NOTHING, TENTH, assert_balance, balances, grant

pytestmark = pytest.mark.anyio


async def reserve(store: Store, reservation: str | None = None, loss: PrivacyLoss = TENTH) -> str:
    reservation = reservation or secrets.token_hex(12)
    await store.ledger.reserve(reservation, "ana", "census", loss)
    return reservation


async def commit(store: Store, reservation: str, loss: PrivacyLoss = TENTH) -> None:
    await store.ledger.commit(reservation, "ana", "census", loss, mechanisms=(MECHANISM,))


async def void(store: Store, reservation: str) -> None:
    await store.ledger.void(reservation, "ana", "census", TENTH)


async def test_racing_reservations_never_pass_the_limit(store: Store) -> None:
    """Goal: no interleaving overspends. Method: 40 reservations race for a limit of ten."""
    await grant(store)
    outcomes = await asyncio.gather(*(reserve(store) for _ in range(40)), return_exceptions=True)
    assert sum(isinstance(outcome, str) for outcome in outcomes) == 10
    assert sum(isinstance(outcome, BudgetExceeded) for outcome in outcomes) == 30
    await assert_balance(store, reserved=10)


async def test_racing_users_never_pass_the_cap(store: Store) -> None:
    """Goal: the cap holds over all users. Method: four users with ample grants race for a cap of ten."""
    await store.ledger.set_cap("census", LIMIT, actor="admin")
    users = ("ana", "bea", "caro", "dora")
    for user in users:
        await store.ledger.set_grant(user, "census", LIMIT, actor="admin")
    asked = [(f"{user}{number}", user) for user in users for number in range(6)]
    outcomes = await asyncio.gather(
        *(store.ledger.reserve(name, user, "census", TENTH) for name, user in asked), return_exceptions=True
    )
    taken = [user for (_, user), outcome in zip(asked, outcomes, strict=True) if outcome is None]
    assert len(taken) == 10
    for user in users:
        balance = await store.ledger.grant(user, "census")
        assert balance is not None
        assert balance.reserved == TENTH * taken.count(user)
    assert await store.ledger.check() == []


async def test_a_refusal_says_what_remains_and_changes_nothing(store: Store) -> None:
    """Goal: a refusal leaves no trace. Method: a cap below the grant; the smaller remainder is told."""
    await grant(store, cap=TENTH * 3)
    await reserve(store)
    with pytest.raises(BudgetExceeded) as refusal:
        await reserve(store, loss=TENTH * 3)
    assert (refusal.value.requested, refusal.value.remaining) == (TENTH * 3, TENTH * 2)
    await assert_balance(store, reserved=1)


async def test_each_part_of_the_loss_counts(store: Store) -> None:
    """Goal: epsilon alone does not admit. Method: a delta that is one unit too large; then the exact rest."""
    await grant(store)
    with pytest.raises(BudgetExceeded):
        await reserve(store, loss=PrivacyLoss(epsilon_nano=1, delta_atto=LIMIT.delta_atto + 1))
    await reserve(store, loss=LIMIT)
    await assert_balance(store, reserved=10)


async def test_a_loss_too_large_to_be_kept_is_refused(store: Store) -> None:
    """Goal: no overflow. Method: more than 64 bits as a loss, and one unit too many as a limit."""
    await grant(store)
    with pytest.raises(BudgetExceeded):
        await reserve(store, loss=PrivacyLoss(epsilon_nano=1, delta_atto=2**80))
    for limit, accepted in ((MAX_AMOUNT, True), (MAX_AMOUNT + 1, False)):
        wanted = PrivacyLoss(epsilon_nano=0, delta_atto=limit)
        if accepted:
            assert (await store.ledger.set_grant("bea", "census", wanted, actor="admin")).limit == wanted
        else:
            with pytest.raises(LimitExceeded):
                await store.ledger.set_grant("bea", "census", wanted, actor="admin")


@pytest.mark.parametrize(("granted", "capped"), [(False, False), (False, True), (True, False)])
async def test_without_grant_or_cap_nothing_is_reserved(store: Store, granted: bool, capped: bool) -> None:
    """Goal: missing information refuses. Method: leave out either account; all answers read the same."""
    if granted:
        await store.ledger.set_grant("ana", "census", LIMIT, actor="admin")
    if capped:
        await store.ledger.set_cap("census", LIMIT, actor="admin")
    with pytest.raises(NotFound, match="no dataset 'census'"):
        await reserve(store)
    balance = await store.ledger.grant("ana", "census")
    assert balance is None or balance.reserved == NOTHING


async def test_repeats_change_nothing(store: Store) -> None:
    """Goal: every write has an id and may be repeated. Method: repeat each, in sequence and at once."""
    await grant(store)
    await asyncio.gather(*(reserve(store, "r1") for _ in range(5)))
    await assert_balance(store, reserved=1)
    await asyncio.gather(*(commit(store, "r1") for _ in range(5)))
    await commit(store, "r1")
    await assert_balance(store, spent=1)
    await reserve(store, "r2")
    await asyncio.gather(*(void(store, "r2") for _ in range(5)))
    await void(store, "r2")
    await assert_balance(store, spent=1)
    entries = await store.ledger.entries("ana", "census", 100, None)
    assert [(entry.id, entry.kind) for entry in entries.items[:2]] == [("r2", EntryKind.VOID), ("r1", EntryKind.COMMIT)]


async def test_a_verdict_stands(store: Store) -> None:
    """Goal: one verdict per reservation. Method: the other verdict afterwards, and the same reservation again."""
    await grant(store)
    await reserve(store, "posted")
    await commit(store, "posted")
    await reserve(store, "voided")
    await void(store, "voided")
    for wrong in (void(store, "posted"), commit(store, "voided"), reserve(store, "posted"), reserve(store, "voided")):
        with pytest.raises(Conflict):
            await wrong
    await assert_balance(store, spent=1)


async def test_racing_verdicts_agree(store: Store) -> None:
    """Goal: commit and void never both happen. Method: race them, ten times."""
    await grant(store)
    posted = 0
    for number in range(10):
        await reserve(store, f"r{number}")
        first, second = await asyncio.gather(
            commit(store, f"r{number}"), void(store, f"r{number}"), return_exceptions=True
        )
        assert [type(first), type(second)].count(Conflict) == 1
        posted += first is None
    await assert_balance(store, spent=posted)


async def test_what_was_not_reserved_is_not_spent(store: Store) -> None:
    """Goal: a commit cannot skip the reservation. Method: an unknown id, then a different loss."""
    await grant(store)
    await reserve(store, "known")
    for reservation, loss in (("unknown", TENTH), ("known", TENTH * 2)):
        with pytest.raises(NotFound):
            await commit(store, reservation, loss)
    with pytest.raises(Conflict):
        await reserve(store, "known", TENTH * 2)
    await assert_balance(store, reserved=1)


async def test_a_void_before_the_reservation_forbids_it(store: Store) -> None:
    """Goal: a slow process cannot reserve after it was given up. Method: the tombstone first."""
    await grant(store)
    await void(store, "slow")
    with pytest.raises(Conflict):
        await reserve(store, "slow")
    await assert_balance(store)


async def test_pending_reservations_are_bounded(store: Store) -> None:
    """Goal: the embedded list stays small. Method: up to the bound, and one past it."""
    await grant(store, TENTH * 10_000)
    for start in range(0, MAX_PENDING_PER_GRANT, 20):
        await asyncio.gather(*(reserve(store, f"r{start + number}") for number in range(20)))
    with pytest.raises(LimitExceeded):
        await reserve(store)
    await void(store, "r7")
    await reserve(store)
    await assert_balance(store, reserved=MAX_PENDING_PER_GRANT)


async def test_limits_change_but_not_below_what_is_taken(store: Store) -> None:
    """Goal: lowering a limit never makes an account overdrawn. Method: exactly the taken sum, and one unit less."""
    await grant(store)
    await commit(store, await reserve(store))
    await reserve(store)
    with pytest.raises(Conflict, match=r"epsilon 0\.2"):
        await store.ledger.set_grant(
            "ana", "census", PrivacyLoss(epsilon_nano=2 * 10**8 - 1, delta_atto=LIMIT.delta_atto), actor="admin"
        )
    lowered = await store.ledger.set_grant("ana", "census", TENTH * 2, actor="admin")
    assert lowered.remaining == NOTHING
    with pytest.raises(BudgetExceeded):
        await reserve(store)
    await store.ledger.set_grant("ana", "census", LIMIT, actor="admin")
    await reserve(store)
    await assert_balance(store, spent=1, reserved=2)


async def test_setting_the_same_limit_again_is_one_entry(store: Store) -> None:
    """Goal: an import may be repeated. Method: the same limit thrice, at once and later, then another one."""
    await asyncio.gather(*(grant(store) for _ in range(3)))
    await grant(store)
    await store.ledger.set_grant("ana", "census", TENTH, actor="boss")
    entries = await store.ledger.entries("ana", "census", 100, None)
    assert [(entry.kind, entry.loss, entry.actor) for entry in entries.items] == [
        (EntryKind.GRANT, TENTH, "boss"),
        (EntryKind.GRANT, LIMIT, "admin"),
    ]
    assert len((await store.ledger.entries(None, "census", 100, None)).items) == 1


async def test_entries_come_in_pages_newest_first(store: Store) -> None:
    """Goal: every entry once. Method: pages of two over seven entries; then cursors that are none."""
    await grant(store)
    for number in range(6):
        await reserve(store, f"r{number}")
        await void(store, f"r{number}")
    seen: list[str] = []
    after: str | None = None
    more = True
    while more:
        page = await store.ledger.entries("ana", "census", 2, after)
        seen += [entry.id for entry in page.items]
        assert page.has_previous == (after is not None)
        after, more = page.cursors[-1], page.has_next
    assert seen[:6] == [f"r{number}" for number in reversed(range(6))]
    assert len(seen) == 7
    for bad in ("", "x", "{}", "WyJuIiwgImEiXQ==", "WyJ0IiwgMWU5OSwgImEiXQ==", "é" * 10, "A" * 500):
        with pytest.raises(BadCursor):
            await store.ledger.entries("ana", "census", 2, bad)
    for first in (-1, 101):
        with pytest.raises(LimitExceeded):
            await store.ledger.entries("ana", "census", first, None)
    assert (await store.ledger.entries("ana", "census", 0, None)).has_next


async def test_grants_come_by_name(store: Store) -> None:
    """Goal: a user sees their grants, and nobody else's. Method: three of ana's, one of bea's."""
    for dataset in ("c", "a", "b"):
        await store.ledger.set_grant("ana", dataset, LIMIT, actor="admin")
    await store.ledger.set_grant("bea", "d", LIMIT, actor="admin")
    first = await store.ledger.grants("ana", 2, None)
    rest = await store.ledger.grants("ana", 2, first.cursors[-1])
    assert [grant.dataset for grant in (*first.items, *rest.items)] == ["a", "b", "c"]
    assert (first.has_next, rest.has_next) == (True, False)
    assert (await balances_or_none(store)) is None


async def balances_or_none(store: Store) -> object:
    return await store.ledger.grant("bea", "a")


async def test_the_database_itself_refuses_an_overdrawn_account(
    store: Store, mongo_url: str, database_name: str
) -> None:
    """Goal: a second wall behind the code. Method: write past the limit, and below zero, directly."""
    await grant(store)
    client: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(mongo_url)
    accounts = client[database_name]["accounts"]
    over: list[dict[str, object]] = [
        {"$inc": {"spent.epsilon_nano": LIMIT.epsilon_nano + 1}},
        {"$inc": {"reserved.delta_atto": LIMIT.delta_atto + 1}},
        {"$inc": {"reserved.epsilon_nano": -1}},
        {"$set": {"limit.epsilon_nano": 0.5}},
    ]
    for change in over:
        with pytest.raises(WriteError):
            await accounts.update_one({"_id": "grant:ana:census"}, change)
    client.close()
    await assert_balance(store)


async def test_check_finds_what_is_wrong(store: Store, mongo_url: str, database_name: str) -> None:
    """Goal: the check is not blind. Method: break each invariant of the accounts behind the ledger's back."""
    await grant(store)
    await commit(store, await reserve(store))
    await reserve(store, "open")
    client: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(mongo_url)
    database = client[database_name]
    mine = {"_id": "grant:ana:census"}
    broken = {
        "spent is not the sum": {"$inc": {"spent.epsilon_nano": 1}},
        "reserved is not the sum": {"$inc": {"reserved.epsilon_nano": 1}},
    }
    for words, change in broken.items():
        await database["accounts"].update_one(mine, change)
        assert [line for line in await store.ledger.check() if words in line]
        undone = {"$inc": {key: -value for key, value in change["$inc"].items()}}
        await database["accounts"].update_one(mine, undone)
    held = await database["accounts"].find_one(mine)
    await void(store, "open")
    await database["accounts"].replace_one(mine, dict(held or {}))
    assert [line for line in await store.ledger.check(grace_seconds=0) if "still pending after its VOID" in line]
    assert await store.ledger.check(grace_seconds=60) == []
    await database["accounts"].delete_one(mine)
    assert [line for line in await store.ledger.check() if "does not exist" in line]
    client.close()


async def test_check_is_right_while_the_ledger_is_busy(store: Store) -> None:
    """Goal: no false alarm. Method: check again and again while reservations come and go."""
    await grant(store)

    async def busy(number: int) -> None:
        for turn in range(6):
            await reserve(store, f"r{number}-{turn}")
            await (commit if turn == 0 and number < 5 else void)(store, f"r{number}-{turn}")

    work = asyncio.gather(*(busy(number) for number in range(5)))
    while not work.done():
        assert await store.ledger.check(grace_seconds=0.5) == []
    await work
    await assert_balance(store, spent=5)
    assert (await balances(store))[0].remaining == TENTH * 5
