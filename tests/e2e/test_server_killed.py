"""The whole server dies of kill -9 in the middle of an execution, again and again."""

import time
from pathlib import Path

import anyio
import polars as pl
import pytest

import amancay_client as amancay
from amancay_engine.metadata import parse_metadata
from amancay_engine.privacy import PrivacyLoss
from amancay_engine.query import Library
from amancay_engine.sources import FileFormat, FileSource
from amancay_storage.account import Balance
from amancay_storage.client import Store
from amancay_storage.execution import ExecutionFilter, ExecutionRecord, Kind, Status
from amancay_storage.users import Role
from tests.running import RunningServer, start_serving

MOMENTS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.35, 0.6)
"""Seconds from the answer to `execute` to the kill: queued, claimed, opened, sealed, waiting for the grid, ended."""
SETTINGS = {
    "AMANCAY_WORKERS__RELEASE_GRID_SECONDS": "0.5",
    "AMANCAY_WORKERS__LEASE_SECONDS": "1",
    "AMANCAY_WORKERS__SWEEP_SECONDS": "0.5",
}
EPSILON = 0.1
PATIENCE_SECONDS = 60
ROWS = 300_000


async def _set_up(url: str, database: str, file: Path) -> None:
    metadata = parse_metadata({"columns": {"age": {"type": "integer", "lower": 0, "upper": 120}}})
    async with Store.open(url, database) as store:
        await store.prepare()
        await store.users.ensure("ana", None, Role.RESEARCHER, "test")
        source = FileSource(path=str(file), format=FileFormat.PARQUET)
        await store.datasets.ensure(
            "census",
            description=None,
            metadata=metadata,
            source=source,
            libraries=(Library.SMARTNOISE_SQL,),
            actor="test",
        )
        limit = PrivacyLoss.limit_down(epsilon=10, delta=1e-3)
        await store.ledger.set_cap("census", limit, actor="test")
        await store.ledger.set_grant("ana", "census", limit, actor="test")


async def _state(url: str, database: str) -> tuple[list[ExecutionRecord], Balance, list[str], list[bool]]:
    async with Store.open(url, database) as store:
        page = await store.executions.page(ExecutionFilter(kind=Kind.PRIVATE), 100, None)
        balance = await store.ledger.grant("ana", "census")
        assert balance is not None
        readable = [await store.executions.result(record.id) is not None for record in page.items]
        return list(page.items), balance, await store.ledger.check(grace_seconds=0), readable


def _asked(server: RunningServer) -> str:
    with amancay.connect(server.url, server.token("ana")) as session:
        query = session.dataset("census").sql("SELECT COUNT(*) AS n, AVG(age) AS age FROM df", epsilon=EPSILON)
        return query.run(progress=False, wait=False).id


def _answered(server: RunningServer, id: str) -> float:
    """Waits for the answer; the noisy count in it."""
    with amancay.connect(server.url, server.token("ana")) as session:
        execution = session.execution(id).wait(progress=False, timeout=PATIENCE_SECONDS)
        assert execution.status is amancay.ExecutionStatus.SUCCEEDED
        assert execution.charged == execution.cost
        return float(execution.to_polars()["n"][0])


@pytest.mark.crash
def test_ten_kills_lose_nothing_and_lock_nobody_out(mongo_url: str, database_name: str, tmp_path: Path) -> None:
    """Goal: a crash at any moment costs neither answers nor budget, nor anybody's way in.

    Method: a real server process is killed with -9 at ten moments of a running execution and started again.
    """
    file = tmp_path / "census.parquet"
    pl.DataFrame({"age": [index % 100 for index in range(ROWS)]}).write_parquet(file)
    anyio.run(_set_up, mongo_url, database_name, file)
    server = start_serving(tmp_path, mongo_url, database_name, **SETTINGS)
    try:
        for moment in MOMENTS:
            execution = _asked(server)
            time.sleep(moment)
            server.kill()
            server = start_serving(tmp_path, mongo_url, database_name, **SETTINGS)
            assert _answered(server, execution) == pytest.approx(ROWS, abs=1000), f"killed after {moment} s"
        assert _answered(server, _asked(server)) == pytest.approx(ROWS, abs=1000), "locked out"
    finally:
        server.stop()
    records, balance, violations, readable = anyio.run(_state, mongo_url, database_name)
    assert violations == []
    assert [record.status for record in records] == [Status.SUCCEEDED] * (len(MOMENTS) + 1)
    assert readable == [True] * (len(MOMENTS) + 1)
    assert balance.reserved == PrivacyLoss(epsilon_nano=0, delta_atto=0)
    assert balance.spent.epsilon_nano == sum(record.charged.epsilon_nano for record in records)
    attempts = [record.attempt for record in reversed(records)]
    print(f"kills at {MOMENTS} s: attempts {attempts}, spent epsilon {balance.spent.epsilon}")  # noqa: T201 - figures
