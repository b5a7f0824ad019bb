"""What most of these tests begin with: ana may spend ten tenths on the census, in execution after execution."""

import secrets
from dataclasses import replace

from amancay_engine.metadata import TableMetadata, parse_metadata
from amancay_engine.privacy import PrivacyLoss
from amancay_engine.query import Library
from amancay_engine.release import Accuracy, Mechanism, Release
from amancay_storage.account import Balance
from amancay_storage.client import Store
from amancay_storage.execution import ExecutionRecord, Kind, Outcome, Status, Submission

TENTH = PrivacyLoss(epsilon_nano=100_000_000, delta_atto=10**11)
LIMIT = TENTH * 10
NOTHING = TENTH * 0
DONE = Outcome(status=Status.SUCCEEDED)
FAILED = Outcome(status=Status.FAILED, code="LIBRARY_ERROR")
RELEASE = Release(table=b"arrow bytes", row_count=3, columns=(("n", "int64"), ("mean", "double")))
MECHANISM = Mechanism(kind="laplace", column="n", scale=10.0, sensitivity=1.0, epsilon=0.1, delta=0.0)
ACCURACY = Accuracy(column="n", mechanism="laplace", scale=10.0, margin95=30.0)
METADATA: TableMetadata = parse_metadata({"columns": {"age": {"type": "integer", "lower": 0, "upper": 120}}})
LEASE = 30.0


async def grant(store: Store, limit: PrivacyLoss = LIMIT, *, cap: PrivacyLoss | None = None) -> None:
    """Gives ana a budget on the census."""
    await store.ledger.set_grant("ana", "census", limit, actor="admin")
    await store.ledger.set_cap("census", cap or limit, actor="admin")


def submission(
    *, kind: Kind = Kind.PRIVATE, key: str | None = None, sql: str = "SELECT COUNT(*) FROM df"
) -> Submission:
    """A new query of ana's that costs a tenth."""
    return Submission(
        id=secrets.token_hex(12),
        user="ana",
        dataset="census",
        dataset_version=1,
        kind=kind,
        query={"library": "SMARTNOISE_SQL", "sql": sql},
        library=Library.SMARTNOISE_SQL,
        loss=TENTH if kind is Kind.PRIVATE else NOTHING,
        fingerprint=f"{kind}:{sql}",
        idempotency_key=key,
        dummy_rows=100 if kind is Kind.DUMMY else None,
        dummy_seed=42 if kind is Kind.DUMMY else None,
    )


async def queued(store: Store, *, kind: Kind = Kind.PRIVATE) -> ExecutionRecord:
    """An execution that waits."""
    record, fresh = await store.executions.submit(submission(kind=kind))
    assert fresh
    return record


async def running(store: Store, *, kind: Kind = Kind.PRIVATE, lease: float = LEASE) -> ExecutionRecord:
    """An execution that a worker has claimed."""
    waiting = await queued(store, kind=kind)
    claimed = await store.executions.claim("worker", lease)
    assert claimed is not None
    assert claimed.id == waiting.id
    return claimed


async def opened(store: Store, *, lease: float = LEASE) -> ExecutionRecord:
    """An execution that is about to read private data."""
    claimed = await running(store, lease=lease)
    assert await store.executions.mark_opened(claimed.id, claimed.attempt, (ACCURACY,), (MECHANISM,))
    return replace(claimed, opened=True)


async def sealed(store: Store, *, lease: float = LEASE) -> ExecutionRecord:
    """An execution that has its result, and has not shown it."""
    record = await opened(store, lease=lease)
    assert await store.executions.seal(record.id, record.attempt, DONE, RELEASE)
    return record


async def balances(store: Store) -> tuple[Balance, Balance]:
    """Ana's grant on the census, and its cap."""
    mine, all_users = await store.ledger.grant("ana", "census"), await store.ledger.cap("census")
    assert mine is not None
    assert all_users is not None
    return mine, all_users


async def assert_balance(store: Store, *, spent: int = 0, reserved: int = 0) -> None:
    """Both accounts have this many tenths spent and reserved, and every invariant holds."""
    for balance in await balances(store):
        assert (balance.spent, balance.reserved) == (TENTH * spent, TENTH * reserved)
    assert await store.ledger.check() == []
