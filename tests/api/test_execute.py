"""`execute`: one charge, one answer; a refusal costs nothing."""

import asyncio
import base64
import json

import polars as pl
import pytest

from amancay_engine.privacy import NOTHING, PrivacyLoss
from amancay_storage.ledger import EntryKind
from tests.api.documents import EXECUTE, ME
from tests.api.scene import COUNT, EPSILON, LIMIT, ROWS, WARDS, Data, Scene, nodes, register, sql

pytestmark = pytest.mark.anyio

GROUPS = "SELECT ward, COUNT(*) AS n, SUM(age) AS total FROM df GROUP BY ward ORDER BY ward"
NO_DATASET = "There is no such dataset for you: check the name, or ask for a grant."


async def test_an_answer(scene: Scene) -> None:
    """Goal: everything that an execution promises. Method: one query from its estimate to its ledger entry."""
    query = sql(GROUPS, epsilon=0.25)
    estimate = await scene.estimate(query)
    asked = await scene.execute(query)
    assert asked["__typename"] == "Execution"
    assert (asked["dataset"], asked["requestedBy"]) == (scene.dataset, scene.researcher.name)
    assert (asked["library"], asked["kind"]) == ("SMARTNOISE_SQL", "PRIVATE")
    ended = await scene.ended(asked["id"])
    assert (ended["status"], ended["error"]) == ("SUCCEEDED", None)
    assert ended["progress"] == {"fraction": 1.0, "stage": "Done"}
    assert ended["charged"] == ended["cost"] == estimate["cost"] == {"epsilon": 0.5, "delta": 0}
    assert ended["accuracy"] == estimate["accuracy"]
    assert ended["revision"] > asked["revision"]
    assert ended["submittedAt"] <= ended["startedAt"] <= ended["finishedAt"]
    assert ended["finishedAt"].endswith("Z")
    assert (ended["query"]["sql"], ended["query"]["epsilon"]) == (GROUPS, 0.25)
    assert await scene.spent() == (0.5, 0)


async def test_the_table_of_an_answer(scene: Scene) -> None:
    ended = await scene.run(sql(GROUPS, epsilon=0.5))
    table = ended["result"]
    frame = pl.read_ipc_stream(base64.b64decode(table["arrow"]))
    assert [column["name"] for column in table["columns"]] == frame.columns == ["ward", "n", "total"]
    assert [row[0] for row in table["rows"]] == frame["ward"].to_list() == sorted(WARDS)
    assert [list(row) for row in frame.iter_rows()] == table["rows"]
    assert table["rowCount"] == len(table["rows"]) == 3
    assert sum(row[1] for row in table["rows"]) == pytest.approx(ROWS, abs=150)


async def test_the_ledger_of_an_answer(scene: Scene) -> None:
    ended = await scene.run(sql(epsilon=0.25))
    (grant,) = nodes((await scene.researcher.ask(ME))["me"]["grants"])
    entries = nodes(grant["ledger"])
    assert [entry["kind"] for entry in entries] == ["COMMIT", "GRANT"]
    assert entries[0]["loss"] == {"epsilon": 0.25, "delta": 0}
    assert (entries[0]["execution"], entries[0]["actor"]) == (ended["id"], scene.researcher.name)
    assert grant["budget"]["spent"] == {"epsilon": 0.25, "delta": 0}
    assert grant["budget"]["remaining"]["epsilon"] == 0.75


async def test_the_cap_pays_too(scene: Scene) -> None:
    await scene.run(sql(epsilon=0.25))
    cap = await scene.store.ledger.cap(scene.dataset)
    assert cap is not None
    assert (cap.spent, cap.reserved) == (PrivacyLoss(epsilon_nano=250_000_000, delta_atto=0), NOTHING)


# ---------------------------------------------------------------- input


