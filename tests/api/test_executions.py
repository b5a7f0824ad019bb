"""`executions`: the archive, the newest first, in pages."""

from typing import Any

import pytest

from tests.api.documents import EXECUTIONS
from tests.api.scene import Scene, every_page, nodes

pytestmark = pytest.mark.anyio


async def listed(scene: Scene, caller: str = "researcher", **filter: Any) -> list[str]:
    """The ids on this dataset that pass a filter."""
    wanted = {"dataset": scene.dataset, **filter}
    return [node["id"] for node in await every_page(getattr(scene, caller), EXECUTIONS, "executions", filter=wanted)]


async def test_a_page_after_another(idle_scene: Scene) -> None:
    """Goal: the newest first, nothing left out and nothing twice. Method: five executions in pages of two."""
    newest_first = [(await idle_scene.execute())["id"] for _ in range(5)][::-1]
    first = (await idle_scene.researcher.ask(EXECUTIONS, first=2))["executions"]
    info = first["pageInfo"]
    assert (info["hasNextPage"], info["hasPreviousPage"]) == (True, False)
    assert [info["startCursor"], info["endCursor"]] == [edge["cursor"] for edge in first["edges"]]
    second = (await idle_scene.researcher.ask(EXECUTIONS, first=2, after=info["endCursor"]))["executions"]
    assert (second["pageInfo"]["hasNextPage"], second["pageInfo"]["hasPreviousPage"]) == (True, True)
    paged = await every_page(idle_scene.researcher, EXECUTIONS, "executions", first=2)
    assert [node["id"] for node in paged] == newest_first
    assert [node["id"] for node in nodes(first) + nodes(second)] == newest_first[:4]


async def test_a_page_keeps_its_place(idle_scene: Scene) -> None:
    """Goal: what is new does not shift what follows. Method: another execution between two pages."""
    older, newer = [(await idle_scene.execute())["id"] for _ in range(2)]
    page = (await idle_scene.researcher.ask(EXECUTIONS, first=1))["executions"]
    await idle_scene.execute()
    rest = (await idle_scene.researcher.ask(EXECUTIONS, after=page["pageInfo"]["endCursor"]))["executions"]
    assert [node["id"] for node in nodes(page) + nodes(rest)] == [newer, older]


async def test_pages_at_their_limits(idle_scene: Scene) -> None:
    await idle_scene.execute()
    empty = (await idle_scene.researcher.ask(EXECUTIONS, first=0))["executions"]
    assert (empty["edges"], empty["pageInfo"]["endCursor"]) == ([], None)
    assert len((await idle_scene.researcher.ask(EXECUTIONS, first=100))["executions"]["edges"]) == 1
    for first in (-1, 101):
        assert await idle_scene.researcher.refused(EXECUTIONS, first=first) == "LIMIT_EXCEEDED"
    for after in ("", "nonsense", "\u00e9", "WyJuIiwgImEiXQ==", "WyJ0IiwgMWU5OTksICJhIl0=", "x" * 5000):
        assert await idle_scene.researcher.refused(EXECUTIONS, after=after) == "BAD_USER_INPUT"


async def test_who_sees_whose(idle_scene: Scene) -> None:
    await idle_scene.grant(idle_scene.stranger.name)
    mine, theirs = await idle_scene.execute(), await idle_scene.execute(caller=idle_scene.stranger)
    assert await listed(idle_scene) == [mine["id"]]
    assert await listed(idle_scene, "stranger") == [theirs["id"]]
    assert await listed(idle_scene, user=idle_scene.stranger.name) == []
    assert await listed(idle_scene, "auditor") == [theirs["id"], mine["id"]]
    assert await listed(idle_scene, "auditor", user=idle_scene.stranger.name) == [theirs["id"]]


async def test_filters(idle_scene: Scene) -> None:
    private, dummy, stopped = (
        await idle_scene.execute(),
        await idle_scene.execute_dummy(),
        await idle_scene.execute(),
    )
    await idle_scene.cancel(stopped["id"])
    assert await listed(idle_scene, kind="DUMMY") == [dummy["id"]]
    assert await listed(idle_scene, status=["CANCELLED"]) == [stopped["id"]]
    assert await listed(idle_scene, status=["CANCELLED", "QUEUED"], kind="PRIVATE") == [stopped["id"], private["id"]]
    assert await listed(idle_scene, status=["SUCCEEDED"]) == []
    assert len(await listed(idle_scene, status=[], library=["SMARTNOISE_SQL"])) == 3
    assert await listed(idle_scene, dataset="another") == []


async def test_filters_by_time(idle_scene: Scene) -> None:
    asked = await idle_scene.execute()
    at = asked["submittedAt"]
    assert await listed(idle_scene, since=at) == [asked["id"]]
    assert await listed(idle_scene, until=at) == []
    assert await listed(idle_scene, since="2020-01-01", until="2100-01-01T00:00:00+02:00") == [asked["id"]]
    assert await listed(idle_scene, since="2100-01-01T00:00:00Z") == []
    for wrong in ("yesterday", "0001-01-01T00:00:00+23:00", "2026-13-01"):
        assert await idle_scene.researcher.refused(EXECUTIONS, filter={"since": wrong}) == "BAD_USER_INPUT"
