"""`Table.download`: a short-lived path to a file."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urljoin

import httpx
import polars as pl
import pytest
from jose import jwt
from polars.testing import assert_frame_equal

from tests.api.scene import DOWNLOAD_SECRET, METADATA, Scene, sql

pytestmark = pytest.mark.anyio

RESULT = """
query ($id: ID!) { execution(id: $id) { result { ... on Table {
  columns { name } rows parquet: download csv: download(format: CSV) } } } }
"""
DUMMY = """
query ($name: String!, $format: FileFormat! = PARQUET) { dataset(name: $name) { dummy(rows: 30, seed: 3) {
  rows download(format: $format) } } }
"""
QUERY = "SELECT ward, COUNT(*) AS n, AVG(weight) AS mean FROM df GROUP BY ward ORDER BY ward"


async def fetch(scene: Scene, path: str) -> httpx.Response:
    """The file at a path; its bearer shows no token."""
    return await scene.researcher.http.get(urljoin(scene.server.url, path))


async def dummy_path(scene: Scene, **variables: Any) -> str:
    """A path to made-up rows."""
    answer = await scene.researcher.ask(DUMMY, name=scene.dataset, **variables)
    return str(answer["dataset"]["dummy"]["download"])


async def test_an_answer_as_parquet_and_csv(scene: Scene) -> None:
    ended = await scene.run(sql(QUERY, epsilon=0.25))
    table = (await scene.researcher.ask(RESULT, id=ended["id"]))["execution"]["result"]
    parquet, csv = await fetch(scene, table["parquet"]), await fetch(scene, table["csv"])
    assert (parquet.status_code, csv.status_code) == (200, 200)
    assert parquet.headers["content-type"] == "application/vnd.apache.parquet"
    assert csv.headers["content-type"] == "text/csv; charset=utf-8"
    assert parquet.headers["content-disposition"] == 'attachment; filename="amancay.parquet"'
    assert csv.headers["x-content-type-options"] == "nosniff"
    frame = pl.read_parquet(io.BytesIO(parquet.content))
    assert frame.columns == [column["name"] for column in table["columns"]]
    assert [list(row) for row in frame.iter_rows()] == table["rows"]
    assert_frame_equal(pl.read_csv(io.BytesIO(csv.content)), frame, check_dtypes=False)


async def test_made_up_rows(idle_scene: Scene) -> None:
    parquet = await fetch(idle_scene, await dummy_path(idle_scene))
    csv = await fetch(idle_scene, await dummy_path(idle_scene, format="CSV"))
    frame = pl.read_parquet(io.BytesIO(parquet.content))
    assert (frame.height, frame.columns) == (30, list(METADATA["columns"]))
    assert pl.read_csv(io.BytesIO(csv.content), try_parse_dates=True)["ward"].to_list() == frame["ward"].to_list()


async def test_a_path_that_is_not_ours(idle_scene: Scene) -> None:
    path = await dummy_path(idle_scene)
    assert (await fetch(idle_scene, path)).status_code == 200
    head, payload, signature = path.removeprefix("/download/").split(".")
    wrong = [
        f"{head}.{payload}.{signature[::-1]}",
        f"{head}.{payload}.",
        f"{head}.{payload[:-2]}.{signature}",
        "nonsense",
        idle_scene.researcher.token,
        "x" * 5000,
    ]
    for token in wrong:
        assert (await fetch(idle_scene, f"/download/{token}")).status_code == 404
    assert (await fetch(idle_scene, "/download/")).status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        {"exp": datetime(2020, 1, 1, tzinfo=UTC)},
        {"exp": None},
        {"aud": "amancay"},
        {"aud": None},
        {"sub": None},
        {"what": {"execution": "none", "format": "CSV"}},
        {"what": {"dataset": "nowhere", "version": 1, "rows": 1, "seed": 1, "format": "CSV"}},
    ],
)
async def test_a_signature_is_not_enough(idle_scene: Scene, change: dict[str, Any]) -> None:
    """Goal: an expired path, or a token for something else, opens nothing. Method: signed with the server's key."""
    what = {"dataset": idle_scene.dataset, "version": 1, "rows": 1, "seed": 1, "format": "CSV"}
    claims = {"aud": "amancay:download", "sub": "a", "exp": datetime.now(UTC) + timedelta(minutes=1), "what": what}

    async def status(claims: dict[str, Any]) -> int:
        given = {name: value for name, value in claims.items() if value is not None}
        return (await fetch(idle_scene, f"/download/{jwt.encode(given, DOWNLOAD_SECRET, 'HS256')}")).status_code

    assert await status(claims) == 200
    assert await status(claims | change) == 404


async def test_a_path_ends_after_five_minutes(idle_scene: Scene) -> None:
    claims = jwt.get_unverified_claims((await dummy_path(idle_scene)).removeprefix("/download/"))
    assert 0 < claims["exp"] - datetime.now(UTC).timestamp() <= 300
