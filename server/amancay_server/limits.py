"""What a request may be at most, checked before anything expensive is done with it.

The order is: bytes of the body, nesting of the JSON, length of the document, tokens (while parsing), then
depth, aliases and directives (one validation rule that aborts before the costly rules run). Every refusal
names its limit.
"""

import re
from collections.abc import Iterable, Iterator, MutableMapping
from functools import lru_cache
from math import isfinite
from typing import Any

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FloatValueNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValidationContext,
    ValidationRule,
    Visitor,
    visit,
)
from graphql.validation.validate import ValidationAbortedError
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from amancay_schema.errors import ApiError

MAX_SUBSCRIPTIONS_PER_CONNECTION = 10
"""Operations that one WebSocket may have under way."""
MAX_CONNECTIONS_PER_USER = 20
"""WebSockets that one user may hold open at one server process."""
CONNECTION_INIT_SECONDS = 5.0
"""How long a WebSocket may stay silent before it has shown a token."""
CACHED_DOCUMENTS = 256
"""Parsed and validated documents that are kept."""


class Limits(BaseModel):
    """Bounds of one request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_body_bytes: int = Field(default=1 << 20, ge=1024, le=1 << 26, description="bytes of a request's body")
    max_json_depth: int = Field(default=32, ge=4, le=200, description="nesting of a request's JSON")
    max_query_length: int = Field(default=50_000, ge=1000, le=1 << 22, description="characters of a document")
    max_depth: int = Field(default=12, ge=4, le=100, description="nesting of fields, fragments unfolded")
    max_aliases: int = Field(default=30, ge=0, le=10_000, description="aliases, fragments unfolded")
    max_tokens: int = Field(default=2000, ge=100, le=100_000, description="tokens and comments of a document")
    max_directives: int = Field(default=50, ge=0, le=10_000, description="directives of a document")


def limit_exceeded(limit: str, message: str) -> ApiError:
    """The refusal of what passes `limit`, named as in `Limits` but in the schema's spelling."""
    return ApiError("LIMIT_EXCEEDED", message, limit=limit)


# ---------------------------------------------------------------- bytes


class BodyLimit:
    """ASGI middleware that collects a request's body before the application sees any of it, or answers 413.

    To be used inside the application's error handling, before the routes.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif _declared_length(scope) > self.max_bytes:
            await self._refuse(scope, receive, send)
        else:
            await self._collect(scope, receive, send)

    async def _collect(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytearray()
        message: MutableMapping[str, Any] = {"more_body": True}
        while message.get("more_body", False):
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > self.max_bytes:
                await self._refuse(scope, receive, send)
                return
        await self.app(scope, _replay(bytes(body), receive), send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = limit_exceeded("maxBodyBytes", f"A request's body may have at most {self.max_bytes} bytes.")
        # The rest of the body is not worth reading: the connection ends with the answer.
        response = refusal_response(refusal, status=413, headers={"connection": "close"})
        await response(scope, receive, send)


def refusal_response(
    refusal: ApiError,
    *,
    status: int,
    media_type: str = "application/json",
    headers: MutableMapping[str, str] | None = None,
) -> JSONResponse:
    """A refusal outside GraphQL's own errors, in the same shape; no `data`, since nothing was executed."""
    body = {"errors": [{"message": refusal.message, "extensions": refusal.extensions}]}
    return JSONResponse(body, status_code=status, media_type=media_type, headers=headers)


def _declared_length(scope: Scope) -> int:
    """The content-length of a request; 0 if it is not a plain number, for the bytes are counted anyway."""
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(declared) if declared.isdigit() and len(declared) < 19 else 0


def _replay(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return pending.pop() if pending else await receive()

    return replayed


# ---------------------------------------------------------------- JSON

# Every string, closed or not, is taken whole, without going back: linear time whatever the input.
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)


