"""GraphQL over HTTP (POST, JSON) and over WebSocket (graphql-transport-ws), for callers with a valid token.

Follows the GraphQL-over-HTTP draft: a caller that accepts `application/graphql-response+json` gets status codes
for requests that could not be executed; one that accepts `application/json` gets 200 for documents that do not
parse or validate. There is no GET, no batching, and no page for browsers.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from typing import Any

import strawberry
from graphql import DocumentNode, GraphQLError, OperationDefinitionNode, parse
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.extensions import MaskErrors, SchemaExtension, ValidationCache
from strawberry.schema.schema import StreamResult
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.execution import ExecutionContext
from strawberry.types.graphql import OperationType
from strawberry.types.unset import UNSET, UnsetType

from amancay_schema.errors import ApiError
from amancay_server.fault import expose, log_faults, refusal_or_fault
from amancay_server.identity import Claims, Verifier, bearer_token
from amancay_server.limits import (
    CACHED_DOCUMENTS,
    CONNECTION_INIT_SECONDS,
    MAX_CONNECTIONS_PER_USER,
    MAX_SUBSCRIPTIONS_PER_CONNECTION,
    Limits,
    limit_exceeded,
    limit_rule,
    refusal_response,
)
from amancay_server.request import GRAPHQL_JSON, JSON, NotAcceptable, negotiate, read_body, read_json, read_operation
from amancay_server.websocket import Arrival, Connection, Socket

STATUS = {"UNAUTHENTICATED": 401, "FORBIDDEN": 403, "NOT_FOUND": 404, "INTERNAL": 500, "UNAVAILABLE": 503}
"""Of requests that were not executed; 400 for every other code."""
HTTP_OPERATIONS = frozenset({OperationType.QUERY, OperationType.MUTATION})
WEBSOCKET_OPERATIONS = frozenset({OperationType.QUERY, OperationType.SUBSCRIPTION})

MakeContext = Callable[[Claims], Awaitable[object]]


# ---------------------------------------------------------------- schema


class Schema(strawberry.Schema):
    """A schema that logs its faults without their text, and takes no mutation over a stream."""

    def process_errors(
        self,
        errors: list[GraphQLError],
        execution_context: ExecutionContext | None = None,  # noqa: ARG002 (the library's own signature)
    ) -> None:
        """Logs faults only, without what the library would log: messages, and the document around them."""
        log_faults(errors)

    async def stream(  # noqa: PLR0917 (the library's own signature)
        self,
        query: str | None,
        variable_values: dict[str, Any] | None = None,
        context_value: Any | None = None,
        root_value: Any | None = None,
        operation_name: str | None = None,
        operation_extensions: dict[str, Any] | None = None,
        allowed_operation_types: Iterable[OperationType] | None = None,
    ) -> StreamResult:
        """As in the library, but for mutations: a change is asked for once, and answered once, over HTTP."""
        return await super().stream(
            query,
            variable_values,
            context_value,
            root_value,
            operation_name,
            operation_extensions,
            allowed_operation_types or WEBSOCKET_OPERATIONS,
        )


def build_schema(
    query: type,
    mutation: type | None = None,
    subscription: type | None = None,
    *,
    limits: Limits | None = None,
    **options: Any,
) -> Schema:
    """The schema over the given roots, with limits, caches and masked errors; `options` are Strawberry's own."""
    bounds = limits or Limits()
    return Schema(
        query,
        mutation,
        subscription,
        extensions=[_Mask, lambda: _Bounds(bounds), _validation_cache, _OneOperation],
        **options,
    )


class _Mask(MaskErrors):
    def anonymise_error(self, error: GraphQLError) -> GraphQLError:
        return expose(error)


