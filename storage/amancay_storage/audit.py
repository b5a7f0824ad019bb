"""The ledger's invariants, checked over one snapshot of the database.

All reads see the same moment, so what is in motion does not look broken. One state in between is legal at any
moment: a verdict is written and not yet applied to an account, whose reservation is then still pending.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorClientSession

from amancay_engine.privacy import NOTHING, PrivacyLoss
from amancay_storage.amount import parse_loss
from amancay_storage.driver import Database, Document, now_minus
from amancay_storage.layout import ACCOUNTS, ENTRIES, EXECUTIONS, RESULTS

MAX_REPORTED = 100
"""How many violations of one kind are named among the executions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    kind: str
    loss: PrivacyLoss
    old: bool


async def violations(client: AsyncIOMotorClient[Document], database: Database, grace_seconds: float) -> list[str]:
    """Every invariant that does not hold, in words. A verdict may wait `grace_seconds` to be applied."""
    async with await client.start_session(snapshot=True) as session:
        snapshot = _Snapshot(database, session)
        accounts = [document async for document in database[ACCOUNTS].find({}, session=session)]
        posted = await snapshot.posted()
        verdicts = await snapshot.verdicts(
            [item["id"] for account in accounts for item in account["pending"]], grace_seconds
        )
        found = [line for account in accounts for line in _of_account(account, posted, verdicts)]
        strangers = await snapshot.named_accounts() - {account["_id"] for account in accounts}
        found += [f"account {name}: named by an entry, but does not exist" for name in sorted(strangers)]
        return found + [line async for line in snapshot.of_executions()]


class _Snapshot:
    """Reads of one moment."""

    def __init__(self, database: Database, session: AsyncIOMotorClientSession) -> None:
        self._database = database
        self._session = session

    async def posted(self) -> dict[str, PrivacyLoss]:
        """For each account, the sum of the COMMIT entries that name it."""
        total = {part: {"$sum": f"$loss.{part}"} for part in ("epsilon_nano", "delta_atto")}
        steps: list[Document] = [
            {"$match": {"kind": "COMMIT"}},
            {"$unwind": "$accounts"},
            {"$group": {"_id": "$accounts", **total}},
        ]
        return {row["_id"]: parse_loss(row) async for row in self._rows(ENTRIES, steps)}

    async def named_accounts(self) -> set[str]:
        """Every account that an entry names."""
        steps: list[Document] = [{"$unwind": "$accounts"}, {"$group": {"_id": "$accounts"}}]
        return {row["_id"] async for row in self._rows(ENTRIES, steps)}

    async def verdicts(self, reservations: list[str], grace_seconds: float) -> dict[str, _Verdict]:
        """The verdicts on these reservations, where there are any."""
        old = {"old": {"$lt": ["$at", now_minus(grace_seconds)]}}
        steps: list[Document] = [{"$match": {"_id": {"$in": reservations}}}, {"$set": old}]
        return {
            row["_id"]: _Verdict(kind=row["kind"], loss=parse_loss(row["loss"]), old=row["old"])
            async for row in self._rows(ENTRIES, steps)
        }

    async def of_executions(self) -> AsyncIterator[str]:
        """What is wrong with executions that have ended."""
        entry = {"from": ENTRIES, "localField": "_id", "foreignField": "_id", "as": "entry"}
        rules = {
            "read private data and was not charged": {"opened": True, "entry.kind": {"$ne": "COMMIT"}},
            "read nothing and was charged": {"opened": False, "entry.kind": "COMMIT"},
            "shows a result and was not charged": {"status": "SUCCEEDED", "entry.kind": {"$ne": "COMMIT"}},
        }
        for words, rule in rules.items():
            ended = {"kind": "PRIVATE", "stage": "ENDED"}
            async for row in self._rows(EXECUTIONS, [{"$match": ended}, {"$lookup": entry}, {"$match": rule}, *_BRIEF]):
                yield f"execution {row['_id']}: {words}"
        key = {"result": {"$concat": ["$_id", "/", {"$toString": "$sealed_attempt"}]}}
        only_id = [{"$project": {"_id": True}}]
        result = {
            "from": RESULTS,
            "localField": "result",
            "foreignField": "_id",
            "pipeline": only_id,
            "as": "found",
        }
        succeeded = {"$match": {"status": "SUCCEEDED"}}
        missing: list[Document] = [succeeded, {"$set": key}, {"$lookup": result}, {"$match": {"found": []}}, *_BRIEF]
        async for row in self._rows(EXECUTIONS, missing):
            yield f"execution {row['_id']}: succeeded without a result"

    async def _rows(self, collection: str, steps: list[Document]) -> AsyncIterator[Document]:
        async for row in self._database[collection].aggregate(steps, session=self._session):
            yield row


_BRIEF: list[Document] = [{"$limit": MAX_REPORTED}, {"$project": {"_id": True}}]


def _of_account(
    account: Document, posted: Mapping[str, PrivacyLoss], verdicts: Mapping[str, _Verdict]
) -> Iterable[str]:
    name = f"account {account['_id']}"
    limit, spent, reserved = (parse_loss(account[part]) for part in ("limit", "spent", "reserved"))
    if not (spent + reserved).fits(limit):
        yield f"{name}: spent and reserved exceed the limit"
    if _sum(parse_loss(item) for item in account["pending"]) != reserved:
        yield f"{name}: reserved is not the sum of the pending reservations"
    decided = {item["id"]: verdicts[item["id"]] for item in account["pending"] if item["id"] in verdicts}
    unapplied = _sum(verdict.loss for verdict in decided.values() if verdict.kind == "COMMIT")
    if spent + unapplied != posted.get(account["_id"], NOTHING):
        yield f"{name}: spent is not the sum of the committed entries"
    for reservation, verdict in decided.items():
        if verdict.old:
            yield f"{name}: reservation {reservation} is still pending after its {verdict.kind}"


def _sum(losses: Iterable[PrivacyLoss]) -> PrivacyLoss:
    return sum(losses, start=NOTHING)
