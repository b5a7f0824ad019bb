"""`datasets`: the granted ones, by name; all of them for those who oversee."""

import pytest

from tests.api.documents import DATASETS
from tests.api.scene import LIMIT, Scene, every_page, nodes, register

pytestmark = pytest.mark.anyio


async def test_only_what_is_granted(scene: Scene) -> None:
    (dataset,) = nodes((await scene.researcher.ask(DATASETS))["datasets"])
    assert (dataset["name"], dataset["budget"]["limit"]["epsilon"]) == (scene.dataset, 1)
    assert nodes((await scene.stranger.ask(DATASETS))["datasets"]) == []


async def test_those_who_oversee_see_all(scene: Scene) -> None:
    await register(scene, f"{scene.dataset}-ungranted")
    names = [dataset["name"] for dataset in await every_page(scene.auditor, DATASETS, "datasets")]
    assert {scene.dataset, f"{scene.dataset}-ungranted"} <= set(names)
    assert names == sorted(set(names))


async def test_a_page_after_another(scene: Scene) -> None:
    """Goal: by name, nothing left out and nothing twice. Method: five datasets in pages of two."""
    names = [scene.dataset, *(f"{scene.dataset}-{number}" for number in range(4))]
    for name in names[1:]:
        await register(scene, name)
        await scene.store.ledger.set_grant(scene.researcher.name, name, LIMIT, actor="admin")
    first = (await scene.researcher.ask(DATASETS, first=2))["datasets"]
    info = first["pageInfo"]
    assert [node["name"] for node in nodes(first)] == names[:2]
    assert (info["hasNextPage"], info["hasPreviousPage"]) == (True, False)
    assert [info["startCursor"], info["endCursor"]] == [edge["cursor"] for edge in first["edges"]]
    paged = await every_page(scene.researcher, DATASETS, "datasets", first=2)
    assert [node["name"] for node in paged] == names


async def test_pages_at_their_limits(scene: Scene) -> None:
    assert (await scene.researcher.ask(DATASETS, first=0))["datasets"]["edges"] == []
    assert len((await scene.researcher.ask(DATASETS, first=100))["datasets"]["edges"]) == 1
    for caller in (scene.researcher, scene.auditor):
        for first in (-1, 101):
            assert await caller.refused(DATASETS, first=first) == "LIMIT_EXCEEDED"
        for after in ("", "nonsense", "WyJ0IiwgMSwgImEiXQ=="):
            assert await caller.refused(DATASETS, after=after) == "BAD_USER_INPUT"
