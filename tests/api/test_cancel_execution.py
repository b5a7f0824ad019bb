"""`cancelExecution`: free before the data is read, paid for after, and for the asker only."""

import base64

import pytest

from amancay_storage.ledger import EntryKind
from tests.api.scene import EPSILON, LONG, Scene, many_rows, sql

pytestmark = pytest.mark.anyio

READING = "Reading the data and adding noise"
CANCELLED = {"code": "CANCELLED", "message": "The execution was cancelled."}


async def test_what_waits_is_free(idle_scene: Scene) -> None:
    before = await idle_scene.books()
    asked = await idle_scene.execute()
    assert asked["status"] == "QUEUED"
    assert await idle_scene.spent() == (0, EPSILON)
    answer = await idle_scene.cancel(asked["id"])
    assert (answer["__typename"], answer["id"], answer["status"]) == ("Execution", asked["id"], "CANCELLED")
    assert answer["error"] == CANCELLED
    assert answer["charged"] == {"epsilon": 0, "delta": 0}
    assert answer["finishedAt"] is not None
    assert answer["startedAt"] is None
    after = await idle_scene.books()
    assert (after.grant, after.cap) == (before.grant, before.cap)
    assert after.entries[0].kind is EntryKind.VOID


async def test_again_changes_nothing(idle_scene: Scene) -> None:
    asked = await idle_scene.execute()
    answer = await idle_scene.cancel(asked["id"])
    async with idle_scene.unchanged():
        assert await idle_scene.cancel(asked["id"]) == answer


async def test_a_cancelled_key_stays_used(idle_scene: Scene) -> None:
    asked = await idle_scene.execute(key="k")
    await idle_scene.cancel(asked["id"])
    async with idle_scene.unchanged():
        again = await idle_scene.execute(key="k")
    assert (again["id"], again["status"]) == (asked["id"], "CANCELLED")


async def test_what_has_ended_stays(scene: Scene) -> None:
    ended = await scene.run()
    async with scene.unchanged():
        assert await scene.cancel(ended["id"]) == {"__typename": "Execution", **ended}


async def test_what_reads_is_stopped_and_paid_for(scene: Scene) -> None:
    """Goal: a stop after the first row costs. Method: a long query, cancelled once it says that it reads."""
    many_rows().write_parquet(scene.file)
    asked = await scene.execute(sql(LONG))
    await scene.reaches(asked["id"], READING)
    answer = await scene.cancel(asked["id"])
    assert answer["status"] == "RUNNING"
    ended = await scene.ended(asked["id"])
    assert (ended["status"], ended["error"], ended["result"]) == ("CANCELLED", CANCELLED, None)
    assert ended["charged"] == ended["cost"] == {"epsilon": EPSILON, "delta": 0}
    assert await scene.spent() == (EPSILON, 0)


async def test_unknown_and_somebody_elses_are_the_same(idle_scene: Scene) -> None:
    asked = await idle_scene.execute()
    dataset = base64.urlsafe_b64encode(f"Dataset:{idle_scene.dataset}".encode()).decode().rstrip("=")
    async with idle_scene.unchanged():
        unknown = await idle_scene.cancel("RXhlY3V0aW9uOm5vbmU")
        assert (unknown["__typename"], unknown["code"]) == ("NotFound", "NOT_FOUND")
        for nonsense in ("", "nonsense", "\u00e9", dataset, "x" * 5000, asked["id"] + "=="):
            assert await idle_scene.cancel(nonsense) == unknown
        for caller in (idle_scene.stranger, idle_scene.auditor):
            assert await idle_scene.cancel(asked["id"], caller) == unknown
    assert (await idle_scene.cancel(asked["id"]))["status"] == "CANCELLED"
