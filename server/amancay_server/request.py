"""What a request says, read within its limits: its form, its JSON, and how it wants to be answered."""

import json
from dataclasses import dataclass
from math import isfinite
from typing import Any, NoReturn

from starlette.requests import Request

from amancay_schema.errors import ApiError
from amancay_server.limits import Limits, json_within_depth, limit_exceeded

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
MAX_INTEGER_DIGITS = 300
"""Of an integer in JSON, its sign included: more do not fit into a float, which the library tries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a caller wants executed."""

    query: str
    variables: dict[str, Any] | None
    operation_name: str | None


class NotAcceptable(ApiError):
    """A request that is refused for its form, with a status of its own."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__("BAD_USER_INPUT", message)
        self.status = status
        self.headers = headers


def read_operation(text: str, limits: Limits) -> Operation:
    """Reads the JSON of a request, within its limits.

    Raises:
        ApiError: if it is too long, too deep, or not an operation.
    """
    document = read_json(text, limits)
    if not isinstance(document, dict):
        raise ApiError("BAD_USER_INPUT", "A request is one JSON object; batches are not taken.")
    query, name = document.get("query"), document.get("operationName")
    if not isinstance(query, str) or not query:
        raise ApiError("BAD_USER_INPUT", "`query` must be a string with a GraphQL document.")
    if len(query) > limits.max_query_length:
        raise query_too_long(limits)
    if not isinstance(name, str | None):
        raise ApiError("BAD_USER_INPUT", "`operationName` must be a string or null.")
    for key in ("variables", "extensions"):
        if not isinstance(document.get(key), dict | None):
            raise ApiError("BAD_USER_INPUT", f"`{key}` must be an object or null.")
    return Operation(query=query, variables=document.get("variables"), operation_name=name)


def read_json(text: str, limits: Limits) -> Any:
    """Parses JSON whose nesting has been checked; NaN and Infinity are no JSON, nor what no float can hold."""
    if not json_within_depth(text, limits.max_json_depth):
        raise limit_exceeded("maxJsonDepth", f"JSON may be nested at most {limits.max_json_depth} deep.")
    try:
        parsed = json.loads(text, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole)
        if "\\u" in text:
            json.dumps(parsed, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except ValueError:
        raise ApiError("BAD_USER_INPUT", "The request is not valid JSON with finite numbers.") from None
    return parsed


def query_too_long(limits: Limits) -> ApiError:
    """The refusal of a document longer than the limit."""
    return limit_exceeded("maxQueryLength", f"A document may have at most {limits.max_query_length} characters.")


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(text)
    return number


def _whole(text: str) -> int:
    if len(text) > MAX_INTEGER_DIGITS:
        raise ValueError(text)
    return int(text)


def _no_constant(constant: str) -> NoReturn:
    raise ValueError(constant)


async def read_body(request: Request) -> str:
    """The text of a POST with JSON in UTF-8."""
    content_type, *parameters = request.headers.get("content-type", "").lower().split(";")
    charset = dict(part.strip().partition("=")[::2] for part in parameters).get("charset", "utf-8")
    if content_type.strip() != JSON or charset.strip('"') not in {"utf-8", "utf8"}:
        raise NotAcceptable(415, "The content type must be application/json, in UTF-8.")
    try:
        return (await request.body()).decode()
    except UnicodeDecodeError:
        raise ApiError("BAD_USER_INPUT", "The request is not valid UTF-8.") from None


def negotiate(accept: str | None) -> str | None:
    """The media type to answer in: what the caller likes best, plain JSON if it does not mind; None if neither."""
    choices: list[tuple[float, str]] = []
    for entry in (accept or "*/*").lower().split(","):
        media, *parameters = (part.strip() for part in entry.split(";"))
        answer = {GRAPHQL_JSON: GRAPHQL_JSON, JSON: JSON, "application/*": JSON, "*/*": JSON}.get(media)
        quality = next((_quality(part[2:]) for part in parameters if part.startswith("q=")), 1.0)
        if answer is not None and quality > 0:
            choices.append((quality, answer))
    return max(choices, key=lambda choice: choice[0])[1] if choices else None


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