@pytest.mark.parametrize(
    ("query", "path", "words"),
    [
        (sql(epsilon=0), ["epsilon"], "above 0"),
        (sql(epsilon=-0.5), ["epsilon"], "above 0"),
        (sql(epsilon=1e7), ["epsilon"], "at most 1000000"),
        (sql(delta=0), ["delta"], "above 0 and below 1"),
        (sql(delta=-1e-9), ["delta"], "above 0 and below 1"),
        (sql(delta=1), ["delta"], "above 0 and below 1"),
        (sql("SELECT COUNT(shoe) FROM df"), ["sql", "select"], "the columns are ward, name, age"),
        (sql("SELECT COUNT(*) FROM df WHERE shoe > 1"), ["sql", "where"], "there is no column 'shoe'"),
        (sql("DELETE FROM df"), ["sql"], "ask one SELECT over the table df"),
        (sql(f"{COUNT}; {COUNT}"), ["sql"], "ask one SELECT over the table df"),
        (sql("SELECT COUNT(*) FROM users"), ["sql", "from"], "only one table here, df"),
        (sql("SELECT COUNT(* FROM df"), ["sql"], "cannot be read"),
        (sql(""), ["sql"], "ask one SELECT"),
        (sql("SELECT MIN(age) FROM df"), ["sql", "select"], "what can be asked is COUNT"),
        (sql("SELECT age FROM df"), ["sql", "select"], "COUNT, COUNT(DISTINCT ...), SUM, AVG"),
        (sql("SELECT COUNT(*) FROM df JOIN df AS other ON TRUE"), ["sql"], "ask one SELECT over the single table df"),
        (sql("SELECT COUNT(*) FROM (SELECT * FROM df) AS inside"), ["sql", "from"], "not a subquery"),
        (sql("SELECT COUNT(*) FROM df WHERE age IN (SELECT age FROM df)"), ["sql", "where"], "subquery"),
        (sql("SELECT COUNT(*) FROM read_csv('/etc/passwd')"), ["sql", "from"], "SELECT ... FROM df"),
        (sql("SELECT name, COUNT(*) FROM df GROUP BY name", censorDims=False), ["censorDims"], "private"),
        (
            sql(mechanisms=[{"statistic": "COUNT", "mechanism": kind} for kind in ("LAPLACE", "GAUSSIAN")]),
            ["mechanisms"],
            "one mechanism",
        ),
    ],
)
async def test_what_cannot_be_asked(scene: Scene, query: Data, path: list[str], words: str) -> None:
    async with scene.unchanged():
        refusal = await scene.execute(query)
    assert (refusal["__typename"], refusal["code"]) == ("InvalidQuery", "INVALID_QUERY")
    assert refusal["path"] == path
    assert words in refusal["message"]


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" + "0" * 400])
@pytest.mark.parametrize("field", ["epsilon", "delta"])
async def test_numbers_that_are_not_finite(scene: Scene, number: str, field: str) -> None:
    """Goal: no infinity reaches a price. Method: literals that GraphQL itself would take for one."""
    numbers = {"epsilon": "0.1", field: number}
    asked = ", ".join(f"{name}: {value}" for name, value in numbers.items())
    document = f"""mutation {{ execute(input: {{ dataset: "{scene.dataset}", query: {{ smartnoiseSql: {{
        sql: "{COUNT}", {asked} }} }} }}) {{ __typename }} }}"""
    async with scene.unchanged():
        assert await scene.researcher.refused(document) == "BAD_USER_INPUT"


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity", "1" + "0" * 400])
async def test_variables_that_are_not_finite(scene: Scene, number: str) -> None:
    """Goal: as above, for variables. Method: JSON that only a lenient reader takes."""
    body = json.dumps({"query": EXECUTE, "variables": {"input": {"dataset": scene.dataset, "query": sql(epsilon=7)}}})
    headers = {"authorization": f"Bearer {scene.researcher.token}", "content-type": "application/json"}
    async with scene.unchanged():
        answer = await scene.researcher.http.post(
            scene.server.url, content=body.replace('"epsilon": 7', f'"epsilon": {number}'), headers=headers
        )
    assert [error["extensions"]["code"] for error in answer.json()["errors"]] == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("query", [{}, {"smartnoiseSql": None}, {"opendp": {}}])
async def test_exactly_one_library_is_asked(scene: Scene, query: Data) -> None:
    async with scene.unchanged():
        asked = {"dataset": scene.dataset, "query": query}
        assert await scene.researcher.refused(EXECUTE, input=asked) == "BAD_USER_INPUT"


async def test_a_library_that_the_dataset_does_not_allow(scene: Scene) -> None:
    name = f"{scene.dataset}-closed"
    await register(scene, name, libraries=())
    await scene.store.ledger.set_cap(name, LIMIT, actor="admin")
    await scene.store.ledger.set_grant(scene.researcher.name, name, LIMIT, actor="admin")
    refusal = await scene.execute(dataset=name)
    assert (refusal["code"], refusal["path"]) == ("INVALID_QUERY", ["query"])
    balance = await scene.store.ledger.grant(scene.researcher.name, name)
    assert balance is not None
    assert balance.remaining == LIMIT


