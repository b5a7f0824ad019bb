"""Every bound holds: at the limit a request passes, one past it is refused, and the refusal names the limit."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import httpx
import pytest
from graphql import GraphQLError, build_schema, parse, validate
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from amancay_server.limits import BodyLimit, Limits, check_document, json_within_depth, limit_rule

Serve = Callable[[ASGIApp], AbstractContextManager[str]]
MAX_BYTES = 2048
LIMITS = Limits(max_depth=4, max_aliases=3, max_directives=2)
SCHEMA = build_schema("type Query { a: Query, b: Int }")


async def length(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture(scope="module")
def server(serve: Serve) -> Iterator[str]:
    route = Route("/", length, methods=["POST", "GET"])
    with serve(Starlette(routes=[route], middleware=[Middleware(BodyLimit, max_bytes=MAX_BYTES)])) as address:
        yield address


@pytest.mark.parametrize("size", [0, 1, MAX_BYTES])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_within_the_limit_arrives_whole(size: int, chunked: bool, server: str) -> None:
    body = b"x" * size
    content = (body[start : start + 100] for start in range(0, size, 100)) if chunked else body
    assert httpx.post(f"http://{server}/", content=content).text == str(size)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_past_the_limit_is_refused(chunked: bool, server: str) -> None:
    body = b"x" * (MAX_BYTES + 1)
    content = (part for part in (body[:100], body[100:])) if chunked else body
    answer = httpx.post(f"http://{server}/", content=content)
    assert answer.status_code == 413
    assert answer.json()["errors"][0]["extensions"] == {"code": "LIMIT_EXCEEDED", "limit": "maxBodyBytes"}


def test_a_declared_length_is_refused_before_the_body_comes(server: str) -> None:
    connection = http.client.HTTPConnection(server, timeout=5)
    connection.putrequest("POST", "/")
    connection.putheader("content-length", str(10**15))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["errors"][0]["extensions"]["limit"] == "maxBodyBytes"
    connection.close()


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("", 0),
        ("1", 0),
        ("[[]]", 2),
        ('{"a": [{}], "b": {}}', 3),
        (r'"[[[\"[[["', 0),
        (r'["\\", [], "["]', 2),
        ('["[', 1),
    ],
)
def test_the_nesting_of_json_is_measured(text: str, depth: int) -> None:
    assert json_within_depth(text, depth)
    assert depth == 0 or not json_within_depth(text, depth - 1)


@pytest.mark.parametrize("text", ["[" * 10**6, '"' * 10**6, '"' + r"\"" * 500_000, "[]" * 500_000, '["\\' * 300_000])
def test_measuring_takes_linear_time(text: str) -> None:
    start = time.perf_counter()
    json_within_depth(text, 32)
    assert time.perf_counter() - start < 2


def codes(query: str) -> list[object]:
    errors = validate(SCHEMA, parse(query), [limit_rule(LIMITS)])
    return [(error.extensions or {}).get("limit") for error in errors]


def nested(depth: int) -> str:
    return "{ a " * (depth - 1) + "{ b }" + " }" * (depth - 1)


def test_depth_is_bounded() -> None:
    assert codes(nested(4)) == []
    assert codes(nested(5)) == ["maxDepth"]


def test_depth_counts_through_fragments() -> None:
    assert codes("{ a { ...F } } fragment F on Query { a { ... on Query { a { b } } } }") == []
    assert codes("{ a { ...F } } fragment F on Query { a { a { ...G } } } fragment G on Query { a { b } }") == [
        "maxDepth"
    ]


def test_aliases_are_bounded_and_counted_each_time() -> None:
    assert codes("{ x: b y: b z: b }") == []
    assert codes("{ w: b x: b y: b z: b }") == ["maxAliases"]
    assert codes("{ ...F a { ...F } } fragment F on Query { x: b y: b }") == ["maxAliases"]


def test_directives_are_bounded() -> None:
    assert codes("{ b @skip(if: true) a @skip(if: true) { b } }") == []
    assert codes("{ b @skip(if: true) @skip(if: true) a @skip(if: true) { b } }") == ["maxDirectives"]


def test_questions_about_the_schema_are_not_deep() -> None:
    assert codes("{ __schema { types { fields { type { ofType { ofType { name } } } } } } }") == []


def test_cycles_and_unknown_fragments_are_left_to_the_specification() -> None:
    check_document(parse("{ ...F ...H } fragment F on Query { a { ...G } } fragment G on Query { a { ...F } }"), LIMITS)


def test_fragments_that_double_take_no_time() -> None:
    """Goal: no exponential work. Method: 60 fragments, each spreading the next twice."""
    chain = " ".join(f"fragment F{n} on Query {{ a {{ ...F{n + 1} ...F{n + 1} }} }}" for n in range(60))
    document = parse("{ ...F0 } " + chain + " fragment F60 on Query { x: b }")
    start = time.perf_counter()
    with pytest.raises(GraphQLError, match="deep"):
        check_document(document, LIMITS)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 400, "9" * 400 + ".5"])
def test_numbers_are_finite(number: str) -> None:
    with pytest.raises(GraphQLError, match="finite") as refused:
        check_document(parse(f"{{ a(x: [{{y: {number}}}]) {{ b }} }}"), LIMITS)
    assert refused.value.extensions == {"code": "BAD_USER_INPUT"}
    check_document(parse("{ a(x: 1e300, y: -17) { b } }"), LIMITS)


def test_the_rule_is_built_once() -> None:
    assert limit_rule(Limits(max_depth=7)) is limit_rule(Limits(max_depth=7))
