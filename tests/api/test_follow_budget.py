"""`subscription { budget }`: the balance now, then every change."""

import pytest

from tests.api.documents import FOLLOW_BUDGET
from tests.api.scene import EPSILON, LIMIT, Data, Feed, Scene

pytestmark = pytest.mark.anyio


def taken(budget: Data) -> tuple[float, float]:
    """Epsilon spent and reserved."""
    return budget["spent"]["epsilon"], budget["reserved"]["epsilon"]


async def until(feed: Feed, wanted: tuple[float, float]) -> list[tuple[float, float]]:
    """What is told up to the wanted balance."""
    told = []
    async for budget in feed:
        told.append(taken(budget))
        if told[-1] == wanted:
            break
    return told


async def test_reserved_then_given_back(idle_scene: Scene) -> None:
    async with idle_scene.following(FOLLOW_BUDGET, dataset=idle_scene.dataset) as feed:
        assert taken(await anext(feed)) == (0, 0)
        asked = await idle_scene.execute()
        assert taken(await anext(feed)) == (0, EPSILON)
        await idle_scene.cancel(asked["id"])
        assert taken(await anext(feed)) == (0, 0)


async def test_reserved_then_spent(scene: Scene) -> None:
    """Goal: no balance is shown that never was. Method: one run; what is told in between may be left out."""
    async with scene.following(FOLLOW_BUDGET, dataset=scene.dataset) as feed:
        assert taken(await anext(feed)) == (0, 0)
        await scene.execute()
        told = await until(feed, (EPSILON, 0))
    assert (EPSILON, 0) in set(told) <= {(0, EPSILON), (EPSILON, 0)}


async def test_a_new_limit(idle_scene: Scene) -> None:
    async with idle_scene.following(FOLLOW_BUDGET, dataset=idle_scene.dataset) as feed:
        assert (await anext(feed))["limit"]["epsilon"] == 1
        await idle_scene.grant(idle_scene.researcher.name, LIMIT * 2)
        assert (await anext(feed))["remaining"] == {"epsilon": 2, "delta": 0.0002}


async def test_another_users_budget_is_not_told(idle_scene: Scene) -> None:
    """Goal: one grant per follower. Method: a stranger spends first; what is told next is the researcher's."""
    await idle_scene.grant(idle_scene.stranger.name)
    async with idle_scene.following(FOLLOW_BUDGET, dataset=idle_scene.dataset) as feed:
        await anext(feed)
        await idle_scene.execute(caller=idle_scene.stranger)
        await idle_scene.execute()
        assert taken(await anext(feed)) == (0, EPSILON)


async def test_there_is_no_budget(idle_scene: Scene) -> None:
    for caller in (idle_scene.stranger, idle_scene.auditor):
        for dataset in (idle_scene.dataset, "nowhere"):
            async with idle_scene.following(FOLLOW_BUDGET, caller, dataset=dataset) as feed:
                message = await feed.message()
            errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
            assert [error["extensions"]["code"] for error in errors] == ["NOT_FOUND"]
