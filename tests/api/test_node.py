"""`node`: anything by its global id, if the caller may see it."""

import base64

import pytest

from tests.api.scene import Caller, Scene

pytestmark = pytest.mark.anyio

NODE = """
query ($id: ID!) {
  node(id: $id) { __typename id ... on User { name } ... on Dataset { name } ... on Execution { dataset } }
}
"""


def global_id(text: str) -> str:
    """Text in the form of a global id."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


async def kind(caller: Caller, id: str) -> str | None:
    """The type behind an id."""
    node = (await caller.ask(NODE, id=id))["node"]
    assert node is None or node["id"] == id
    return None if node is None else str(node["__typename"])


async def test_nodes_and_who_may_see_them(idle_scene: Scene) -> None:
    execution = (await idle_scene.execute())["id"]
    dataset, user = global_id(f"Dataset:{idle_scene.dataset}"), global_id(f"User:{idle_scene.researcher.name}")
    expected: dict[Caller, dict[str, str | None]] = {
        idle_scene.researcher: {execution: "Execution", dataset: "Dataset", user: "User"},
        idle_scene.auditor: {execution: "Execution", dataset: "Dataset", user: None},
        idle_scene.stranger: {execution: None, dataset: None, user: None},
    }
    for caller, kinds in expected.items():
        assert {node: await kind(caller, node) for node in kinds} == kinds


async def test_ids_that_others_give_are_ids(idle_scene: Scene) -> None:
    me = (await idle_scene.researcher.ask("{ me { id } }"))["me"]["id"]
    answer = await idle_scene.researcher.ask("query ($n: String!) { dataset(name: $n) { id } }", n=idle_scene.dataset)
    assert await kind(idle_scene.researcher, me) == "User"
    assert await kind(idle_scene.researcher, answer["dataset"]["id"]) == "Dataset"


@pytest.mark.parametrize(
    "id",
    [
        "",
        "nonsense",
        "\u00e9",
        "x" * 5000,
        *map(global_id, ["", ":", "Dataset:", "Dataset", "Grant:a", "Dataset:nowhere"]),
    ],
)
async def test_anything_else_is_nothing(idle_scene: Scene, id: str) -> None:
    assert await kind(idle_scene.researcher, id) is None
    assert await kind(idle_scene.auditor, id) is None