class _Bounds(SchemaExtension):
    """Parses within the limits, once for each document, and validates with the rule of the limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def on_operation(self) -> Iterator[None]:
        context = self.execution_context
        context.parse_options["max_tokens"] = self._limits.max_tokens
        context.validation_rules = (*context.validation_rules, limit_rule(self._limits))
        yield

    def on_parse(self) -> Iterator[None]:
        # A document that does not parse is parsed again by the library, which knows how to report it.
        with suppress(GraphQLError):
            self.execution_context.graphql_document = _parsed(
                self.execution_context.query or "", self._limits.max_tokens
            )
        yield


@lru_cache(maxsize=CACHED_DOCUMENTS)
def _parsed(query: str, max_tokens: int) -> DocumentNode:
    return parse(query, max_tokens=max_tokens)


def _validation_cache() -> SchemaExtension:
    return ValidationCache(maxsize=CACHED_DOCUMENTS)


class _OneOperation(SchemaExtension):
    """Refuses a document of several operations that does not say which: the library would run the first."""

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        document = context.graphql_document
        if document is not None and not context.pre_execution_errors and context._provided_operation_name is None:
            operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
            if len(operations) > 1:
                refusal = ApiError("BAD_USER_INPUT", "The document holds several operations: name the one to run.")
                context.pre_execution_errors = [GraphQLError(refusal.message, original_error=refusal)]
        yield


# ---------------------------------------------------------------- view


class GraphQLView(GraphQL[Any, None]):
    """The ASGI application that answers at the GraphQL path.

    Args:
        schema: What `build_schema` returned.
        verifier: Checks tokens.
        make_context: Finds the user behind the claims; raises `Unauthenticated` for an unknown or inactive one.
        limits: The same limits as the schema's.
        allowed_origins: Origins, besides our own, whose pages may open a WebSocket.
    """

    graphql_transport_ws_handler_class = Connection
    websocket_adapter_class = Socket

    def __init__(
        self,
        schema: Schema,
        *,
        verifier: Verifier,
        make_context: MakeContext,
        limits: Limits | None = None,
        allowed_origins: Sequence[str] = (),
    ) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            allow_queries_via_get=False,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=timedelta(seconds=CONNECTION_INIT_SECONDS),
            max_subscriptions_per_connection=MAX_SUBSCRIPTIONS_PER_CONNECTION,
            allowed_origins=allowed_origins,
        )
        self.verifier = verifier
        self.make_context = make_context
        self.limits = limits or Limits()
        self.connections: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        media_type = negotiate(request.headers.get("accept"))
        try:
            return _rendered(await self._executed(request, media_type), media_type or JSON)
        except Exception as error:
            return _refused(refusal_or_fault(error), media_type or JSON)

    async def _executed(self, request: Request, media_type: str | None) -> ExecutionResult:
        """Checks a request in the order: method, token, form, user; then executes it."""
        if request.method != "POST":
            raise NotAcceptable(405, "GraphQL is asked with POST here.", allow="POST")
        claims = self.verifier.verify(bearer_token(request.headers.get("authorization")))
        if media_type is None:
            raise NotAcceptable(406, f"Answers come as {GRAPHQL_JSON} or {JSON}.")
        operation = read_operation(await read_body(request), self.limits)
        context = await self.make_context(claims)
        try:
            return await self.schema.execute(
                operation.query,
                variable_values=operation.variables,
                context_value=context,
                operation_name=operation.operation_name,
                allowed_operation_types=HTTP_OPERATIONS,
            )
        except Exception as error:
            # The library raises what it could have answered, such as an unknown operation name.
            return ExecutionResult(data=None, errors=[GraphQLError("", original_error=error)])

    # What follows is called by the library for WebSockets only.

    async def get_context(
        self,
        request: Request | WebSocket,  # noqa: ARG002 (the library's own signature)
        response: Response | WebSocket,  # noqa: ARG002 (the library's own signature)
    ) -> Arrival:
        """A place to keep the token in, until `on_ws_connect` has seen it."""
        return Arrival()

    async def on_ws_connect(self, context: Any) -> UnsetType | dict[str, object] | None:
        """Admits a WebSocket by the token in its first message."""
        arrival: Arrival = context
        params = arrival.connection_params or {}
        claims = self.verifier.verify(bearer_token(params.get("Authorization", params.get("authorization"))))
        arrival.context = await self.make_context(claims)
        if self.connections[claims.subject] >= MAX_CONNECTIONS_PER_USER:
            message = f"A user may hold {MAX_CONNECTIONS_PER_USER} connections open."
            raise limit_exceeded("maxConnectionsPerUser", message)
        self.connections[claims.subject] += 1
        arrival.claims = claims
        nothing_to_tell: UnsetType = UNSET
        return nothing_to_tell

    def leave(self, arrival: Arrival) -> None:
        """Forgets a WebSocket that has ended."""
        if arrival.claims is not None:
            self.connections[arrival.claims.subject] -= 1
            self.connections += Counter()  # drops those at zero

    def decode_json(self, data: str | bytes) -> object:
        """Reads a WebSocket's message, within the limits of a request."""
        text = data if isinstance(data, str) else data.decode()
        try:
            return read_json(text, self.limits)
        except ApiError as refusal:
            raise json.JSONDecodeError(refusal.message, "", 0) from None

    def encode_json(self, data: object) -> str:
        """Writes JSON; a number that is not finite is a fault of ours, for JSON has none."""
        return json.dumps(data, separators=(",", ":"), allow_nan=False)


def _rendered(result: ExecutionResult, media_type: str) -> Response:
    """The answer to an executed request, or to one whose document could not be executed."""
    if result.errors and result.data is None:
        log_faults(error for error in result.errors if error.path is None and error.nodes is None)
    errors = [expose(error) for error in result.errors or ()]
    executed = result.data is not None or all(error.path is not None for error in errors)
    body: dict[str, object] = {"errors": [error.formatted for error in errors]} if errors else {}
    if executed:
        body["data"] = result.data
    content = json.dumps(body, separators=(",", ":"), allow_nan=False)
    status = 200 if executed or media_type == JSON else _status(errors)
    return Response(content, status_code=status, media_type=f"{media_type}; charset=utf-8")


def _refused(refusal: ApiError, media_type: str) -> Response:
    headers = {"www-authenticate": "Bearer"} if refusal.code == "UNAUTHENTICATED" else {}
    status = STATUS.get(refusal.code, 400)
    if isinstance(refusal, NotAcceptable):
        status, headers = refusal.status, refusal.headers
    return refusal_response(refusal, status=status, media_type=media_type, headers=headers)


def _status(errors: Iterable[GraphQLError]) -> int:
    codes = [str((error.extensions or {}).get("code")) for error in errors]
    return max(STATUS.get(code, 400) for code in codes)
