"""The whole service beside the bare library, in one run: trust the ratios, not the milliseconds.

`service`: client, HTTP, GraphQL, ledger, queue, a fresh process, the answer back as a frame; release grid off.
`library`: the same SQL by SmartNoise's own reader in this process, over DuckDB on the same Parquet file.
Runs of both alternate, so that a busy machine slows both alike.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import anyio
import duckdb
from rich.console import Console
from rich.table import Table
from snsql.sql.privacy import Privacy
from snsql.sql.private_reader import PrivateReader
from snsql.sql.reader.base import SqlReader
from tests.running import serving

import amancay_client as amancay
from amancay_engine.privacy import PrivacyLoss
from amancay_server.demo.data import make_data
from amancay_server.demo.setup import set_up
from amancay_server.embedded_mongo import EmbeddedMongo
from amancay_storage.client import Store

DATABASE = "bench"
EPSILON = 1.0
QUERIES = {
    "COUNT": "SELECT COUNT(*) AS n FROM df",
    "AVG": "SELECT AVG(income) AS mean_income FROM df",
    "GROUP BY": "SELECT region, sex, AVG(income) AS mean_income FROM df GROUP BY region, sex",
}
LIBRARY_METADATA = {
    "": {
        "": {
            "df": {
                "row_privacy": True,
                "censor_dims": False,
                "region": {"type": "int", "lower": 1, "upper": 7},
                "sex": {"type": "int", "lower": 0, "upper": 1},
                "income": {"type": "float", "lower": 1000, "upper": 100000},
            }
        }
    }
}


class DuckdbReader(SqlReader):  # type: ignore[misc]  # snsql has no types
    """SmartNoise over DuckDB, as one would write it in a notebook."""

    def __init__(self, file: Path) -> None:
        super().__init__("Postgres")
        self._connection = duckdb.connect(config={"threads": "2"})
        self._connection.execute(f"CREATE VIEW df AS SELECT * FROM read_parquet('{file}')")

    def execute(self, query: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        cursor = self._connection.execute(query)
        return [tuple(column[0] for column in cursor.description or ()), *cursor.fetchall()]


def main() -> None:
    """Prints the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=20, help="runs of each query on each side")
    runs = arguments.parse_args().runs
    console = Console()
    with tempfile.TemporaryDirectory() as directory, _service(Path(directory)) as (session, file):
        reader = PrivateReader(DuckdbReader(file), LIBRARY_METADATA, privacy=Privacy(epsilon=EPSILON, delta=1e-6))
        income = session.dataset("income")
        grid = Table("query on 2 032 543 rows", "library, ms", "service, ms", "ratio", title=f"medians of {runs}")
        for name, sql in QUERIES.items():
            query = income.sql(sql, epsilon=EPSILON)
            library, service = _alternate(runs, partial(reader.execute, sql), partial(_asked, query))
            grid.add_row(name, f"{library:.0f}", f"{service:.0f}", f"{service / library:.2f}")
        estimate = income.sql(QUERIES["GROUP BY"], epsilon=EPSILON)
        grid.add_row("estimate of GROUP BY", "", f"{_median(runs, estimate.estimate):.0f}", "")
        console.print(grid)


def _asked(query: amancay.Query) -> object:
    return query.run(progress=False).to_polars()


def _alternate(runs: int, library: Callable[[], object], service: Callable[[], object]) -> tuple[float, float]:
    """Medians in milliseconds, after one run of each that does not count."""
    times: dict[str, list[float]] = {"library": [], "service": []}
    for run in range(runs + 1):
        for name, call in (("library", library), ("service", service)):
            taken = _timed(call)
            if run:
                times[name].append(taken)
    return statistics.median(times["library"]), statistics.median(times["service"])


def _median(runs: int, call: Callable[[], object]) -> float:
    call()
    return statistics.median(_timed(call) for _ in range(runs))


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000


@contextmanager
def _service(directory: Path) -> Iterator[tuple[amancay.Session, Path]]:
    """A running server with the demo's data and a budget that lasts."""
    make_data(directory)
    with EmbeddedMongo.at(directory) as mongo:
        anyio.run(_prepare, mongo.url, directory)
        with (
            serving(directory, mongo.url, DATABASE, AMANCAY_WORKERS__RELEASE_GRID_SECONDS="0") as server,
            amancay.connect(server.url, token=server.token("researcher")) as session,
        ):
            yield session, directory / "data" / "income.parquet"


async def _prepare(url: str, directory: Path) -> None:
    await set_up(url, DATABASE, directory)
    async with Store.open(url, DATABASE) as store:
        plenty = PrivacyLoss.limit_down(epsilon=100_000, delta=0.5)
        await store.ledger.set_cap("income", plenty, actor="bench")
        await store.ledger.set_grant("researcher", "income", plenty, actor="bench")


if __name__ == "__main__":
    main()