async def test_a_harmless_cast(scene: Scene) -> None:
    """Goal: no row decides whether there is an error. Method: a cast that fits none of them."""
    query = "SELECT COUNT(*) AS n FROM df WHERE CAST(name AS INTEGER) = 1"
    ended = await scene.run(sql(query, epsilon=0.5))
    assert (ended["status"], ended["error"]) == ("SUCCEEDED", None)
    assert abs(ended["result"]["rows"][0][0]) < 60
    assert await scene.spent() == (0.5, 0)


# ---------------------------------------------------------------- existence and budget


async def test_no_dataset_and_no_grant_are_the_same(scene: Scene) -> None:
    async with scene.unchanged():
        unknown = await scene.execute(dataset="nowhere")
        assert (unknown["__typename"], unknown["message"]) == ("NotFound", NO_DATASET)
        for name in ("", "a:b", "x" * 1000, "\u00e9", "grant:mara"):
            assert await scene.execute(dataset=name) == unknown
        assert await scene.execute(caller=scene.stranger) == unknown
        assert await scene.execute(caller=scene.auditor) == unknown


async def test_a_grant_without_a_dataset_is_no_dataset(scene: Scene) -> None:
    await scene.store.ledger.set_grant(scene.researcher.name, f"{scene.dataset}-lost", LIMIT, actor="admin")
    assert await scene.execute(dataset=f"{scene.dataset}-lost") == await scene.execute(dataset="nowhere")


async def test_more_than_remains(scene: Scene) -> None:
    await scene.run(sql(epsilon=0.75))
    async with scene.unchanged():
        refusal = await scene.execute(sql(epsilon=0.5))
    assert (refusal["__typename"], refusal["code"]) == ("BudgetExceeded", "BUDGET_EXCEEDED")
    assert refusal["requested"] == {"epsilon": 0.5, "delta": 0}
    assert refusal["remaining"] == {"epsilon": 0.25, "delta": 0.0001}
    assert (await scene.execute(sql(epsilon=0.25)))["__typename"] == "Execution"


async def test_more_delta_than_remains(scene: Scene) -> None:
    choice = [{"statistic": "COUNT", "mechanism": "GAUSSIAN"}]
    async with scene.unchanged():
        refusal = await scene.execute(sql(delta=1e-3, mechanisms=choice))
    assert refusal["requested"] == {"epsilon": EPSILON, "delta": 1e-3}
    assert refusal["code"] == "BUDGET_EXCEEDED"


async def test_more_than_the_cap_has_left(scene: Scene) -> None:
    """Goal: a grant beyond the dataset's own cap buys nothing. Method: a cap of a quarter, used by another."""
    await scene.store.ledger.set_cap(scene.dataset, PrivacyLoss(epsilon_nano=250_000_000, delta_atto=0), actor="admin")
    await scene.grant(scene.stranger.name)
    await scene.run(sql(epsilon=0.125))
    async with scene.unchanged():
        refusal = await scene.execute(sql(epsilon=0.25), caller=scene.stranger)
    assert (refusal["code"], refusal["remaining"]) == ("BUDGET_EXCEEDED", {"epsilon": 0.125, "delta": 0})


async def test_the_order_of_refusals(scene: Scene) -> None:
    """Goal: existence, input, conflict, budget. Method: each refused although what comes later is wrong too."""
    await scene.run(key="used")
    async with scene.unchanged():
        wrong = sql("SELECT MIN(age) FROM df", epsilon=5)
        answers = [
            await scene.execute(wrong, key="used", dataset="nowhere"),
            await scene.execute(wrong, key="used"),
            await scene.execute(sql(epsilon=5), key="x" * 129),
            await scene.execute(sql(epsilon=5), key="used"),
            await scene.execute(sql(epsilon=5), key="new"),
        ]
        assert (await scene.researcher.post(EXECUTE, input={})).json()["errors"][0]["extensions"] == {
            "code": "BAD_USER_INPUT"
        }
    kinds = ["NotFound", "InvalidQuery", "InvalidQuery", "Conflict", "BudgetExceeded"]
    assert [answer["__typename"] for answer in answers] == kinds


async def test_no_token_comes_before_everything(scene: Scene) -> None:
    async with scene.unchanged():
        answer = await scene.researcher.http.post(scene.server.url, json={"query": EXECUTE, "variables": {}})
        assert answer.status_code == 401
        assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


# ---------------------------------------------------------------- idempotency


async def test_a_key_is_charged_once(scene: Scene) -> None:
    first = await scene.run(key="k")
    second = await scene.execute(key="k")
    assert second == {"__typename": "Execution", **first}
    assert await scene.spent() == (EPSILON, 0)
    assert len((await scene.books()).executions) == 1


