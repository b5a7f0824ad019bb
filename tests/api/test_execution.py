"""`execution`: one of the caller's own, or of anybody's for those who oversee; and how it may fail."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.scene import EPSILON, LONG, Scene, many_rows, scene_on, sql
from tests.running import serving

pytestmark = pytest.mark.anyio

RESULT = """
query ($id: ID!, $first: Int! = 1000, $offset: Int! = 0) {
  execution(id: $id) { result { ... on Table { rows(first: $first, offset: $offset) } } }
}
"""
TIMEOUT_SECONDS = 3


async def test_what_is_kept(idle_scene: Scene) -> None:
    asked = await idle_scene.execute()
    state = await idle_scene.seen(asked["id"])
    assert state is not None
    assert state == {name: value for name, value in asked.items() if name != "__typename"}
    assert (state["status"], state["kind"], state["result"], state["error"]) == ("QUEUED", "PRIVATE", None, None)
    assert state["progress"] == {"fraction": 0, "stage": "Waiting"}
    assert (state["cost"]["epsilon"], state["charged"]["epsilon"]) == (EPSILON, 0)
    assert (state["startedAt"], state["finishedAt"], state["accuracy"]) == (None, None, [])


async def test_who_may_see_it(idle_scene: Scene) -> None:
    asked = await idle_scene.execute()
    await idle_scene.grant(idle_scene.stranger.name)
    assert await idle_scene.seen(asked["id"], idle_scene.stranger) is None
    seen = await idle_scene.seen(asked["id"], idle_scene.auditor)
    assert seen is not None
    assert seen["requestedBy"] == idle_scene.researcher.name


@pytest.mark.parametrize(
    "id", ["", "nonsense", "\u00e9", "RXhlY3V0aW9uOm5vbmU", "RXhlY3V0aW9uOg", "RGF0YXNldDph", "x" * 5000]
)
async def test_there_is_no_such_execution(idle_scene: Scene, id: str) -> None:
    assert await idle_scene.seen(id) is None
    assert await idle_scene.seen(id, idle_scene.auditor) is None


async def test_a_part_of_its_rows(scene: Scene) -> None:
    ended = await scene.run(sql("SELECT ward, COUNT(*) AS n FROM df GROUP BY ward"))
    rows = ended["result"]["rows"]

    async def part(first: int, offset: int) -> object:
        answer = await scene.researcher.ask(RESULT, id=ended["id"], first=first, offset=offset)
        return answer["execution"]["result"]["rows"]

    assert await part(2, 1) == rows[1:3]
    assert await part(10_000, 0) == rows
    assert await part(0, 0) == await part(1, 2**31 - 1) == []
    for first, offset in ((10_001, 0), (-1, 0), (1, -1)):
        assert await scene.researcher.refused(RESULT, id=ended["id"], first=first, offset=offset) == "LIMIT_EXCEEDED"


# ---------------------------------------------------------------- time


@pytest.fixture
async def hasty_scene(mongo_url: str, database_name: str, tmp_path: Path) -> AsyncIterator[Scene]:
    """On a server that gives a query little time."""
    settings = {
        "AMANCAY_WORKERS__QUERY_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
        "AMANCAY_WORKERS__RELEASE_GRID_SECONDS": "0",
    }
    with serving(tmp_path / secrets.token_hex(4), mongo_url, database_name, **settings) as server:
        async with scene_on(server, tmp_path) as scene:
            yield scene


@pytest.mark.slow
async def test_what_takes_too_long_is_paid_for(hasty_scene: Scene) -> None:
    """Goal: running into the limit costs, for it depends on the data. Method: rows for many times that time."""
    many_rows().write_parquet(hasty_scene.file)
    ended = await hasty_scene.run(sql(LONG))
    assert ended["status"] == "FAILED"
    assert ended["error"] == {
        "code": "TIMEOUT",
        "message": "The query ran longer than its time limit and was stopped.",
    }
    assert ended["charged"] == ended["cost"] == {"epsilon": EPSILON, "delta": 0}
    assert ended["result"] is None
    assert await hasty_scene.spent() == (EPSILON, 0)