def json_within_depth(text: str, max_depth: int) -> bool:
    """False if `text` nests arrays and objects more than `max_depth` deep; asked before it is parsed."""
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        if match[0] in "[{":
            depth += 1
            if depth > max_depth:
                return False
        elif match[0] in "]}":
            depth -= 1
    return True


# ---------------------------------------------------------------- GraphQL


class _Refused(ValidationAbortedError):
    """Ends a validation at once: what is refused here is not examined any further."""

    def __init__(self, refusal: ApiError) -> None:
        super().__init__(refusal.message, extensions=refusal.extensions)


@lru_cache(maxsize=8)
def limit_rule(limits: Limits) -> type[ValidationRule]:
    """The validation rule for `limits`: the same class for the same limits, or nothing is ever cached."""

    class LimitRule(ValidationRule):
        def __init__(self, context: ValidationContext) -> None:
            super().__init__(context)
            self.document = context.document

        def enter_document(self, *_: object) -> None:
            check_document(self.document, limits)

    return LimitRule


def check_document(document: DocumentNode, limits: Limits) -> None:
    """Raises a validation error if `document` passes one of `limits`, or holds a number that no float can hold."""
    for refusal in _refusals(document, limits):
        raise _Refused(refusal)


def _refusals(document: DocumentNode, limits: Limits) -> Iterator[ApiError]:
    contents = _Contents()
    visit(document, contents)
    if contents.directives > limits.max_directives:
        yield limit_exceeded("maxDirectives", f"A document may use at most {limits.max_directives} directives.")
    if not contents.finite:
        yield ApiError("BAD_USER_INPUT", "Every number must be finite.")
    measure = _Measure(document)
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    extents = [measure.of(operation.selection_set) for operation in operations]
    if max((depth for depth, _ in extents), default=0) > limits.max_depth:
        yield limit_exceeded("maxDepth", f"An operation may nest fields at most {limits.max_depth} deep.")
    if sum(aliases for _, aliases in extents) > limits.max_aliases:
        yield limit_exceeded("maxAliases", f"A document may use at most {limits.max_aliases} aliases.")


class _Contents(Visitor):
    """Counts directives, and finds the literals that the library would turn into infinity, such as 1e400."""

    def __init__(self) -> None:
        super().__init__()
        self.directives = 0
        self.finite = True

    def enter_directive(self, _node: DirectiveNode, *_: object) -> None:
        self.directives += 1

    def enter_float_value(self, node: FloatValueNode, *_: object) -> None:
        self.finite &= isfinite(float(node.value))

    def enter_int_value(self, node: IntValueNode, *_: object) -> None:
        self.finite &= isfinite(float(node.value))


class _Measure:
    """Depth and number of aliases of selections; a fragment is measured once, however often it is spread."""

    def __init__(self, document: DocumentNode) -> None:
        definitions: Iterable[object] = document.definitions
        self._fragments = {node.name.value: node for node in definitions if isinstance(node, FragmentDefinitionNode)}
        self._known: dict[str, tuple[int, int]] = {}

    def of(self, selections: SelectionSetNode | None) -> tuple[int, int]:
        if selections is None:
            return 0, 0
        extents = [self._selection(node) for node in selections.selections]
        return max((depth for depth, _ in extents), default=0), sum(aliases for _, aliases in extents)

    def _selection(self, node: object) -> tuple[int, int]:
        if isinstance(node, FragmentSpreadNode):
            return self._fragment(node.name.value)
        depth, aliases = self.of(getattr(node, "selection_set", None))
        if not isinstance(node, FieldNode):
            return depth, aliases
        aliases += node.alias is not None
        # How deep a question about the schema goes, graphql-core's own rule bounds.
        return (1 if node.name.value in {"__schema", "__type"} else depth + 1), aliases

    def _fragment(self, name: str) -> tuple[int, int]:
        if name not in self._known:
            self._known[name] = 0, 0  # a cycle adds nothing here; a rule of the specification reports it
            fragment = self._fragments.get(name)
            self._known[name] = self.of(fragment.selection_set if fragment else None)
        return self._known[name]