async def test_a_key_used_for_something_else(scene: Scene) -> None:
    await scene.run(key="k")
    async with scene.unchanged():
        for other in (sql(epsilon=0.2), sql(delta=1e-7), sql("SELECT SUM(age) AS n FROM df"), sql(postprocess=False)):
            refusal = await scene.execute(other, key="k")
            assert (refusal["__typename"], refusal["code"]) == ("Conflict", "CONFLICT")


async def test_a_key_belongs_to_its_user(scene: Scene) -> None:
    await scene.grant(scene.stranger.name)
    mine, theirs = await scene.execute(key="k"), await scene.execute(sql(epsilon=0.2), key="k", caller=scene.stranger)
    assert theirs["requestedBy"] == scene.stranger.name
    assert theirs["id"] != mine["id"]


async def test_requests_at_once_with_one_key(scene: Scene) -> None:
    """Goal: a client that repeats itself is charged once. Method: ten identical requests race."""
    answers = await asyncio.gather(*(scene.execute(key="k") for _ in range(10)))
    assert len({answer["id"] for answer in answers}) == 1
    assert (await scene.ended(answers[0]["id"]))["status"] == "SUCCEEDED"
    assert await scene.spent() == (EPSILON, 0)
    assert len((await scene.books()).executions) == 1


async def test_keys_at_their_limits(idle_scene: Scene) -> None:
    for key in ("k", "k" * 128):
        assert (await idle_scene.execute(key=key))["__typename"] == "Execution"
    async with idle_scene.unchanged():
        for key in ("", "k" * 129):
            refusal = await idle_scene.execute(key=key)
            assert (refusal["code"], refusal["path"]) == ("INVALID_QUERY", ["idempotencyKey"])


async def test_without_a_key_every_request_is_another(scene: Scene) -> None:
    assert (await scene.execute())["id"] != (await scene.execute())["id"]


# ---------------------------------------------------------------- races and failures


async def test_racing_for_the_last_of_a_grant(scene: Scene) -> None:
    """Goal: no interleaving overspends. Method: forty executions race for a grant with room for ten."""
    answers = await asyncio.gather(*(scene.execute() for _ in range(40)))
    refused = [answer for answer in answers if answer["__typename"] == "BudgetExceeded"]
    queued = [answer["id"] for answer in answers if answer["__typename"] == "Execution"]
    assert (len(refused), len(queued)) == (30, 10)
    ended = [await scene.ended(execution) for execution in queued]
    assert {state["status"] for state in ended} == {"SUCCEEDED"}
    assert await scene.spent() == (1.0, 0)
    books = await scene.books()
    assert len(books.executions) == 10
    assert [entry.kind for entry in books.entries].count(EntryKind.COMMIT) == 10
    assert await scene.store.ledger.check() == []


async def test_damaged_data_is_paid_for(scene: Scene) -> None:
    """Goal: a failure after reading costs, and tells nothing. Method: data pages overwritten, the footer intact."""
    content = bytearray(scene.file.read_bytes())
    footer = int.from_bytes(content[-8:-4], "little") + 8
    content[4:-footer] = b"\xff" * (len(content) - footer - 4)
    scene.file.write_bytes(content)
    ended = await scene.run(sql("SELECT SUM(age) AS total FROM df"))
    assert ended["status"] == "FAILED"
    assert ended["error"] == {"code": "LIBRARY_ERROR", "message": "The query could not be computed."}
    assert ended["charged"] == ended["cost"] == {"epsilon": EPSILON, "delta": 0}
    assert ended["result"] is None
    assert await scene.spent() == (EPSILON, 0)


@pytest.mark.parametrize("content", [None, b"", b"no Parquet at all"])
async def test_data_that_cannot_be_reached_costs_nothing(scene: Scene, content: bytes | None) -> None:
    scene.file.unlink()
    if content is not None:
        scene.file.write_bytes(content)
    before = await scene.books()
    ended = await scene.run()
    assert ended["status"] == "FAILED"
    assert ended["error"] == {
        "code": "UNAVAILABLE",
        "message": "The data could not be reached; nothing was read.",
    }
    assert (ended["charged"]["epsilon"], ended["result"]) == (0, None)
    after = await scene.books()
    assert (after.grant, after.cap) == (before.grant, before.cap)
    assert after.entries[0].kind is EntryKind.VOID
    assert after.entries[0].loss.epsilon == EPSILON
