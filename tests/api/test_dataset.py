"""`dataset`: the owner's declaration and the caller's budget, never the data."""

from typing import Any

import pytest

from tests.api.documents import DATASET, DUMMY_ROWS
from tests.api.scene import METADATA, ROWS, WARDS, Scene, nodes

pytestmark = pytest.mark.anyio

EXECUTIONS_ON = """
query ($name: String!, $first: Int! = 20, $filter: ExecutionFilter) {
  dataset(name: $name) { executions(first: $first, filter: $filter) { edges { node { id } } } }
}
"""


async def test_what_the_owner_declares(scene: Scene) -> None:
    dataset = (await scene.researcher.ask(DATASET, name=scene.dataset))["dataset"]
    assert (dataset["name"], dataset["rows"]) == (scene.dataset, ROWS)
    assert dataset["description"] == "A table made for one test."
    assert dataset["libraries"] == ["SMARTNOISE_SQL"]
    assert dataset["privacyUnit"] == {"kind": "ROW", "column": None, "maxContributions": 1}
    assert dataset["budget"]["remaining"] == {"epsilon": 1, "delta": 0.0001}
    ward, name, age, weight, active, seen = dataset["columns"]
    plain = {"nullable": False, "description": None}
    assert ward == {
        "__typename": "StringColumn",
        "name": "ward",
        "nullable": False,
        "description": "Where.",
        "texts": list(WARDS),
    }
    assert name == {"__typename": "StringColumn", "name": "name", "texts": None, **plain}
    assert (age["lowest"], age["highest"], age["integers"], age["bits"]) == (0, 100, None, 64)
    assert (weight["lower"], weight["upper"], weight["nullable"]) == (0, 200, True)
    assert active == {"__typename": "BooleanColumn", "name": "active", **plain}
    assert (seen["from"], seen["to"]) == ("2024-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z")


async def test_those_who_oversee_see_it_without_a_budget(scene: Scene) -> None:
    dataset = (await scene.auditor.ask(DATASET, name=scene.dataset))["dataset"]
    assert (dataset["name"], dataset["budget"]) == (scene.dataset, None)


@pytest.mark.parametrize("name", ["nowhere", "", "a:b", "$where", "x" * 5000, "\u00e9\u0000"])
async def test_no_dataset_and_no_grant_are_the_same(scene: Scene, name: str) -> None:
    assert await scene.researcher.ask(DATASET, name=name) == {"dataset": None}
    assert await scene.stranger.ask(DATASET, name=scene.dataset) == {"dataset": None}


async def test_its_executions(scene: Scene) -> None:
    """Goal: its own only, and the caller's. Method: a stranger's, and a filter that names another dataset."""
    await scene.grant(scene.stranger.name)
    mine, theirs = await scene.execute_dummy(), await scene.execute_dummy(caller=scene.stranger)

    async def listed(**variables: Any) -> list[str]:
        answer = await scene.researcher.ask(EXECUTIONS_ON, name=scene.dataset, **variables)
        return [node["id"] for node in nodes(answer["dataset"]["executions"])]

    assert await listed() == [mine["id"]]
    assert await listed(filter={"dataset": "another"}) == []
    assert await listed(filter={"user": scene.stranger.name}) == []
    answer = await scene.auditor.ask(EXECUTIONS_ON, name=scene.dataset)
    assert {node["id"] for node in nodes(answer["dataset"]["executions"])} == {mine["id"], theirs["id"]}


# ---------------------------------------------------------------- dummy rows


async def test_dummy_rows_fit_the_declaration(scene: Scene) -> None:
    async with scene.unchanged():
        table = (await scene.researcher.ask(DUMMY_ROWS, name=scene.dataset))["dataset"]["dummy"]
    assert [column["name"] for column in table["columns"]] == list(METADATA["columns"])
    assert table["rowCount"] == len(table["rows"]) == 100
    assert {row[0] for row in table["rows"]} == set(WARDS)
    assert all(0 <= row[2] <= 100 for row in table["rows"])
    assert None in {row[3] for row in table["rows"]}


async def test_dummy_rows_follow_from_their_seed(scene: Scene) -> None:
    async def rows(seed: int) -> Any:
        answer = await scene.researcher.ask(DUMMY_ROWS, name=scene.dataset, rows=20, seed=seed)
        return answer["dataset"]["dummy"]["rows"]

    assert await rows(1) == await rows(1) != await rows(2)


async def test_dummy_rows_do_not_know_the_data(scene: Scene) -> None:
    scene.file.unlink()
    table = (await scene.researcher.ask(DUMMY_ROWS, name=scene.dataset, rows=3))["dataset"]["dummy"]
    assert table["rowCount"] == 3
    assert "secret" not in str(table)


async def test_dummy_rows_at_their_limits(scene: Scene) -> None:
    for rows, seed in ((0, 0), (10_000, 2**31 - 1)):
        answer = await scene.researcher.ask(DUMMY_ROWS, name=scene.dataset, rows=rows, seed=seed)
        assert answer["dataset"]["dummy"]["rowCount"] == rows
    for variables in ({"rows": 10_001}, {"rows": -1}, {"seed": -1}, {"seed": 2**31}):
        assert await scene.researcher.refused(DUMMY_ROWS, name=scene.dataset, **variables) == "BAD_USER_INPUT"
