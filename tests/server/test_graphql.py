"""What the view lets in and out, over a real socket."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
import strawberry
from starlette.types import ASGIApp
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig
from strawberry.types.info import Info
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from amancay_schema.errors import ApiError, Unauthenticated
from amancay_server.demo.issuer import Issuer
from amancay_server.fault import MASKED
from amancay_server.graphql import GraphQLView, build_schema
from amancay_server.identity import Claims, Verifier
from amancay_server.limits import MAX_CONNECTIONS_PER_USER, MAX_SUBSCRIPTIONS_PER_CONNECTION, Limits
from amancay_storage.errors import BadCursor, StoreUnavailable

Serve = Callable[[ASGIApp], AbstractContextManager[str]]
GRAPHQL_JSON = "application/graphql-response+json"
SECRET = "hush-7319"
LIMITS = Limits(max_depth=4, max_aliases=2, max_tokens=100, max_directives=2, max_query_length=2000, max_json_depth=8)
PROTOCOLS = [Subprotocol("graphql-transport-ws")]
changes: list[int] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    user: str


async def make_context(claims: Claims) -> Caller:
    match claims.subject:
        case "ghost":
            raise Unauthenticated
        case "offline":
            raise StoreUnavailable(SECRET)
        case "buggy":
            raise RuntimeError(SECRET)
        case user:
            return Caller(user=user)


@strawberry.type
class Query:
    @strawberry.field
    def me(self, info: Info[Caller, None]) -> str:
        return info.context.user

    @strawberry.field
    def echo(self, text: str = "", number: float = 0.0) -> str:
        return f"{text}{number}"

    @strawberry.field
    def child(self) -> "Query":
        return Query()

    @strawberry.field
    def fault(self) -> str:
        raise ValueError(SECRET)

    @strawberry.field
    def unwritable(self) -> int:
        return SECRET  # type: ignore[return-value] # on purpose: it cannot be written as an Int

    @strawberry.field
    def not_finite(self) -> JSON:
        return JSON(float("nan"))

    @strawberry.field
    def refused(self) -> str | None:
        raise ApiError("FORBIDDEN", "Only administrators may see this.", field="refused")

    @strawberry.field
    def misplaced(self) -> str | None:
        raise BadCursor("That is no cursor of this list.")

    @strawberry.field
    def offline(self) -> str | None:
        raise StoreUnavailable(SECRET)


@strawberry.type
class Mutation:
    @strawberry.mutation
    def change(self) -> int:
        changes.append(1)
        return len(changes)


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, info: Info[Caller, None], to: int) -> AsyncIterator[str]:
        for number in range(to):
            yield f"{info.context.user} {number}"

    @strawberry.subscription
    async def forever(self) -> AsyncIterator[int]:
        yield 0
        await asyncio.Event().wait()

    @strawberry.subscription
    async def faulty(self) -> AsyncIterator[int]:
        yield 0
        raise ValueError(SECRET)


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def view(issuer: Issuer) -> GraphQLView:
    schema = build_schema(Query, Mutation, Subscription, limits=LIMITS, config=StrawberryConfig())
    return GraphQLView(schema, verifier=Verifier(issuer.identity), make_context=make_context, limits=LIMITS)


@pytest.fixture(scope="module")
def server(view: GraphQLView, serve: Serve) -> Iterator[str]:
    with serve(view) as address:
        yield address


Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(server: str, issuer: Issuer) -> Ask:
    def asked(
        query: object = None, *, user: str = "mara", headers: dict[str, str] | None = None, **rest: Any
    ) -> httpx.Response:
        given = {"authorization": f"Bearer {issuer.token(user)}", "accept": GRAPHQL_JSON, **(headers or {})}
        body = {"json": {"query": query}, **rest}
        return httpx.post(f"http://{server}/", headers=given, **body)

    return asked


def first_error(answer: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["errors"][0]
    return error


def code(answer: httpx.Response) -> object:
    return first_error(answer)["extensions"]["code"]


# ---------------------------------------------------------------- HTTP


def test_a_query_is_answered_to_its_user(ask: Ask) -> None:
    answer = ask("{ me }")
    assert (answer.status_code, answer.json()) == (200, {"data": {"me": "mara"}})
    assert answer.headers["content-type"] == f"{GRAPHQL_JSON}; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        (f"application/json;q=0.5, {GRAPHQL_JSON}", GRAPHQL_JSON),
        (f"{GRAPHQL_JSON};q=0.1, application/*;q=0.2", "application/json"),
        (f"text/html, {GRAPHQL_JSON}; charset=utf-8", GRAPHQL_JSON),
    ],
)
def test_the_answer_comes_as_accepted(accept: str, media: str, ask: Ask) -> None:
    answer = ask("{ me }", headers={"accept": accept})
    assert answer.headers["content-type"] == f"{media}; charset=utf-8"
    assert answer.json() == {"data": {"me": "mara"}}


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer x.y.z", "Basic bWFyYTptYXJh"])
@pytest.mark.parametrize("media", [GRAPHQL_JSON, "application/json"])
def test_nobody_gets_in_without_a_token(authorization: str, media: str, ask: Ask) -> None:
    answer = ask("{ me }", headers={"authorization": authorization, "accept": media})
    assert (answer.status_code, code(answer)) == (401, "UNAUTHENTICATED")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "data" not in answer.json()


def test_users_who_are_not_active_look_like_a_bad_token(ask: Ask) -> None:
    assert ask("{ me }", user="ghost").json() == ask("{ me }", headers={"authorization": "Bearer x.y.z"}).json()


def test_users_who_cannot_be_looked_up(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    offline, buggy = ask("{ me }", user="offline"), ask("{ me }", user="buggy")
    assert (offline.status_code, code(offline)) == (503, "UNAVAILABLE")
    assert (buggy.status_code, code(buggy), first_error(buggy)["message"]) == (500, "INTERNAL", MASKED)
    assert SECRET not in offline.text + buggy.text + caplog.text
    assert "RuntimeError" in caplog.text


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_only_post(method: str, server: str, issuer: Issuer) -> None:
    headers = {"authorization": f"Bearer {issuer.token('mara')}"}
    answer = httpx.request(method, f"http://{server}/?query={{me}}", headers=headers)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_other_forms_are_refused(ask: Ask) -> None:
    assert ask("{ me }", headers={"accept": "text/html"}).status_code == 406
    assert ask("{ me }", headers={"accept": "application/json;q=0"}).status_code == 406
    assert ask(headers={"content-type": "text/plain"}).status_code == 415
    assert ask(headers={"content-type": "application/json; charset=utf-16"}).status_code == 415
    assert (
        ask(
            headers={"content-type": 'application/json; charset="UTF-8"'}, content='{"query":"{me}"}', json=None
        ).status_code
        == 200
    )


MALFORMED: list[object] = [
    b"",
    b"{",
    b"\xff\xfe",
    b"null",
    b"[]",
    b'[{"query": "{ me }"}]',
    b"{}",
    b'{"query": null}',
    b'{"query": ""}',
    b'{"query": {"a": 1}}',
    b'{"query": "{ me }", "operationName": {}}',
    b'{"query": "{ me }", "variables": "x"}',
    b'{"query": "{ me }", "variables": [1]}',
    b'{"query": "{ me }", "variables": {"x": NaN}}',
    b'{"query": "{ me }", "variables": {"x": -Infinity}}',
    b'{"query": "{ me }", "extensions": 7}',
    b'{"query": "{ me }", "variables": {"x": 1e400}}',
    b'{"query": "{ me }", "variables": {"x": "\\ud800"}}',
    b'{"query": "{ me }", "variables": {"x": ' + b"9" * 301 + b"}}",
    b'{"query": "{ me }", "variables": {"x": ' + b"9" * 5000 + b"}}",
]


@pytest.mark.parametrize("media", [GRAPHQL_JSON, "application/json"])
@pytest.mark.parametrize("body", MALFORMED)
def test_a_malformed_request_is_refused(body: bytes, media: str, ask: Ask) -> None:
    answer = ask(json=None, content=body, headers={"content-type": "application/json", "accept": media})
    assert (answer.status_code, code(answer)) == (400, "BAD_USER_INPUT")
    assert "data" not in answer.json()


@pytest.mark.parametrize(
    "empty", [{}, {"variables": None, "operationName": None, "extensions": None}, {"extensions": {}}]
)
def test_what_may_be_missing(empty: dict[str, Any], ask: Ask) -> None:
    assert ask(json={"query": "{ me }", **empty}).json() == {"data": {"me": "mara"}}


@pytest.mark.parametrize(
    "request_",
    [
        {"query": "{ me"},
        {"query": "{ unknown }"},
        {"query": "query($x: Int!) { echo(text: $x) }"},
        {"query": "query($x: String!) { echo(text: $x) }"},
        {"query": "query($x: Float!) { echo(number: $x) }", "variables": {"x": "a"}},
        {"query": "query A { me } query B { me }"},
        {"query": "query A { me } query B { me }", "operationName": "C"},
        {"query": "query A { me } query B { me }", "operationName": ""},
        {"query": "subscription { count(to: 1) }"},
        {"query": "fragment F on Query { me }"},
        {"query": "query($x: String = null) { echo(text: $x) }", "variables": {"x": 7}},
        {"query": '{ echo(number: "a") }'},
        {"query": "{ echo(number: 1e400) }"},
    ],
)
def test_a_document_that_cannot_be_executed(request_: dict[str, Any], ask: Ask) -> None:
    """Goal: a status by the media type, and never `data`. Method: each kind of error before execution."""
    new, old = ask(json=request_), ask(json=request_, headers={"accept": "application/json"})
    assert (new.status_code, code(new)) == (400, "BAD_USER_INPUT")
    assert (old.status_code, code(old)) == (200, "BAD_USER_INPUT")
    assert "data" not in new.json() | old.json()


def test_the_named_operation_runs(ask: Ask) -> None:
    answer = ask(json={"query": 'query A { me } query B { echo(text: "b") }', "operationName": "B"})
    assert answer.json() == {"data": {"echo": "b0.0"}}


@pytest.mark.parametrize("field", ["fault", "unwritable"])
def test_a_fault_is_masked_and_logged_without_its_text(field: str, ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answer = ask(json={"query": f"query($x: String) {{ echo(text: $x) a: {field} }}", "variables": {"x": SECRET}})
    assert answer.status_code == 200
    assert answer.json() == {
        "errors": [
            {
                "message": MASKED,
                "locations": [{"line": 1, "column": answer.json()["errors"][0]["locations"][0]["column"]}],
                "path": ["a"],
                "extensions": {"code": "INTERNAL"},
            }
        ],
        "data": None,
    }
    assert SECRET not in answer.text + caplog.text
    assert "fault, path=a type=" in caplog.text


def test_what_is_no_json_never_leaves(ask: Ask) -> None:
    answer = ask("{ notFinite }")
    assert (answer.status_code, code(answer)) == (500, "INTERNAL")


def test_our_own_refusals_pass(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    answer = ask("{ refused }")
    assert first_error(answer)["message"] == "Only administrators may see this."
    assert first_error(answer)["extensions"] == {"code": "FORBIDDEN", "field": "refused"}
    assert answer.json()["data"] == {"refused": None}
    assert caplog.text == ""
    assert code(ask("{ misplaced }")) == "BAD_USER_INPUT"
    unavailable = ask("{ offline }")
    assert code(unavailable) == "UNAVAILABLE"
    assert SECRET not in unavailable.text + caplog.text


@pytest.mark.parametrize(
    ("query", "limit"),
    [
        ("{ child { child { child { child { me } } } } }", "maxDepth"),
        ("{ a: me b: me c: me }", "maxAliases"),
        ("{ " + "me " * 100 + "}", "maxTokens"),
        ("{ me #" + "x" * 2000 + "\n}", "maxQueryLength"),
        ("{ me " + "@skip(if: false) " * 3 + "}", "maxDirectives"),
    ],
)
def test_limits_are_named(query: str, limit: str, ask: Ask) -> None:
    answer = ask(query)
    assert (answer.status_code, first_error(answer)["extensions"]) == (400, {"code": "LIMIT_EXCEEDED", "limit": limit})


def test_the_nesting_of_variables_is_limited(ask: Ask) -> None:
    for depth, status in ((6, 200), (7, 400)):
        variables = '{"x": ' + "[" * depth + "]" * depth + "}"
        body = f'{{"query": "{{ me }}", "variables": {variables}}}'
        assert ask(json=None, content=body, headers={"content-type": "application/json"}).status_code == status


def test_pathological_documents_cost_little(issuer: Issuer, serve: Serve) -> None:
    """Goal: no document holds the loop for long. Method: the worst shapes that the default limits let pass."""
    schema = build_schema(Query, Mutation, Subscription)
    view = GraphQLView(schema, verifier=Verifier(issuer.identity), make_context=make_context)
    headers = {"authorization": f"Bearer {issuer.token('mara')}"}
    shapes = [
        "{ " + "me " * 1990 + "}",
        "{ " + "child { " * 190 + "me" + " }" * 190 + " }",
        "{ " + "unknown " * 1990 + "}",
    ]
    with serve(view) as address:
        for query in shapes:
            start = time.perf_counter()
            assert (
                httpx.post(f"http://{address}/", json={"query": query}, headers=headers, timeout=20).status_code == 200
            )
            assert time.perf_counter() - start < 5


# ---------------------------------------------------------------- WebSocket


@pytest.fixture
def dial(server: str) -> Iterator[Callable[..., ClientConnection]]:
    with ExitStack() as opened:
        yield lambda **options: opened.enter_context(connect(f"ws://{server}/", subprotocols=PROTOCOLS, **options))


def send(connection: ClientConnection, message: object) -> None:
    connection.send(message if isinstance(message, str | bytes) else json.dumps(message))


def received(connection: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(connection.recv(timeout=5))
    return message


def close_code(connection: ClientConnection) -> int:
    """The code that the server closes with; messages before it are passed over."""
    with suppress(ConnectionClosed):
        while True:
            connection.recv(timeout=8)
    assert connection.close_code is not None
    return connection.close_code


def admitted(connection: ClientConnection, token: str) -> ClientConnection:
    send(connection, {"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}})
    assert received(connection) == {"type": "connection_ack"}
    return connection


def subscribe(connection: ClientConnection, query: str, number: str = "1", **rest: Any) -> None:
    send(connection, {"type": "subscribe", "id": number, "payload": {"query": query, **rest}})


Dial = Callable[..., ClientConnection]


def test_a_subscription_knows_its_user(dial: Dial, issuer: Issuer) -> None:
    connection = admitted(dial(), issuer.token("mara"))
    subscribe(connection, "subscription { count(to: 2) }")
    messages = [received(connection) for _ in range(3)]
    assert [message["type"] for message in messages] == ["next", "next", "complete"]
    assert messages[1]["payload"] == {"data": {"count": "mara 1"}}
    subscribe(connection, "{ me }")
    assert received(connection)["payload"] == {"data": {"me": "mara"}}


@pytest.mark.parametrize("payload", [{}, {"Authorization": "Bearer x.y.z"}, {"Authorization": 7}, {"token": "x"}])
def test_a_socket_without_a_token_is_closed(payload: object, dial: Dial) -> None:
    connection = dial()
    send(connection, {"type": "connection_init", "payload": payload})
    assert close_code(connection) == 4403


@pytest.mark.parametrize(("user", "expected"), [("ghost", 4403), ("offline", 1013), ("buggy", 1011)])
def test_a_socket_of_nobody_is_closed(
    user: str, expected: int, dial: Dial, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    connection = dial()
    send(connection, {"type": "connection_init", "payload": {"authorization": f"Bearer {issuer.token(user)}"}})
    assert close_code(connection) == expected
    assert SECRET not in caplog.text


def test_nothing_runs_before_the_token(dial: Dial) -> None:
    connection = dial()
    subscribe(connection, "{ me }")
    assert close_code(connection) == 4401


def test_silence_is_closed(dial: Dial, view: GraphQLView, monkeypatch: pytest.MonkeyPatch) -> None:
    assert view.connection_init_wait_timeout == timedelta(seconds=5)
    monkeypatch.setattr(view, "connection_init_wait_timeout", timedelta(seconds=0.2))
    assert close_code(dial()) == 4408


def test_the_old_protocol_is_not_spoken(server: str) -> None:
    with connect(f"ws://{server}/") as connection:
        assert close_code(connection) == 4406


def test_pages_of_other_origins_are_refused(dial: Dial, server: str) -> None:
    with pytest.raises(Exception, match="403"):
        dial(origin="https://else.example")
    assert dial(origin=f"http://{server}").subprotocol == "graphql-transport-ws"


def test_no_mutation_over_a_socket(dial: Dial, issuer: Issuer) -> None:
    before = len(changes)
    connection = admitted(dial(), issuer.token("mara"))
    subscribe(connection, "mutation { change }")
    answer = received(connection)
    assert (answer["type"], answer["payload"][0]["extensions"]) == ("error", {"code": "BAD_USER_INPUT"})
    assert len(changes) == before


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{ me", "BAD_USER_INPUT"),
        ("{ unknown }", "BAD_USER_INPUT"),
        ("query A { me } query B { me }", "BAD_USER_INPUT"),
        ("{ " + "me " * 100 + "}", "LIMIT_EXCEEDED"),
        ("{ child { child { child { child { me } } } } }", "LIMIT_EXCEEDED"),
        ("{ me #" + "x" * 2000 + "\n}", "LIMIT_EXCEEDED"),
    ],
)
def test_a_wrong_document_leaves_the_socket_open(query: str, expected: str, dial: Dial, issuer: Issuer) -> None:
    connection = admitted(dial(), issuer.token("mara"))
    subscribe(connection, query)
    answer = received(connection)
    assert (answer["type"], answer["payload"][0]["extensions"]["code"]) == ("error", expected)
    subscribe(connection, "query A { me }", operationName="B")
    assert received(connection)["payload"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    subscribe(connection, "{ me }")
    assert received(connection)["payload"] == {"data": {"me": "mara"}}


def test_a_fault_in_a_subscription_is_masked(dial: Dial, issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    connection = admitted(dial(), issuer.token("mara"))
    subscribe(connection, "subscription { faulty }")
    assert received(connection)["payload"] == {"data": {"faulty": 0}}
    failed = received(connection)
    assert failed["payload"]["errors"][0]["message"] == MASKED
    assert failed["payload"]["errors"][0]["extensions"] == {"code": "INTERNAL"}
    assert SECRET not in json.dumps(failed) + caplog.text
    assert "ValueError" in caplog.text


@pytest.mark.parametrize(
    "message",
    [
        "{",
        "[" * 5000,
        "7",
        "[]",
        "{}",
        b"\x00",
        {"type": 7},
        {"type": "x" * 500},
        {"type": "\u20ac" * 200},
        {"type": "subscribe"},
        {"type": "subscribe", "id": [], "payload": {"query": "{ me }"}},
        {"type": "subscribe", "id": "1"},
        {"type": "subscribe", "id": "1", "payload": None},
        {"type": "subscribe", "id": "1", "payload": {"query": 7}},
        {"type": "subscribe", "id": "1", "payload": {"query": "{ me }", "variables": []}},
        {"type": "subscribe", "id": "1", "payload": {"query": "{ me }", "operationName": {}}},
        {"type": "complete", "id": {}},
    ],
)
def test_a_malformed_message_closes_the_socket(
    message: object, dial: Dial, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    connection = admitted(dial(), issuer.token("mara"))
    send(connection, message)
    assert close_code(connection) == 4400
    assert caplog.text == ""


def test_doubled_ids_and_greetings_close_the_socket(dial: Dial, issuer: Issuer) -> None:
    connection = admitted(dial(), issuer.token("mara"))
    for _ in range(2):
        subscribe(connection, "subscription { forever }", "x" * 200)
    assert close_code(connection) == 4409
    connection = admitted(dial(), issuer.token("mara"))
    send(connection, {"type": "connection_init", "payload": {}})
    assert close_code(connection) == 4429


def test_operations_of_a_socket_are_bounded(dial: Dial, issuer: Issuer) -> None:
    connection = admitted(dial(), issuer.token("mara"))
    for number in range(MAX_SUBSCRIPTIONS_PER_CONNECTION):
        subscribe(connection, "subscription { forever }", str(number))
        assert received(connection)["type"] == "next"
    subscribe(connection, "subscription { forever }", "more")
    assert received(connection)["payload"][0]["extensions"] == {
        "code": "LIMIT_EXCEEDED",
        "limit": "maxSubscriptionsPerConnection",
    }
    send(connection, {"type": "complete", "id": "0"})
    subscribe(connection, "{ me }", "more")
    assert received(connection)["payload"] == {"data": {"me": "mara"}}


def test_sockets_of_a_user_are_bounded(dial: Dial, issuer: Issuer, view: GraphQLView) -> None:
    token = issuer.token("crowd")
    crowd = [admitted(dial(), token) for _ in range(MAX_CONNECTIONS_PER_USER)]
    late = dial()
    send(late, {"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}})
    assert close_code(late) == 4429
    admitted(dial(), issuer.token("mara"))
    crowd[0].close()
    deadline = time.monotonic() + 5
    while view.connections["crowd"] == MAX_CONNECTIONS_PER_USER:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    admitted(dial(), token)


def test_a_socket_ends_with_its_token(dial: Dial, issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    connection = admitted(dial(), issuer.token("mara", timedelta(seconds=2)))
    subscribe(connection, "subscription { forever }")
    assert received(connection)["type"] == "next"
    start = time.monotonic()
    assert close_code(connection) == 4403
    assert time.monotonic() - start < 3
    assert caplog.text == ""
