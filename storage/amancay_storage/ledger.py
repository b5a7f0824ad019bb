"""The ledger: limits, reservations, and the append-only entries that decide what became of each.

A reservation is *pending* in two accounts, then *posted* (a COMMIT entry) or *voided* (a VOID entry). The
entry's id is the reservation's and it is inserted before any account is touched, so there is one verdict,
once; applying it to an account takes the pending element out in the same update, so that happens once too.
Every call may be repeated.

When several refusals apply, the order is: existence, input, conflict, limits, budget.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ReturnDocument

from amancay_engine.privacy import PrivacyLoss
from amancay_engine.release import Mechanism
from amancay_storage.account import Account, Balance, empty, granting, parse_balance, reserving, settling
from amancay_storage.amount import dump_loss, parse_loss, smaller_parts, storable
from amancay_storage.audit import violations
from amancay_storage.driver import Database, Document, guarded, insert_once, now_minus
from amancay_storage.errors import (
    BudgetExceeded,
    Conflict,
    LimitExceeded,
    NotFound,
    StorageRefusal,
    StoreUnavailable,
)
from amancay_storage.layout import ACCOUNTS, ENTRIES
from amancay_storage.page import (
    EPOCH,
    Page,
    after_name,
    check_first,
    name_cursor,
    older_than,
    page_of,
    time_cursor,
)

__all__ = ["Balance", "EntryKind", "Grant", "Ledger", "LedgerEntry", "OldReservation", "parse_grant"]

RESERVE_ATTEMPTS = 3


class EntryKind(StrEnum):
    """What an entry says: a limit was set, a reservation was spent, a reservation was given back."""

    GRANT = "GRANT"
    COMMIT = "COMMIT"
    VOID = "VOID"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One line of the ledger; `loss` of a GRANT is the limit that was set."""

    id: str
    at: datetime
    kind: EntryKind
    loss: PrivacyLoss
    execution: str | None
    actor: str
    user: str | None
    dataset: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a user may spend on a dataset."""

    user: str
    dataset: str
    balance: Balance


@dataclass(frozen=True, slots=True, kw_only=True)
class OldReservation:
    """A reservation that has been pending for a while; `user` None if the cap alone still holds it."""

    id: str
    user: str | None
    dataset: str
    loss: PrivacyLoss


class Ledger:
    """Accounts and entries of this server."""

    def __init__(self, client: AsyncIOMotorClient[Document], database: Database) -> None:
        self._client = client
        self._database = database
        self._accounts = database[ACCOUNTS]
        self._entries = database[ENTRIES]

    @guarded
    async def set_grant(self, user: str, dataset: str, limit: PrivacyLoss, *, actor: str) -> Balance:
        """Sets what `user` may spend on `dataset` in all; the same limit again changes nothing.

        Neither needs to exist: a grant may precede a user's first sign-in.

        Raises:
            BadName: if either is not a name.
            LimitExceeded: if the limit is too large to be kept.
            Conflict: if more than that is spent or reserved already.
        """
        return await self._set_limit(Account(user=user, dataset=dataset), limit, actor)

    @guarded
    async def set_cap(self, dataset: str, limit: PrivacyLoss, *, actor: str) -> Balance:
        """Sets what all users together may spend on `dataset`.

        Raises:
            BadName, LimitExceeded, Conflict: as `set_grant`.
        """
        return await self._set_limit(Account(user=None, dataset=dataset), limit, actor)

    @guarded
    async def grant(self, user: str, dataset: str) -> Balance | None:
        """The balance of the user's grant on the dataset, or None without one."""
        return await self._balance(Account(user=user, dataset=dataset))

    @guarded
    async def balances(self, user: str, datasets: Sequence[str]) -> dict[str, Balance]:
        """The balances of the user's grants on those of the datasets where there is one, in one look-up."""
        query: Document = {"kind": "grant", "user": user, "dataset": {"$in": list(datasets)}, "active": True}
        found = self._accounts.find(query, {"pending": False})
        return {document["dataset"]: parse_balance(document) async for document in found}

    @guarded
    async def cap(self, dataset: str) -> Balance | None:
        """The balance of the dataset's cap, or None without one."""
        return await self._balance(Account(user=None, dataset=dataset))

    @guarded
    async def grants(self, user: str, first: int, after: str | None) -> Page[Grant]:
        """The user's grants, by name of the dataset.

        Raises:
            LimitExceeded: if `first` is not within 0 to 100.
            BadCursor: if `after` is not a cursor of this list.
        """
        query: Document = {"kind": "grant", "user": user, "active": True}
        if after is not None:
            query["dataset"] = {"$gt": after_name(after)}
        found = self._accounts.find(query, {"pending": False}).sort("dataset", 1).limit(check_first(first) + 1)
        documents = await found.to_list(None)
        return page_of(documents, first, after, parse=parse_grant, cursor=lambda it: name_cursor(it["dataset"]))

    @guarded
    async def reserve(self, reservation: str, user: str, dataset: str, loss: PrivacyLoss) -> None:
        """Takes `loss` from what remains of both accounts; the same reservation again changes nothing.

        Raises:
            NotFound: if there is no grant, or no cap.
            Conflict: if the reservation is posted or voided already, or is pending with another loss.
            LimitExceeded: if too many reservations are pending.
            BudgetExceeded: if the loss does not fit; nothing is left reserved.
        """
        grant, cap = Account(user=user, dataset=dataset), Account(user=None, dataset=dataset)
        if await self._is_settled(reservation):
            raise Conflict("This reservation has been settled already.")
        await self._take(grant, reservation, loss, both=(grant, cap))
        try:
            await self._take(cap, reservation, loss, both=(grant, cap))
        except StorageRefusal:
            await self._accounts.update_one(*settling(grant.id, reservation, loss, spend=False))
            raise

    @guarded
    async def commit(
        self,
        reservation: str,
        user: str,
        dataset: str,
        loss: PrivacyLoss,
        *,
        mechanisms: Sequence[Mechanism],
    ) -> None:
        """Spends a reservation; again, changes nothing. `mechanisms` are kept for later accountants.

        Raises:
            NotFound: if nothing of that loss is reserved.
            Conflict: if it has been voided.
        """
        accounts = _pair(user, dataset)
        held = {"pending": {"$elemMatch": {"id": reservation, **dump_loss(loss)}}}
        pending = await self._accounts.count_documents({"_id": {"$in": accounts}, **held})
        if pending < len(accounts) and not await self._is_settled(reservation):
            raise NotFound("There is no such reservation.")
        entry = self._verdict(EntryKind.COMMIT, reservation, user, dataset, loss)
        await self._post({**entry, "mechanisms": [asdict(mechanism) for mechanism in mechanisms]})

    @guarded
    async def void(self, reservation: str, user: str, dataset: str, loss: PrivacyLoss) -> None:
        """Gives a reservation back; again, changes nothing. One that never was can never be made afterwards.

        Raises:
            Conflict: if it has been committed.
        """
        await self._post(self._verdict(EntryKind.VOID, reservation, user, dataset, loss))

    @guarded
    async def entries(self, user: str | None, dataset: str, first: int, after: str | None) -> Page[LedgerEntry]:
        """The entries of the user's grant on the dataset (without a user: of its cap), the newest first.

        Raises:
            LimitExceeded: if `first` is not within 0 to 100.
            BadCursor: if `after` is not a cursor of this list.
        """
        query: Document = {"accounts": Account(user=user, dataset=dataset).id}
        if after is not None:
            query |= older_than(after, time_field="at")
        found = self._entries.find(query).sort([("at", -1), ("_id", -1)]).limit(check_first(first) + 1)
        documents = await found.to_list(None)
        return page_of(documents, first, after, parse=_parse_entry, cursor=lambda it: time_cursor(it["at"], it["_id"]))

    @guarded
    async def check(self, *, grace_seconds: float = 10.0) -> list[str]:
        """Every invariant of the ledger that does not hold, in words; empty if all hold.

        It reads one snapshot, so it may run while the server does.
        """
        return await violations(self._client, self._database, grace_seconds)

    @guarded
    async def pending_since(self, grace_seconds: float) -> list[OldReservation]:
        """The reservations that have been pending for longer than that."""
        item = {"_id": "$pending.id", "dataset": {"$first": "$dataset"}, "loss": {"$first": "$pending"}}
        steps: list[Document] = [
            {"$match": {"pending.at": {"$gt": EPOCH}}},
            {"$unwind": "$pending"},
            {"$match": {"$expr": {"$lte": ["$pending.at", now_minus(grace_seconds)]}}},
            {"$group": {**item, "user": {"$max": "$user"}}},
        ]
        return [
            OldReservation(id=it["_id"], user=it["user"], dataset=it["dataset"], loss=parse_loss(it["loss"]))
            async for it in self._accounts.aggregate(steps)
        ]

    @guarded
    async def settle_orphan(self, orphan: OldReservation, *, opened: bool) -> None:
        """Ends a reservation whose execution is gone or has ended: by its verdict, else by `opened`."""
        entry: Document | None = await self._entries.find_one({"_id": orphan.id})
        if entry is not None:
            await self._apply(entry)
        elif orphan.user is None:
            return  # only a verdict takes the grant's part out first, so it was seen too early
        elif opened:
            await self.commit(orphan.id, orphan.user, orphan.dataset, orphan.loss, mechanisms=())
        else:
            await self.void(orphan.id, orphan.user, orphan.dataset, orphan.loss)

    async def _set_limit(self, account: Account, limit: PrivacyLoss, actor: str) -> Balance:
        if not storable(limit):
            raise LimitExceeded("limit", "An epsilon limit is at most 2e9, a delta limit at most 2.")
        earlier = await insert_once(self._accounts, empty(account), stamp="created_at")
        if earlier is not None:
            await self._record_grant(earlier)
        after: Document | None = await self._accounts.find_one_and_update(
            *granting(account, limit, actor), return_document=ReturnDocument.AFTER
        )
        if after is None:
            raise Conflict(await self._too_low(account))
        await self._record_grant(after)
        return parse_balance(after)

    async def _record_grant(self, account: Document) -> None:
        """Writes the entry of the last limit that was set, which a crash may have kept from being written."""
        if not account["grants"]:
            return
        entry = {
            "_id": f"{account['_id']}#{account['grants']}",
            "kind": EntryKind.GRANT.value,
            "accounts": [account["_id"]],
            "loss": account["limit"],
            "execution": None,
            "actor": account["granted_by"],
            "user": account["user"],
            "dataset": account["dataset"],
        }
        await insert_once(self._entries, entry, stamp="at")

    async def _too_low(self, account: Account) -> str:
        balance = await self._balance(account, active=False)
        taken = balance.spent + balance.reserved if balance else None
        figures = f"epsilon {taken.epsilon:g} and delta {taken.delta:g}" if taken else "more"
        return f"The limit is below what is spent and reserved already: {figures}."

    async def _balance(self, account: Account, *, active: bool = True) -> Balance | None:
        query = {"_id": account.id, "active": True} if active else {"_id": account.id}
        document = await self._accounts.find_one(query, {"pending": False})
        return None if document is None else parse_balance(document)

    async def _take(
        self, account: Account, reservation: str, loss: PrivacyLoss, *, both: tuple[Account, Account]
    ) -> None:
        for _ in range(RESERVE_ATTEMPTS):
            if storable(loss):
                taken = await self._accounts.update_one(*reserving(account, reservation, loss))
                if taken.matched_count:
                    return
            if await self._is_held(account, reservation, loss):
                return
            remaining = await self._remaining(both)
            if not loss.fits(remaining):
                raise BudgetExceeded(requested=loss, remaining=remaining)
        # Room came free each time after the update had looked for it.
        raise StoreUnavailable("the account is too busy")

    async def _is_held(self, account: Account, reservation: str, loss: PrivacyLoss) -> bool:
        """True if this is a repeat. Raises the refusals that come before the budget's."""
        document = await self._accounts.find_one({"_id": account.id, "active": True}, {"pending": True})
        if document is None:
            raise NotFound(f"There is no dataset {account.dataset!r} with a budget for this query.")
        for pending in document["pending"]:
            if pending["id"] == reservation:
                if parse_loss(pending) != loss:
                    raise Conflict("This reservation is pending with another privacy loss.")
                return True
        if len(document["pending"]) >= account.max_pending:
            raise LimitExceeded("pending", "Too many executions are waiting on this budget; try again later.")
        return False

    async def _remaining(self, accounts: tuple[Account, Account]) -> PrivacyLoss:
        """What both accounts can still pay."""
        balances = [await self._balance(account) for account in accounts]
        if balances[0] is None or balances[1] is None:
            raise NotFound(f"There is no dataset {accounts[0].dataset!r} with a budget for this query.")
        return smaller_parts(balances[0].remaining, balances[1].remaining)

    def _verdict(self, kind: EntryKind, reservation: str, user: str, dataset: str, loss: PrivacyLoss) -> Document:
        return {
            "_id": reservation,
            "kind": kind.value,
            "accounts": _pair(user, dataset),
            "loss": dump_loss(loss),
            "execution": reservation,
            "actor": user,
            "user": user,
            "dataset": dataset,
            "mechanisms": [],
        }

    async def _post(self, entry: Document) -> None:
        """Writes the verdict first, then applies the one that stands."""
        standing = await insert_once(self._entries, entry, stamp="at") or entry
        if standing["kind"] != entry["kind"]:
            raise Conflict(f"This reservation has been settled already: {standing['kind']}.")
        await self._apply(standing)

    async def _is_settled(self, reservation: str) -> bool:
        return await self._entries.find_one({"_id": reservation}, {"_id": True}) is not None

    async def _apply(self, entry: Document) -> None:
        spend = entry["kind"] == EntryKind.COMMIT
        loss = parse_loss(entry["loss"])
        changes = [settling(account, entry["_id"], loss, spend=spend) for account in entry["accounts"]]
        await asyncio.gather(*(self._accounts.update_one(*change) for change in changes))


def parse_grant(document: Document) -> Grant:
    """The grant in an account's document."""
    return Grant(user=document["user"], dataset=document["dataset"], balance=parse_balance(document))


def _pair(user: str, dataset: str) -> list[str]:
    return [Account(user=user, dataset=dataset).id, Account(user=None, dataset=dataset).id]


def _parse_entry(document: Document) -> LedgerEntry:
    return LedgerEntry(
        id=document["_id"],
        at=document["at"],
        kind=EntryKind(document["kind"]),
        loss=parse_loss(document["loss"]),
        execution=document["execution"],
        actor=document["actor"],
        user=document["user"],
        dataset=document["dataset"],
    )
