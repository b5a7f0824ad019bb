"""One WebSocket: admitted by the token in its first message, closed when that token ends.

Strawberry's handler trusts the form of what it receives; this one looks first. Close codes are those of
graphql-transport-ws: 4400 malformed, 4401 asked before admitted, 4403 no valid token (any more), 4408 said nothing,
4409 doubled id, 4429 too many.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, cast

from starlette.websockets import WebSocketState
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.subscriptions.protocols.graphql_transport_ws.types import (
    ConnectionInitMessage,
    Message,
    SubscribeMessage,
)

from amancay_schema.errors import ApiError
from amancay_server.fault import log_fault, refusal_or_fault
from amancay_server.identity import Claims
from amancay_server.limits import MAX_SUBSCRIPTIONS_PER_CONNECTION, Limits, limit_exceeded
from amancay_server.request import query_too_long

MALFORMED, FORBIDDEN, TOO_MANY, INTERNAL, TRY_AGAIN = 4400, 4403, 4429, 1011, 1013
CLOSE_CODES = {"UNAUTHENTICATED": FORBIDDEN, "LIMIT_EXCEEDED": TOO_MANY, "UNAVAILABLE": TRY_AGAIN}
MAX_REASON_BYTES = 123
"""Of a close frame, RFC 6455 section 5.5."""


@dataclass(slots=True, kw_only=True)
class Arrival:
    """What is known of a WebSocket: nothing, then its first message, then who it is."""

    connection_params: dict[str, Any] | None = None
    claims: Claims | None = None
    context: object = None


class Gate(Protocol):
    """What a connection needs of the view."""

    limits: Limits

    def leave(self, arrival: Arrival) -> None: ...


class Socket(ASGIWebSocketAdapter):
    """Closes with reasons that fit into a frame, and never writes to what is closed."""

    async def send_json(self, message: Mapping[str, object]) -> None:
        if self.ws.application_state is WebSocketState.DISCONNECTED:
            raise WebSocketDisconnected
        await super().send_json(message)

    async def close(self, code: int, reason: str) -> None:
        if self.ws.application_state is not WebSocketState.DISCONNECTED:
            await super().close(code, reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore"))


class Connection(BaseGraphQLTransportWSHandler[Any, None]):
    """Speaks graphql-transport-ws with one WebSocket."""

    expiry: asyncio.Task[None] | None = None

    async def handle(self) -> None:
        arrival: Arrival = self.context
        try:
            await super().handle()
        finally:
            if self.expiry is not None:
                self.expiry.cancel()
            cast("Gate", self.view).leave(arrival)

    async def handle_message(self, message: Message) -> None:
        form: object = message
        if not isinstance(form, dict) or not isinstance(form.get("type"), str):
            await self.handle_invalid_message("A message is an object with a type")
        elif form["type"] in {"subscribe", "complete"} and not isinstance(form.get("id"), str):
            await self.handle_invalid_message("The id must be a string")
        else:
            await super().handle_message(message)

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        arrival = self.context
        try:
            await super().handle_connection_init(message)
        except WebSocketDisconnected:
            raise
        except Exception as error:
            refusal = refusal_or_fault(error)
            await self.websocket.close(CLOSE_CODES.get(refusal.code, INTERNAL), refusal.message)
        if isinstance(arrival, Arrival) and arrival.claims is not None:
            self.context = arrival.context
            self.expiry = asyncio.create_task(self._close_at(arrival.claims.expires_at))

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        if self.connection_acknowledged:
            if not _is_operation(message.get("payload")):
                await self.handle_invalid_message("The payload is no operation")
                return
            refusal = self._refusal(message["payload"]["query"])
            if refusal is not None and message["id"] not in self.operations:
                error: Any = {"message": refusal.message, "extensions": refusal.extensions}
                await self.send_message({"id": message["id"], "type": "error", "payload": [error]})
                return
        await super().handle_subscribe(message)

    def _refusal(self, query: str) -> ApiError | None:
        limits = cast("Gate", self.view).limits
        if len(query) > limits.max_query_length:
            return query_too_long(limits)
        if len(self.operations) >= MAX_SUBSCRIPTIONS_PER_CONNECTION:
            message = f"A connection may run {MAX_SUBSCRIPTIONS_PER_CONNECTION} operations at a time."
            return limit_exceeded("maxSubscriptionsPerConnection", message)
        return None

    async def handle_task_exception(self, error: Exception) -> None:
        """Logs a fault of an operation's task, without its text; that the caller has gone is none."""
        if not isinstance(error, WebSocketDisconnected):
            log_fault(error)

    async def _close_at(self, moment: datetime) -> None:
        await asyncio.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))
        for operation_id in list(self.operations):
            await self.cleanup_operation(operation_id)
        with suppress(WebSocketDisconnected, RuntimeError):
            await self.websocket.close(FORBIDDEN, "The access token has expired")


def _is_operation(payload: object) -> bool:
    return (
        isinstance(payload, dict)
        and isinstance(payload.get("query"), str)
        and isinstance(payload.get("operationName"), str | None)
        and isinstance(payload.get("variables"), dict | None)
    )
