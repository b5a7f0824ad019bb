"""`server`: what it is and what it allows."""

from importlib.metadata import version

import pytest

from tests.api.scene import Scene

pytestmark = pytest.mark.anyio

SERVER = """{ server { version libraries { library version available }
  limits { maxDepth maxTokens maxAliases maxDummyRows maxExecutionSeconds } } }"""


async def test_versions(scene: Scene) -> None:
    server = (await scene.stranger.ask(SERVER))["server"]
    assert server["version"] == version("amancay")
    assert server["libraries"] == [
        {"library": "SMARTNOISE_SQL", "version": version("smartnoise-sql"), "available": True}
    ]


async def test_limits_are_the_ones_that_hold(scene: Scene) -> None:
    limits = (await scene.stranger.ask(SERVER))["server"]["limits"]
    assert (limits["maxDummyRows"], limits["maxExecutionSeconds"]) == (10_000, 60)
    for count, code in ((limits["maxAliases"], None), (limits["maxAliases"] + 1, "LIMIT_EXCEEDED")):
        document = "{" + " ".join(f"a{number}: __typename" for number in range(count)) + "}"
        errors = (await scene.stranger.post(document)).json().get("errors", [{"extensions": {"code": None}}])
        assert errors[0]["extensions"]["code"] == code
