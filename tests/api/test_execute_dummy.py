"""`executeDummy`: the same question on made-up rows, free and reproducible."""

import pytest

from amancay_storage.executions import MAX_ACTIVE_PER_USER
from tests.api.documents import DUMMY, EXECUTE
from tests.api.scene import Scene, sql

pytestmark = pytest.mark.anyio

NOTHING = {"epsilon": 0, "delta": 0}


async def test_it_is_free(scene: Scene) -> None:
    before = await scene.books()
    asked = await scene.execute_dummy(sql(epsilon=100), dummy={"rows": 50})
    assert (asked["__typename"], asked["kind"]) == ("Execution", "DUMMY")
    ended = await scene.ended(asked["id"])
    assert (ended["status"], ended["error"]) == ("SUCCEEDED", None)
    assert ended["cost"] == ended["charged"] == NOTHING
    assert abs(ended["result"]["rows"][0][0] - 50) <= 1
    after = await scene.books()
    assert (after.grant, after.cap, after.entries) == (before.grant, before.cap, before.entries)


async def test_it_never_reads_the_data(scene: Scene) -> None:
    scene.file.unlink()
    assert (await scene.ended((await scene.execute_dummy())["id"]))["status"] == "SUCCEEDED"


async def test_the_same_seed_gives_the_same_answer(scene: Scene) -> None:
    query = sql("SELECT ward, COUNT(*) AS n, AVG(age) AS mean FROM df GROUP BY ward ORDER BY ward")
    asked = [await scene.execute_dummy(query, dummy={"rows": 1000, "seed": seed}) for seed in (7, 7, 8)]
    rows = [(await scene.ended(each["id"]))["result"]["rows"] for each in asked]
    assert rows[0] == rows[1] != rows[2]
    assert len({each["id"] for each in asked}) == 3


async def test_rows_and_seed_at_their_limits(scene: Scene) -> None:
    for dummy in ({"rows": 0, "seed": 0}, {"rows": 10_000, "seed": 2**31 - 1}):
        ended = await scene.ended((await scene.execute_dummy(dummy=dummy))["id"])
        assert ended["status"] == "SUCCEEDED"
    async with scene.unchanged():
        for name, number in (("rows", -1), ("rows", 10_001), ("seed", -1)):
            refusal = await scene.execute_dummy(dummy={name: number})
            assert (refusal["code"], refusal["path"]) == ("INVALID_QUERY", ["dummy", name])


async def test_what_cannot_be_asked_cannot_be_tried(scene: Scene) -> None:
    async with scene.unchanged():
        refusal = await scene.execute_dummy(sql("SELECT MIN(age) FROM df"))
        assert (refusal["code"], refusal["path"]) == ("INVALID_QUERY", ["sql", "select"])
        unknown = await scene.execute_dummy(caller=scene.stranger)
        assert (unknown["__typename"], unknown["code"]) == ("NotFound", "NOT_FOUND")
        assert await scene.execute_dummy(caller=scene.auditor) == unknown


async def test_a_key_cannot_make_a_rehearsal_private(idle_scene: Scene) -> None:
    """Goal: kinds never mix under one key. Method: one key for both, in either order."""
    await idle_scene.execute(key="private-first")
    dummy = await idle_scene.execute_dummy(key="dummy-first")
    async with idle_scene.unchanged():
        assert (await idle_scene.execute_dummy(key="private-first"))["code"] == "CONFLICT"
        assert (await idle_scene.execute(key="dummy-first"))["code"] == "CONFLICT"
        assert (await idle_scene.execute_dummy(key="dummy-first"))["id"] == dummy["id"]


async def test_how_many_may_be_under_way(idle_scene: Scene) -> None:
    """Goal: a queue has an end. Method: as many as a user may have, and one more of either kind."""
    asked = [await idle_scene.execute_dummy() for _ in range(MAX_ACTIVE_PER_USER)]
    assert {each["status"] for each in asked} == {"QUEUED"}
    wanted = {"dataset": idle_scene.dataset, "query": sql()}
    async with idle_scene.unchanged():
        for document in (DUMMY, EXECUTE):
            assert await idle_scene.researcher.refused(document, input=wanted) == "LIMIT_EXCEEDED"
    await idle_scene.cancel(asked[0]["id"])
    assert (await idle_scene.execute())["__typename"] == "Execution"
