"""A bad network for the client's tests: a line that loses answers, refuses sockets and breaks them."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedIOBase
from typing import Protocol
from urllib.parse import urlsplit

import pytest

GATEWAY_ERROR = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nBusy"


class DemoServer(Protocol):
    """A running server with the demo's data and users."""

    @property
    def url(self) -> str:
        """Where GraphQL is spoken."""
        ...

    def token(self, user: str) -> str:
        """A valid token of a demo user."""
        ...


class Line(socketserver.ThreadingTCPServer):
    """A gateway between client and server that fails when told to; it copies bytes and understands no GraphQL."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Caller)
        parts = urlsplit(target)
        assert parts.hostname is not None
        self.target = (parts.hostname, parts.port or 80)
        self.url = f"http://127.0.0.1:{self.server_address[1]}{parts.path}"
        self.gateway_errors = 0
        self.lost_answers = 0
        self.refuses_sockets = False
        self.opened: list[socket.socket] = []

    def cut_sockets(self) -> None:
        """Break every WebSocket without a word."""
        while self.opened:
            with suppress(OSError):
                self.opened.pop().shutdown(socket.SHUT_RDWR)


class _Caller(socketserver.StreamRequestHandler):
    server: Line

    def handle(self) -> None:
        with suppress(OSError):
            while head := _head(self.rfile):
                body = self.rfile.read(_length(head))
                if b"upgrade: websocket" in head.lower():
                    self._socket(head)
                    break
                if not self._answer(head, body):
                    break

    def _answer(self, head: bytes, body: bytes) -> bool:
        if self.server.gateway_errors:
            self.server.gateway_errors -= 1
            self.wfile.write(GATEWAY_ERROR)
            return True
        with socket.create_connection(self.server.target) as upstream, upstream.makefile("rb") as answers:
            upstream.sendall(head + body)
            answer_head = _head(answers)
            answer = answer_head + answers.read(_length(answer_head))
        if self.server.lost_answers and b"mutation Execute(" in body:
            self.server.lost_answers -= 1
            return False
        self.wfile.write(answer)
        return True

    def _socket(self, head: bytes) -> None:
        if self.server.refuses_sockets:
            return
        with socket.create_connection(self.server.target) as upstream:
            self.server.opened += [upstream, self.connection]
            upstream.sendall(head)
            back = threading.Thread(target=_copy, args=(upstream, self.connection))
            back.start()
            _copy(self.connection, upstream)
            back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65536):
            sink.sendall(chunk)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _head(stream: BufferedIOBase) -> bytes:
    lines = b""
    while line := stream.readline():
        lines += line
        if line == b"\r\n":
            return lines
    return b""


def _length(head: bytes) -> int:
    fields = (line.partition(b":") for line in head.lower().splitlines())
    return next((int(value) for name, _, value in fields if name == b"content-length"), 0)


@contextmanager
def line_to(target: str) -> Iterator[Line]:
    """A line to the server at `target`, listening."""
    with Line(target) as line:
        thread = threading.Thread(target=line.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield line
        finally:
            line.cut_sockets()
            line.shutdown()
            thread.join()


@pytest.fixture
def line(demo_server: DemoServer) -> Iterator[Line]:
    """A line to the demo server that works until it is told otherwise."""
    with line_to(demo_server.url) as opened:
        yield opened
