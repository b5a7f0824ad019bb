"""What these tests begin with: a table in a file, a researcher who may ask it, a stranger who may not, an auditor."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import polars as pl
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from amancay_engine.metadata import parse_metadata
from amancay_engine.privacy import PrivacyLoss
from amancay_engine.query import Library
from amancay_engine.sources import FileFormat, FileSource
from amancay_server.demo.issuer import Issuer
from amancay_storage.account import Balance
from amancay_storage.client import Store
from amancay_storage.execution import ExecutionFilter, ExecutionRecord
from amancay_storage.ledger import LedgerEntry
from amancay_storage.users import Role
from tests.api.documents import CANCEL, DUMMY, ESTIMATE, EXECUTE, EXECUTION
from tests.running import RunningServer

Data = dict[str, Any]

COUNT = "SELECT COUNT(*) AS n FROM df"
MANY = 12_000_000
DIGITS = " + ".join(f"LENGTH(CAST(age / {divisor} AS VARCHAR))" for divisor in range(3, 23))
LONG = f"SELECT COUNT(*) AS n FROM df WHERE {DIGITS} > 0"
EPSILON = 0.1
LIMIT = PrivacyLoss(epsilon_nano=10**9, delta_atto=10**14)
ROWS = 300
WARDS = ("north", "south", "west")
METADATA: Data = {
    "rows": ROWS,
    "columns": {
        "ward": {"type": "string", "categories": list(WARDS), "public_categories": True, "description": "Where."},
        "name": {"type": "string"},
        "age": {"type": "integer", "lower": 0, "upper": 100},
        "weight": {"type": "float", "lower": 0, "upper": 200, "nullable": True},
        "active": {"type": "boolean"},
        "seen": {"type": "datetime", "lower": "2024-01-01T00:00:00", "upper": "2026-01-01T00:00:00"},
    },
}
ENDED = {"SUCCEEDED", "FAILED", "CANCELLED"}
PATIENCE = 30.0
POLL_SECONDS = 0.05
DOWNLOAD_SECRET = "known to the tests of the idle server only"
SOCKET = [Subprotocol("graphql-transport-ws")]


def sql(text: str = COUNT, **parameters: Any) -> Data:
    """A `DpQuery`; at the usual epsilon if none is given."""
    return {"smartnoiseSql": {"sql": text, "epsilon": EPSILON, **parameters}}


def nodes(connection: Data) -> list[Data]:
    """The nodes of a connection."""
    return [edge["node"] for edge in connection["edges"]]


def many_rows() -> pl.DataFrame:
    """A table with which `LONG` keeps a worker busy for many seconds."""
    return pl.DataFrame({"age": pl.int_range(MANY, dtype=pl.Int32, eager=True)})


def private_rows() -> pl.DataFrame:
    """A table that fits `METADATA`; the names are what must never leave."""
    index = pl.int_range(ROWS, eager=True)
    return pl.DataFrame(
        {
            "ward": [WARDS[i % 3] for i in range(ROWS)],
            "name": [f"secret-{i}" for i in range(ROWS)],
            "age": index % 90,
            "weight": (50 + index % 50).cast(pl.Float64),
            "active": index % 2 == 0,
            "seen": pl.Series([f"2025-01-{1 + i % 28:02d}" for i in range(ROWS)]).str.to_datetime(time_unit="us"),
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody with a token."""

    name: str
    server: RunningServer
    http: httpx.AsyncClient

    @property
    def token(self) -> str:
        """A valid token."""
        return token_of(self.server.data_dir, self.name)

    async def post(self, document: str, /, operation: str | None = None, **variables: Any) -> httpx.Response:
        """The answer as it comes over the wire."""
        body = {"query": document, "variables": variables, "operationName": operation}
        return await self.http.post(self.server.url, json=body, headers={"authorization": f"Bearer {self.token}"})

    async def ask(self, document: str, /, **variables: Any) -> Data:
        """The data of an answer without errors."""
        answer = (await self.post(document, **variables)).json()
        assert "errors" not in answer, answer["errors"]
        data: Data = answer["data"]
        return data

    async def refused(self, document: str, /, **variables: Any) -> str:
        """The code of the one error of an answer."""
        (error,) = (await self.post(document, **variables)).json()["errors"]
        code: str = error["extensions"]["code"]
        return code


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """All that a refusal must leave as it was."""

    grant: Balance | None
    cap: Balance | None
    entries: tuple[LedgerEntry, ...]
    executions: tuple[ExecutionRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One dataset of one test, on a server that others use too."""

    server: RunningServer
    store: Store
    dataset: str
    file: Path
    researcher: Caller
    stranger: Caller
    auditor: Caller

    async def books(self) -> Books:
        """Balances, entries and executions of this dataset."""
        ledger, name = self.store.ledger, self.researcher.name
        return Books(
            grant=await ledger.grant(name, self.dataset),
            cap=await ledger.cap(self.dataset),
            entries=(await ledger.entries(None, self.dataset, 100, None)).items,
            executions=(await self.store.executions.page(ExecutionFilter(dataset=self.dataset), 100, None)).items,
        )

    @asynccontextmanager
    async def unchanged(self) -> AsyncIterator[None]:
        """Asserts that the block costs and leaves nothing."""
        before = await self.books()
        yield
        assert await self.books() == before

    async def grant(self, user: str, limit: PrivacyLoss = LIMIT) -> None:
        """A budget on this dataset for anybody."""
        await self.store.ledger.set_grant(user, self.dataset, limit, actor="admin")

    async def spent(self) -> tuple[float, float]:
        """Epsilon spent and reserved by the researcher."""
        balance = await self.store.ledger.grant(self.researcher.name, self.dataset)
        assert balance is not None
        return balance.spent.epsilon, balance.reserved.epsilon

    async def execute(
        self, query: Data | None = None, /, *, caller: Caller | None = None, key: str | None = None, **changes: Any
    ) -> Data:
        """What `execute` answers: the researcher counts the rows, unless told otherwise."""
        asked = {"dataset": self.dataset, "query": query or sql(), "idempotencyKey": key, **changes}
        answer: Data = (await (caller or self.researcher).ask(EXECUTE, input=asked))["execute"]
        return answer

    async def execute_dummy(
        self,
        query: Data | None = None,
        /,
        *,
        caller: Caller | None = None,
        key: str | None = None,
        dummy: Data | None = None,
    ) -> Data:
        """What `executeDummy` answers."""
        asked = {"dataset": self.dataset, "query": query or sql(), "idempotencyKey": key}
        answer: Data = (await (caller or self.researcher).ask(DUMMY, input=asked, dummy=dummy))["executeDummy"]
        return answer

    async def estimate(self, query: Data | None = None, /, *, caller: Caller | None = None, **changes: Any) -> Data:
        """What `estimate` answers."""
        asked = {"dataset": self.dataset, "query": query or sql(), **changes}
        answer: Data = (await (caller or self.researcher).ask(ESTIMATE, **asked))["estimate"]
        return answer

    async def cancel(self, execution: str, caller: Caller | None = None) -> Data:
        """What `cancelExecution` answers."""
        answer: Data = (await (caller or self.researcher).ask(CANCEL, id=execution))["cancelExecution"]
        return answer

    async def seen(self, execution: str, caller: Caller | None = None) -> Data | None:
        """What `execution` answers."""
        answer: Data | None = (await (caller or self.researcher).ask(EXECUTION, id=execution))["execution"]
        return answer

    async def ended(self, execution: str) -> Data:
        """The execution once it has ended."""
        return await self._once(execution, lambda state: state["status"] in ENDED)

    async def reaches(self, execution: str, stage: str) -> None:
        """Returns once the execution shows that stage."""
        await self._once(execution, lambda state: state["progress"]["stage"] == stage)

    async def _once(self, execution: str, holds: Callable[[Data], bool]) -> Data:
        async with asyncio.timeout(PATIENCE):
            while True:
                state = await self.seen(execution)
                if state is not None and holds(state):
                    return state
                await asyncio.sleep(POLL_SECONDS)

    async def run(self, query: Data | None = None, /, **options: Any) -> Data:
        """Executes and waits for the end."""
        return await self.ended((await self.execute(query, **options))["id"])

    @asynccontextmanager
    async def following(
        self, document: str, /, caller: Caller | None = None, **variables: Any
    ) -> AsyncIterator["Feed"]:
        """A subscription over a WebSocket of its own."""
        async with self.socket((caller or self.researcher).token) as socket:
            await send(socket, type="subscribe", id="1", payload={"query": document, "variables": variables})
            yield Feed(socket)

    @asynccontextmanager
    async def socket(self, token: str) -> AsyncIterator[ClientConnection]:
        """A WebSocket that has shown a token; not yet acknowledged if that is wrong."""
        url = self.server.url.replace("http", "ws", 1)
        async with connect(url, subprotocols=SOCKET, open_timeout=PATIENCE) as socket:
            await send(socket, type="connection_init", payload={"Authorization": f"Bearer {token}"})
            yield socket


class Feed:
    """What a subscription says, in its order; ends with the subscription."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    def __aiter__(self) -> "Feed":
        return self

    async def __anext__(self) -> Data:
        message = await self.message()
        if message["type"] == "complete":
            raise StopAsyncIteration
        assert message["type"] == "next", message
        (data,) = message["payload"]["data"].values()
        return dict(data)

    async def message(self) -> Data:
        """The next message as it is, but for the greeting."""
        while (message := json.loads(await asyncio.wait_for(self._socket.recv(), PATIENCE)))[
            "type"
        ] == "connection_ack":
            pass
        return dict(message)


async def send(socket: ClientConnection, **message: Any) -> None:
    """Sends one message."""
    await socket.send(json.dumps(message))


@cache
def issuer_in(directory: Path) -> Issuer:
    """A server's issuer of tokens; reading its key takes a while."""
    return Issuer(directory)


@cache
def token_of(directory: Path, user: str) -> str:
    """A user's token; signing takes a while, and most tests need few of them."""
    return issuer_in(directory).token(user)


@asynccontextmanager
async def scene_on(server: RunningServer, directory: Path) -> AsyncIterator[Scene]:
    """A dataset, its users and its budget on that server, all with names of their own."""
    assert server.mongo_url is not None
    mark = secrets.token_hex(4)
    file = directory / "rows.parquet"
    private_rows().write_parquet(file)
    async with (
        Store.open(server.mongo_url, server.database) as store,
        httpx.AsyncClient(timeout=PATIENCE, verify=False) as http,
    ):

        async def caller(name: str, role: Role) -> Caller:
            user = await store.users.create(f"{name}-{mark}", f"{name}@example.org", role, "admin")
            return Caller(name=user.name, server=server, http=http)

        scene = Scene(
            server=server,
            store=store,
            dataset=f"census-{mark}",
            file=file,
            researcher=await caller("mara", Role.RESEARCHER),
            stranger=await caller("otto", Role.RESEARCHER),
            auditor=await caller("aude", Role.AUDITOR),
        )
        await register(scene, scene.dataset)
        await store.ledger.set_cap(scene.dataset, LIMIT * 10, actor="admin")
        await scene.grant(scene.researcher.name)
        yield scene


async def every_page(caller: Caller, document: str, field: str, /, first: int = 100, **variables: Any) -> list[Data]:
    """The nodes of a whole list, page by page."""
    found: list[Data] = []
    after = None
    while True:
        page = (await caller.ask(document, first=first, after=after, **variables))[field]
        found += nodes(page)
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]


async def register(scene: Scene, name: str, libraries: tuple[Library, ...] = (Library.SMARTNOISE_SQL,)) -> None:
    """A dataset over the scene's file, without any budget."""
    await scene.store.datasets.register(
        name,
        description="A table made for one test.",
        metadata=parse_metadata(METADATA),
        source=FileSource(path=str(scene.file), format=FileFormat.PARQUET),
        libraries=libraries,
        actor="admin",
    )
