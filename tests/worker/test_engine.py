"""The engine's own entry behind the supervisor: real queries on a real file, in processes of their own."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import polars as pl
import pytest

from amancay_engine.dummy import DummyRows
from amancay_engine.errors import FailureCode
from amancay_engine.job import Job
from amancay_engine.metadata import dump_metadata, parse_metadata
from amancay_engine.privacy import NOTHING, PrivacyLoss
from amancay_engine.query import SmartnoiseSqlQuery, dump_query
from amancay_engine.release import Release
from amancay_engine.runners import price
from amancay_engine.sources import FileFormat, FileSource, dump_source
from amancay_worker.protocol import Failed, Prepared
from amancay_worker.supervisor import Supervisor

pytestmark = pytest.mark.anyio
METADATA = parse_metadata({"columns": {"age": {"type": "integer", "lower": 0, "upper": 100}}})
QUERY = SmartnoiseSqlQuery(sql="SELECT COUNT(*) AS n, AVG(age) AS mean FROM df", epsilon=5.0)
ROWS = 20_000


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    """A supervisor as the server starts it."""
    async with Supervisor() as started:
        yield started


@pytest.fixture
def source(tmp_path: Path) -> FileSource:
    """A table of one column, whose mean is 50."""
    path = tmp_path / "people.csv"
    pl.DataFrame({"age": [40, 60] * (ROWS // 2)}).write_csv(path)
    return FileSource(path=str(path), format=FileFormat.CSV)


async def ask(supervisor: Supervisor, job: Job, prepared: list[Prepared] | None = None) -> Release | Failed:
    """One run with leave to read."""

    async def go_on(said: Prepared) -> bool:
        if prepared is not None:
            prepared.append(said)
        return True

    async def show(fraction: float, text: str) -> None:
        """Stages are of no matter here."""

    return await supervisor.run(job.encode(), on_prepared=go_on, on_stage=show, private=job.dummy is None)


def private(source: FileSource, reserved: PrivacyLoss) -> Job:
    """The query on the file."""
    return Job(
        query=dump_query(QUERY),
        metadata=dump_metadata(METADATA),
        source=dump_source(source),
        dummy=None,
        reserved=reserved,
    )


async def test_a_query_is_answered_with_noise(supervisor: Supervisor, source: FileSource) -> None:
    """Goal: the answer is near the truth and never the same. Method: three runs at a large epsilon."""
    prepared: list[Prepared] = []
    job = private(source, price(QUERY, METADATA))
    outcomes = [await ask(supervisor, job, prepared) for _ in range(3)]
    tables = [pl.read_ipc_stream(outcome.table) for outcome in outcomes if isinstance(outcome, Release)]
    assert [table["n"].item() for table in tables] == pytest.approx([ROWS] * 3, abs=20)
    assert [table["mean"].item() for table in tables] == pytest.approx([50.0] * 3, abs=1)
    assert len({table["mean"].item() for table in tables}) == 3
    assert all(said.mechanisms and said.accuracy for said in prepared)


async def test_runs_at_the_same_time_are_answered(supervisor: Supervisor, source: FileSource) -> None:
    """Goal: more runs than spares. Method: five at once, each in a process of its own."""
    job = private(source, price(QUERY, METADATA))
    outcomes = await asyncio.gather(*(ask(supervisor, job) for _ in range(5)))
    assert all(isinstance(outcome, Release) for outcome in outcomes)


async def test_a_reservation_that_is_too_small_reads_nothing(supervisor: Supervisor, source: FileSource) -> None:
    """Goal: the price is checked again where the data is."""
    outcome = await ask(supervisor, private(source, NOTHING))
    assert outcome == Failed(code=FailureCode.LIBRARY_ERROR, opened=False)


async def test_a_file_that_is_gone_is_unavailable(supervisor: Supervisor, tmp_path: Path) -> None:
    """Goal: a source that cannot be reached fails before opening, and says so."""
    gone = FileSource(path=str(tmp_path / "gone.csv"), format=FileFormat.CSV)
    outcome = await ask(supervisor, private(gone, price(QUERY, METADATA)))
    assert outcome == Failed(code=FailureCode.UNAVAILABLE, opened=False)


async def test_dummy_rows_are_reproducible(supervisor: Supervisor) -> None:
    """Goal: the same seed gives the same answer; there is nothing to protect."""
    job = Job(
        query=dump_query(QUERY),
        metadata=dump_metadata(METADATA),
        source=None,
        dummy=DummyRows(rows=100, seed=7),
        reserved=price(QUERY, METADATA),
    )
    first, second = [await ask(supervisor, job) for _ in range(2)]
    assert isinstance(first, Release)
    assert first == second


async def test_a_spare_answers_quickly(supervisor: Supervisor, source: FileSource) -> None:
    """Goal: no run pays for the imports. Method: the fastest of five, after one that waits for them."""
    job = private(source, price(QUERY, METADATA))
    await ask(supervisor, job)
    times = []
    for _ in range(5):
        await asyncio.sleep(0.1)
        started = time.monotonic()
        await ask(supervisor, job)
        times.append(time.monotonic() - started)
    assert min(times) < 1.0
