"""One server, reached over HTTP for questions and over a WebSocket for live updates."""

import json
import logging
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from typing import Any, Self, cast
from urllib.parse import urlsplit, urlunsplit

import anyio
from gql import Client, GraphQLRequest
from gql.client import AsyncClientSession
from gql.transport.exceptions import (
    TransportClosed,
    TransportConnectionFailed,
    TransportError,
    TransportProtocolError,
    TransportQueryError,
    TransportServerError,
)
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport

from amancay_client.document import document
from amancay_client.errors import AmancayError, ServerFault, ServerUnreachable, refusal

RETRY_DELAYS = (0.1, 0.4, 1.6)
"""Seconds before each further attempt at a request that got no answer."""
GATEWAY_CODES = frozenset({502, 503, 504})
CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 1.0
SUBPROTOCOL = "graphql-transport-ws"
TOKEN = re.compile(r"[\x21-\x7e]+")

_silent = logging.getLogger("amancay_client.websocket")
# At DEBUG the websockets library writes every frame to its log, the one with the token among them.
_silent.setLevel(logging.WARNING)


class SocketLost(Exception):
    """There is no live connection, for whatever reason; polling still works if the server does."""


class Connection:
    """Asks the server at `url` in the name of `token`; `timeout` is in seconds, for each attempt.

    Every request may be sent more than once: a mutation carries an idempotency key, or changes nothing when
    it comes again.
    """

    def __init__(self, url: str, token: str, timeout: float) -> None:
        self.url = _checked_url(url)
        self._token = _checked_token(token)
        self._timeout = timeout
        self._stack = AsyncExitStack()
        self._session: AsyncClientSession | None = None

    def __repr__(self) -> str:
        return f"<connection to {self.url}>"

    async def open(self) -> Self:
        """Get ready; nothing is sent yet."""
        transport = HTTPXAsyncTransport(
            self.url,
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=(CONNECT_SECONDS, self._timeout, self._timeout, self._timeout),
        )
        client = Client(transport=transport, execute_timeout=None)
        self._session = cast("AsyncClientSession", await self._stack.enter_async_context(client))
        return self

    async def close(self) -> None:
        """Let go of the server; later questions are refused."""
        self._session = None
        await self._stack.aclose()

    async def ask(self, operation: str, **variables: Any) -> dict[str, Any]:
        """The answer to the operation in `documents/<operation>.graphql`.

        Raises Refused in one of its kinds, ServerUnreachable or ServerFault.
        """
        request = GraphQLRequest(document(operation), variable_values=variables)
        for delay in RETRY_DELAYS:
            try:
                return await self._once(request)
            except ServerUnreachable:
                await anyio.sleep(delay)
        return await self._once(request)

    async def listen(self, operation: str, **variables: Any) -> AsyncGenerator[dict[str, Any], None]:
        """Every answer to a subscription until the server completes it.

        Raises SocketLost when there is no live connection, and Refused if the server will not have it.
        """
        request = GraphQLRequest(document(operation), variable_values=variables)
        try:
            async with AsyncExitStack() as stack:
                client = Client(transport=self._socket())
                session = cast("AsyncClientSession", await stack.enter_async_context(client))
                answers = await stack.enter_async_context(aclosing(session.subscribe(request)))
                async for answer in answers:
                    yield answer
        except TransportQueryError as error:
            raise self._stated(error) from None
        except (TransportError, OSError, TimeoutError) as error:
            raise SocketLost from error

    async def _once(self, request: GraphQLRequest) -> dict[str, Any]:
        if self._session is None:
            raise AmancayError("This session is closed; connect again.")
        try:
            return await self._session.execute(request)
        except TransportQueryError as error:
            raise self._stated(error) from None
        except (TransportError, OSError) as error:
            raise self._fault(error) from error

    def _stated(self, error: TransportQueryError) -> AmancayError:
        """What the server itself said: its first error, with the code among the extensions."""
        match error.errors:
            case [{"message": message, "extensions": {"code": _} as stated}, *_]:
                return refusal({**stated, "message": message}, self.url)
            case [{"message": message}, *_]:
                return refusal({"message": message}, self.url)
            case _:
                return ServerFault(f"{self.url} does not speak GraphQL. Does the address end in /graphql?")

    def _fault(self, error: Exception) -> AmancayError:
        """What it means that no answer in GraphQL came back."""
        match error:
            case TransportServerError(code=code) if code in GATEWAY_CODES:
                return ServerUnreachable(self.url, f"HTTP {code}")
            case TransportServerError(code=code):
                return ServerFault(f"{self.url} answered with HTTP {code}. Does the address end in /graphql?")
            case TransportProtocolError():
                return ServerFault(f"{self.url} does not speak GraphQL. Does the address end in /graphql?")
            case TransportClosed():
                return AmancayError("This session is closed; connect again.")
            case TransportConnectionFailed(__cause__=(TypeError() | ValueError()) as mistake):
                return AmancayError(f"The request cannot be sent as JSON: {mistake}")
            case _:
                return ServerUnreachable(self.url, type(error.__cause__ or error).__name__)

    def _socket(self) -> WebsocketsTransport:
        return _Socket(
            url=re.sub("^http", "ws", self.url),
            subprotocols=[SUBPROTOCOL],
            init_payload={"Authorization": f"Bearer {self._token}"},
            connect_timeout=CONNECT_SECONDS,
            ack_timeout=CONNECT_SECONDS,
            close_timeout=CLOSE_SECONDS,
            connect_args={"logger": _silent, "close_timeout": CLOSE_SECONDS},
        )


class _Socket(WebsocketsTransport):
    """gql's transport, which would write the token to its log when logging at DEBUG."""

    async def _send(self, message: str) -> None:
        if json.loads(message)["type"] == "connection_init":
            await self.adapter.send(message)
        else:
            await super()._send(message)


def _checked_url(url: str) -> str:
    """The address without spaces and fragment.

    Raises ValueError unless it is http(s), with a host and without a password in it.
    """
    parts = urlsplit(url.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("the URL of an Amancay server looks like https://amancay.example.org/graphql")
    if parts.username is not None or parts.password is not None:
        raise ValueError("give the token as a token, and no user name or password in the URL")
    return urlunsplit((parts.scheme, parts.netloc, parts.path, parts.query, ""))


def _checked_token(token: str) -> str:
    """The token without the space around it; an error never quotes it, as a library's would.

    Raises ValueError if it cannot stand in a header.
    """
    stripped = token.strip()
    if not TOKEN.fullmatch(stripped):
        raise ValueError("the token is empty, or has characters in it that no token has")
    return stripped
