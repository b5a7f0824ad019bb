"""The accounts that a reservation draws on, and every statement that changes one.

An account keeps its limit, what is spent, what is reserved, and its open reservations in one document, so
that check and change are one update. A reservation draws on two: the researcher's grant and the dataset's
cap.
"""

from dataclasses import dataclass

from amancay_engine.privacy import PrivacyLoss
from amancay_storage.amount import PARTS, dump_loss, parse_loss
from amancay_storage.driver import Document
from amancay_storage.name import check_name

MAX_PENDING_PER_GRANT = 200
MAX_PENDING_PER_CAP = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The parts of an account. At any moment spent + reserved <= limit."""

    limit: PrivacyLoss
    spent: PrivacyLoss
    reserved: PrivacyLoss

    @property
    def remaining(self) -> PrivacyLoss:
        """What can still be reserved."""
        taken = self.spent + self.reserved
        return PrivacyLoss(
            epsilon_nano=self.limit.epsilon_nano - taken.epsilon_nano,
            delta_atto=self.limit.delta_atto - taken.delta_atto,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The grant of a user on a dataset, or (without a user) the dataset's cap over all users."""

    user: str | None
    dataset: str

    def __post_init__(self) -> None:
        if self.user is not None:
            check_name(self.user)
        check_name(self.dataset)

    @property
    def id(self) -> str:
        """The document's id. No name holds a colon."""
        return f"cap:{self.dataset}" if self.user is None else f"grant:{self.user}:{self.dataset}"

    @property
    def max_pending(self) -> int:
        """How many open reservations it may have."""
        return MAX_PENDING_PER_CAP if self.user is None else MAX_PENDING_PER_GRANT


def parse_balance(document: Document) -> Balance:
    """The balance in an account's document."""
    return Balance(
        limit=parse_loss(document["limit"]),
        spent=parse_loss(document["spent"]),
        reserved=parse_loss(document["reserved"]),
    )


def empty(account: Account) -> Document:
    """A new account: inactive, with a limit of nothing."""
    nothing = dump_loss(PrivacyLoss(epsilon_nano=0, delta_atto=0))
    return {
        "_id": account.id,
        "kind": "cap" if account.user is None else "grant",
        "user": account.user,
        "dataset": account.dataset,
        "active": False,
        "limit": nothing,
        "spent": nothing,
        "reserved": nothing,
        "pending": [],
        "grants": 0,
        "granted_by": "",
    }


def room_for(loss: PrivacyLoss) -> Document:
    """The condition that `loss` fits into what remains."""
    taken = ({"$add": [f"$spent.{part}", f"$reserved.{part}", dump_loss(loss)[part]]} for part in PARTS)
    return {"$and": [{"$lte": [sum_, f"$limit.{part}"]} for part, sum_ in zip(PARTS, taken, strict=True)]}


def reserving(account: Account, reservation: str, loss: PrivacyLoss) -> tuple[Document, list[Document]]:
    """The one update that reserves: it matches only if the loss fits, the list has room and the id is new."""
    amount = dump_loss(loss)
    item = {"$mergeObjects": [{"$literal": {"id": reservation, **amount}}, {"at": "$$NOW"}]}
    change: Document = {"pending": {"$concatArrays": ["$pending", [item]]}}
    change |= {f"reserved.{part}": {"$add": [f"$reserved.{part}", amount[part]]} for part in PARTS}
    matching = {
        "_id": account.id,
        "active": True,
        "pending.id": {"$ne": reservation},
        f"pending.{account.max_pending - 1}": {"$exists": False},
        "$expr": room_for(loss),
    }
    return matching, [{"$set": change}]


def settling(account_id: str, reservation: str, loss: PrivacyLoss, *, spend: bool) -> tuple[Document, Document]:
    """The one update that ends a reservation: it matches only while that is pending, hence only once."""
    amount = dump_loss(loss)
    change = {f"reserved.{part}": -amount[part] for part in PARTS}
    if spend:
        change |= {f"spent.{part}": amount[part] for part in PARTS}
    return {"_id": account_id, "pending.id": reservation}, {
        "$inc": change,
        "$pull": {"pending": {"id": reservation}},
    }


def granting(account: Account, limit: PrivacyLoss, actor: str) -> tuple[Document, list[Document]]:
    """The one update that sets the limit: it matches only if what is spent and reserved fits below it."""
    amount = dump_loss(limit)
    same = {"$and": ["$active", *({"$eq": [f"$limit.{part}", amount[part]]} for part in PARTS)]}
    taken = [{"$lte": [{"$add": [f"$spent.{part}", f"$reserved.{part}"]}, amount[part]]} for part in PARTS]
    change = {
        "limit": amount,
        "active": True,
        "grants": {"$cond": [same, "$grants", {"$add": ["$grants", 1]}]},
        "granted_by": {"$cond": [same, "$granted_by", {"$literal": actor}]},
    }
    return {"_id": account.id, "$expr": {"$and": taken}}, [{"$set": change}]
