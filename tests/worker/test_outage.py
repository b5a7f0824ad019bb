"""A database that goes away in the middle of a run."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from pymongo.uri_parser import parse_uri

from amancay_engine.metadata import parse_metadata
from amancay_engine.privacy import NOTHING, PrivacyLoss
from amancay_engine.query import Library
from amancay_engine.sources import FileFormat, FileSource
from amancay_storage.client import Store
from amancay_storage.executions import Kind, Status, Submission
from amancay_worker.claim import Claim, Pace
from amancay_worker.supervisor import Supervisor

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
LOSS = PrivacyLoss(epsilon_nano=10**8, delta_atto=0)
AWAY_SECONDS = 6.0
"""Longer than the store waits for its database before it gives up a call."""


class Wire:
    """A way to the database that can be cut and mended."""

    def __init__(self, host: str, port: int, portal: BlockingPortal) -> None:
        self._target = host, port
        self._portal = portal
        self._lines: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    def mend(self) -> None:
        """Lets connections through, always on the same port."""
        self._portal.call(self._open)

    def cut(self) -> None:
        """Drops every connection and accepts no new one."""
        self._portal.call(self._close)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for line in tuple(self._lines):
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.create_task(self._join(reader, writer))
        self._lines.add(line)
        line.add_done_callback(self._lines.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            writer.transport.abort()
            far_writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


@pytest.fixture
def wire(mongo_url: str) -> Iterator[Wire]:
    """A wire to the database, whole at first."""
    (host, port), *_ = parse_uri(mongo_url)["nodelist"]
    # In a thread of its own: closing a store holds up the event loop until the database has answered.
    with start_blocking_portal() as portal:
        wire = Wire(host, port, portal)
        wire.mend()
        yield wire
        wire.cut()


async def opened(store: Store, execution: str) -> None:
    """Waits until the execution has been opened."""
    async with asyncio.timeout(10):
        # What is waited for happens in a database.
        while not (record := await store.executions.get(execution)) or not record.opened:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_an_answer_outlives_an_outage(store: Store, wire: Wire, database_name: str) -> None:
    """Goal: an answer that could not be kept at once is kept later, and paid for once.

    Method: the database is cut off while the child reads, for longer than a call waits.
    """
    await store.datasets.register(
        "people",
        description=None,
        metadata=parse_metadata({"columns": {"age": {"type": "integer"}}}),
        source=FileSource(path="/nowhere/people.csv", format=FileFormat.CSV),
        libraries=(Library.SMARTNOISE_SQL,),
        actor="root",
    )
    await store.ledger.set_cap("people", LOSS, actor="root")
    await store.ledger.set_grant("ada", "people", LOSS, actor="root")
    await store.executions.submit(
        Submission(
            id="e",
            user="ada",
            dataset="people",
            dataset_version=1,
            kind=Kind.PRIVATE,
            query={},
            library=Library.SMARTNOISE_SQL,
            loss=LOSS,
            fingerprint="e",
        )
    )
    url = f"mongodb://127.0.0.1:{wire.port}/?directConnection=true"
    async with Store.open(url, database_name) as far, Supervisor(entry="hostile:ponder") as supervisor:
        record = await far.executions.claim("w", 60.0)
        assert record is not None
        run = asyncio.create_task(Claim(far, supervisor, Pace(lease=60.0, grid=0.5), record).carry_out())
        await opened(store, "e")
        wire.cut()
        await asyncio.sleep(AWAY_SECONDS)
        assert not run.done()
        wire.mend()
        async with asyncio.timeout(15):
            await run
    record = await store.executions.get("e")
    balance = await store.ledger.grant("ada", "people")
    assert record is not None
    assert balance is not None
    assert (record.status, record.attempt, record.charged) == (Status.SUCCEEDED, 1, LOSS)
    assert (balance.spent, balance.reserved) == (LOSS, NOTHING)
    assert await store.ledger.check() == []
