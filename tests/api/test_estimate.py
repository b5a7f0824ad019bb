"""Estimates: free, and true."""

from typing import Any

import pytest

from tests.api.scene import EPSILON, LIMIT, Scene, sql

pytestmark = pytest.mark.anyio


async def test_price_affordability_and_accuracy(scene: Scene) -> None:
    async with scene.unchanged():
        estimate = await scene.estimate(sql("SELECT ward, AVG(age) AS mean FROM df GROUP BY ward"))
    assert estimate["__typename"] == "Estimate"
    assert estimate["cost"] == {"epsilon": 2 * EPSILON, "delta": 0}
    assert estimate["timesAffordable"] == 5
    figures = {entry["column"]: entry for entry in estimate["accuracy"]}
    assert len(figures) == 2
    assert all(name.startswith("mean (") for name in figures)
    assert {entry["mechanism"] for entry in figures.values()} == {"laplace"}
    assert min(entry["margin95"] for entry in figures.values()) == pytest.approx(30, rel=0.05)
    assert all(entry["scale"] > 0 for entry in figures.values())


async def test_a_gaussian_quantity_spends_delta_too(scene: Scene) -> None:
    choice = [{"statistic": "COUNT", "mechanism": "GAUSSIAN"}]
    estimate = await scene.estimate(sql(delta=1e-7, mechanisms=choice))
    assert estimate["cost"] == {"epsilon": EPSILON, "delta": 1e-7}
    assert [entry["mechanism"] for entry in estimate["accuracy"]] == ["gaussian"]


async def test_rare_groups_cost_a_threshold(scene: Scene) -> None:
    query = "SELECT name, SUM(age) AS total FROM df GROUP BY name"
    estimate = await scene.estimate(sql(query, delta=1e-6))
    assert estimate["cost"] == {"epsilon": 2 * EPSILON, "delta": 1e-6}


async def test_what_remains_decides_how_often(scene: Scene) -> None:
    assert (await scene.estimate())["timesAffordable"] == 10
    await scene.run()
    assert (await scene.estimate())["timesAffordable"] == 9
    assert (await scene.estimate(sql(epsilon=5.0)))["timesAffordable"] == 0
    assert LIMIT.epsilon == 1


@pytest.mark.parametrize(
    ("query", "path"),
    [
        (sql(epsilon=0), ["epsilon"]),
        (sql(epsilon=-1), ["epsilon"]),
        (sql(delta=2), ["delta"]),
        (sql("SELECT MIN(age) FROM df"), ["sql", "select"]),
        (sql("SELECT COUNT(*) FROM df WHERE shoe = 1"), ["sql", "where"]),
    ],
)
async def test_what_cannot_be_asked_has_no_price(scene: Scene, query: dict[str, Any], path: list[str]) -> None:
    async with scene.unchanged():
        refusal = await scene.estimate(query)
    assert (refusal["__typename"], refusal["code"], refusal["path"]) == ("InvalidQuery", "INVALID_QUERY", path)


async def test_no_dataset_and_no_grant_are_the_same(scene: Scene) -> None:
    unknown = await scene.estimate(dataset="nowhere")
    assert unknown["__typename"] == "NotFound"
    assert await scene.estimate(caller=scene.stranger) == unknown
    assert await scene.estimate(sql(epsilon=-1), caller=scene.stranger) == unknown
