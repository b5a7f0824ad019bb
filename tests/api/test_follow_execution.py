"""`subscription { execution }`: the state now, then every change, complete at the end."""

import json

import pytest
from websockets.exceptions import ConnectionClosed

from tests.api.documents import FOLLOW_EXECUTION
from tests.api.scene import ENDED, Scene

pytestmark = pytest.mark.anyio


async def test_from_the_queue_to_the_end(idle_scene: Scene) -> None:
    asked = await idle_scene.execute()
    async with idle_scene.following(FOLLOW_EXECUTION, id=asked["id"]) as feed:
        now = await anext(feed)
        assert (now["id"], now["status"], now["revision"]) == (asked["id"], "QUEUED", asked["revision"])
        await idle_scene.cancel(asked["id"])
        later = [state async for state in feed]
    assert later[-1]["status"] == "CANCELLED"
    revisions = [state["revision"] for state in (now, *later)]
    assert revisions == sorted(set(revisions))


async def test_a_real_run(scene: Scene) -> None:
    asked = await scene.execute()
    async with scene.following(FOLLOW_EXECUTION, id=asked["id"]) as feed:
        states = [state async for state in feed]
    assert states[-1]["status"] == "SUCCEEDED"
    assert states[-1]["progress"] == {"fraction": 1, "stage": "Done"}
    assert not {state["status"] for state in states[:-1]} & ENDED
    revisions = [state["revision"] for state in states]
    assert revisions == sorted(set(revisions))
    fractions = [state["progress"]["fraction"] for state in states]
    assert fractions == sorted(fractions)
    assert scene.dataset not in str(states)


async def test_what_has_ended_is_told_once(scene: Scene) -> None:
    ended = await scene.run()
    async with scene.following(FOLLOW_EXECUTION, id=ended["id"]) as feed:
        states = [state async for state in feed]
    assert [(state["status"], state["revision"]) for state in states] == [("SUCCEEDED", ended["revision"])]


async def test_several_followers_see_the_same_end(idle_scene: Scene) -> None:
    asked = await idle_scene.execute()
    async with (
        idle_scene.following(FOLLOW_EXECUTION, id=asked["id"]) as mine,
        idle_scene.following(FOLLOW_EXECUTION, idle_scene.auditor, id=asked["id"]) as theirs,
    ):
        assert await anext(mine) == await anext(theirs)
        await idle_scene.cancel(asked["id"])
        assert [state async for state in mine][-1] == [state async for state in theirs][-1]


@pytest.mark.parametrize("whose", ["nobody", "somebody"])
async def test_there_is_nothing_to_follow(idle_scene: Scene, whose: str) -> None:
    """Goal: an id tells nothing. Method: the same refusal for what is not there and for what is another's."""
    asked = await idle_scene.execute()
    execution = {"nobody": "RXhlY3V0aW9uOm5vbmU", "somebody": asked["id"]}[whose]
    async with idle_scene.following(FOLLOW_EXECUTION, idle_scene.stranger, id=execution) as feed:
        message = await feed.message()
    errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
    assert [(error["message"], error["extensions"]) for error in errors] == [
        ("There is no such execution for you.", {"code": "NOT_FOUND"})
    ]


@pytest.mark.parametrize("token", ["", "nonsense"])
async def test_a_wrong_token_closes(idle_scene: Scene, token: str) -> None:
    async with idle_scene.socket(token) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4403, "A valid access token is required.")


async def test_a_mutation_is_not_taken_over_a_socket(idle_scene: Scene) -> None:
    document = "mutation ($id: ID!) { cancelExecution(id: $id) { __typename } }"
    asked = await idle_scene.execute()
    async with idle_scene.unchanged(), idle_scene.following(document, id=asked["id"]) as feed:
        message = await feed.message()
    assert message["type"] == "error"
    assert message["payload"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert "cancelExecution" not in json.dumps(message)
