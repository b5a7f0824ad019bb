"""`me`: who is asking, and that nobody else gets in."""

import secrets
from datetime import timedelta

import pytest
from pymongo import MongoClient

from amancay_storage.users import Role
from tests.api.documents import ME
from tests.api.scene import LIMIT, Caller, Scene, issuer_in, nodes

pytestmark = pytest.mark.anyio

SECRET = "hush-4711"
NAME = "{ me { name } }"


async def test_who_is_asking(scene: Scene) -> None:
    me = (await scene.researcher.ask(ME))["me"]
    assert (me["name"], me["role"], me["active"]) == (scene.researcher.name, "RESEARCHER", True)
    assert me["email"] == "mara@example.org"
    assert (await scene.auditor.ask(ME))["me"]["role"] == "AUDITOR"


async def test_the_grants_and_their_ledger(scene: Scene) -> None:
    (grant,) = nodes((await scene.researcher.ask(ME))["me"]["grants"])
    assert (grant["user"], grant["dataset"]) == (scene.researcher.name, scene.dataset)
    nothing, everything = {"epsilon": 0, "delta": 0}, {"epsilon": 1, "delta": 0.0001}
    assert grant["budget"] == {"limit": everything, "spent": nothing, "reserved": nothing, "remaining": everything}
    (entry,) = nodes(grant["ledger"])
    assert (entry["kind"], entry["loss"], entry["actor"], entry["execution"]) == ("GRANT", everything, "admin", None)
    assert nodes((await scene.stranger.ask(ME))["me"]["grants"]) == []


async def test_pages_of_grants(scene: Scene) -> None:
    names = [f"{scene.dataset}-{number}" for number in range(3)]
    for name in names:
        await scene.store.ledger.set_grant(scene.stranger.name, name, LIMIT, actor="admin")
    page = (await scene.stranger.ask(ME, first=2))["me"]["grants"]
    assert [node["dataset"] for node in nodes(page)] == names[:2]
    assert (page["pageInfo"]["hasNextPage"], page["pageInfo"]["hasPreviousPage"]) == (True, False)
    rest = (await scene.stranger.ask(ME, first=2, after=page["pageInfo"]["endCursor"]))["me"]["grants"]
    assert [node["dataset"] for node in nodes(rest)] == names[2:]
    assert (rest["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasPreviousPage"]) == (False, True)


async def test_pages_of_a_ledger(scene: Scene) -> None:
    """Goal: the newest first, nothing twice. Method: three limits, read one entry at a time."""
    for times in (2, 3):
        await scene.grant(scene.researcher.name, LIMIT * times)
    seen: list[float] = []
    cursor = None
    for _ in range(3):
        (grant,) = nodes((await scene.researcher.ask(ME, entries=1, entry=cursor))["me"]["grants"])
        (entry,) = nodes(grant["ledger"])
        seen.append(entry["loss"]["epsilon"])
        cursor = grant["ledger"]["pageInfo"]["endCursor"]
    assert seen == [3, 2, 1]
    assert not grant["ledger"]["pageInfo"]["hasNextPage"]


async def test_pages_at_their_limits(scene: Scene) -> None:
    assert nodes((await scene.researcher.ask(ME, first=0))["me"]["grants"]) == []
    assert len(nodes((await scene.researcher.ask(ME, first=100, entries=100))["me"]["grants"])) == 1
    for name in ("first", "entries"):
        for number in (101, -1):
            assert await scene.researcher.refused(ME, **{name: number}) == "LIMIT_EXCEEDED"
    for name in ("after", "entry"):
        for cursor in ("nonsense", ""):
            assert await scene.researcher.refused(ME, **{name: cursor}) == "BAD_USER_INPUT"


# ---------------------------------------------------------------- who does not get in


async def test_every_wrong_token_gets_the_same_answer(scene: Scene) -> None:
    issuer = issuer_in(scene.server.data_dir)
    tokens = [
        "nonsense",
        scene.researcher.token[:-4] + "AAAA",
        issuer.token(scene.researcher.name, timedelta(minutes=-5)),
        issuer.token("nobody-knows-me"),
        issuer.token(""),
    ]
    http, url = scene.researcher.http, scene.server.url
    headers = [{}, *({"authorization": f"Bearer {token}"} for token in tokens), {"authorization": "Basic YTpi"}]
    answers = [await http.post(url, json={"query": NAME}, headers=each) for each in headers]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    (error,) = answers[0].json()["errors"]
    assert (error["extensions"]["code"], error["message"]) == ("UNAUTHENTICATED", "A valid access token is required.")


async def test_an_inactive_user_is_nobody(scene: Scene) -> None:
    assert await scene.researcher.ask(NAME)
    with MongoClient[dict[str, object]](scene.server.mongo_url) as client:
        client[scene.server.database]["users"].update_one({"_id": scene.researcher.name}, {"$set": {"active": False}})
    answer = await scene.researcher.post(NAME)
    assert answer.status_code == 401
    assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_user_is_known_from_the_moment_it_is_made(scene: Scene) -> None:
    name = f"new-{secrets.token_hex(4)}"
    caller = Caller(name=name, server=scene.server, http=scene.researcher.http)
    assert (await caller.post(NAME)).status_code == 401
    await scene.store.users.create(name, None, Role.RESEARCHER, "admin")
    assert await caller.ask(NAME) == {"me": {"name": name}}


# ---------------------------------------------------------------- requests


async def test_a_fault_is_masked(scene: Scene) -> None:
    """Goal: no library's text leaves. Method: a stored dataset that no longer parses, and quotes a secret."""
    with MongoClient[dict[str, object]](scene.server.mongo_url) as client:
        client[scene.server.database]["datasets"].update_one(
            {"_id": scene.dataset}, {"$set": {"metadata": f'{{"{SECRET}'}}
        )
    for document in ("{ dataset(name: $name) { name } }", "{ me { name } dataset(name: $name) { columns { name } } }"):
        answer = await scene.researcher.post(f"query ($name: String!) {document}", name=scene.dataset)
        (error,) = answer.json()["errors"]
        assert error["message"] == "Something went wrong on our side."
        assert error["extensions"] == {"code": "INTERNAL"}
        assert not any(word in answer.text for word in (SECRET, "JSON", "Error", "Traceback", ".py"))


async def test_of_several_operations_one_must_be_named(scene: Scene) -> None:
    document = "query A { me { name } } query B { me { role } }"
    assert await scene.researcher.refused(document) == "BAD_USER_INPUT"
    assert await scene.researcher.ask(document, operation="B") == {"me": {"role": "RESEARCHER"}}
    assert await scene.researcher.refused(document, operation="C") == "BAD_USER_INPUT"
