"""What a researcher is told when the server cannot be asked, or is something else."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import amancay_client as amancay
from amancay_client.errors import refusal
from amancay_client.transport import RETRY_DELAYS, Connection

TOKEN = "ey.secret-token.0123456789"


class Stranger(ThreadingHTTPServer):
    """A web server that is no Amancay server: it answers everything with one page, and counts."""

    def __init__(self, status: int, page: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Page)
        self.status = status
        self.page = page
        self.requests = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}/graphql"


class _Page(BaseHTTPRequestHandler):
    server: Stranger

    def do_POST(self) -> None:
        self.server.requests += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.page)))
        self.end_headers()
        self.wfile.write(self.server.page)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def stranger(request: pytest.FixtureRequest) -> Iterator[Stranger]:
    """A stranger with the status and the page that the test names."""
    with Stranger(*request.param) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def answers(*cases: tuple[int, bytes]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("stranger", cases, indirect=True)


def test_nobody_there() -> None:
    with pytest.raises(amancay.ServerUnreachable, match=r"127\.0\.0\.1:9/graphql \(ConnectError\)") as caught:
        amancay.connect("http://127.0.0.1:9/graphql", TOKEN)
    assert caught.value.url == "http://127.0.0.1:9/graphql"
    assert TOKEN not in repr(caught.value)


@answers((503, b"<p>Busy"), (502, b""), (504, b"late"))
def test_a_gateway_with_nothing_behind_it_is_asked_again(stranger: Stranger) -> None:
    with pytest.raises(amancay.ServerUnreachable, match=f"HTTP {stranger.status}"):
        amancay.connect(stranger.url, TOKEN)
    assert stranger.requests == 1 + len(RETRY_DELAYS)


@answers(
    (404, b"<p>Not here"),
    (500, b"<p>Oops"),
    (200, b"<p>Welcome"),
    (200, b"[]"),
    (200, b'{"name": "API"}'),
    (200, b'{"errors": ["no"]}'),
)
def test_a_stranger_is_a_fault_and_not_asked_again(stranger: Stranger) -> None:
    with pytest.raises(amancay.ServerFault, match="Does the address end in /graphql"):
        amancay.connect(stranger.url, TOKEN)
    assert stranger.requests == 1


@answers((401, b'{"errors": [{"message": "Who?", "extensions": {"code": "UNAUTHENTICATED"}}]}'))
def test_a_stated_code_decides(stranger: Stranger) -> None:
    with pytest.raises(amancay.Unauthenticated, match="Who") as caught:
        amancay.connect(stranger.url, TOKEN)
    assert caught.value.code == "UNAUTHENTICATED"


@answers((200, b'{"errors": [{"message": "Something went wrong on our side."}]}'))
def test_an_error_without_a_code_is_the_servers(stranger: Stranger) -> None:
    with pytest.raises(amancay.ServerFault, match="on our side"):
        amancay.connect(stranger.url, TOKEN)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("INVALID_QUERY", amancay.InvalidQuery),
        ("NOT_FOUND", amancay.NotFound),
        ("CONFLICT", amancay.Conflict),
        ("LIMIT_EXCEEDED", amancay.LimitExceeded),
        ("UNAUTHENTICATED", amancay.Unauthenticated),
        ("FORBIDDEN", amancay.Forbidden),
        ("BAD_USER_INPUT", amancay.Refused),
        ("SOMETHING_NEW", amancay.Refused),
        ("UNAVAILABLE", amancay.ServerUnreachable),
        ("INTERNAL", amancay.ServerFault),
        (None, amancay.ServerFault),
    ],
)
def test_each_code_has_its_error(code: str | None, kind: type[amancay.AmancayError]) -> None:
    error = refusal({"code": code, "message": "No."}, "http://127.0.0.1/graphql")
    assert type(error) is kind
    assert "No." in str(error)


def test_refusals_keep_their_fields() -> None:
    losses = {"requested": {"epsilon": 2, "delta": 0}, "remaining": {"epsilon": 1, "delta": 1e-06}}
    error = refusal({"code": "BUDGET_EXCEEDED", "message": "Too much.", **losses}, "")
    assert isinstance(error, amancay.BudgetExceeded)
    assert (error.requested.epsilon, error.remaining.delta) == (2.0, 1e-06)
    assert str(error) == "Too much. (requested: epsilon 2, delta 0; remaining: epsilon 1, delta 1e-06)"
    path = refusal({"code": "INVALID_QUERY", "message": "No MIN.", "path": ["sql", "select"]}, "")
    assert isinstance(path, amancay.InvalidQuery)
    assert (path.path, str(path)) == (("sql", "select"), "No MIN. (at sql.select)")


@pytest.mark.parametrize(
    "url", ["", "amancay.example.org/graphql", "ftp://a/graphql", "http://", "https://ada:secret@example.org/graphql"]
)
def test_addresses_that_cannot_be(url: str) -> None:
    with pytest.raises(ValueError, match="URL") as caught:
        Connection(url, TOKEN, 1.0)
    assert "secret@" not in str(caught.value)


@pytest.mark.parametrize("token", ["", " ", "two words", "line\nbreak", "naïve"])
def test_tokens_that_cannot_stand_in_a_header_are_not_quoted(token: str) -> None:
    """Goal: no library gets to quote the token. Method: refuse it before one sees it."""
    with pytest.raises(ValueError, match="the token is empty, or has characters in it that no token has"):
        Connection("https://example.org/graphql", token, 1.0)


def test_the_token_is_in_no_repr() -> None:
    client = amancay.AsyncClient("https://example.org/graphql", TOKEN + "\n")
    assert repr(client) == "<Amancay session at https://example.org/graphql: not connected>"
    assert TOKEN not in repr(Connection("https://example.org/graphql", TOKEN, 1.0))


def test_the_environment_gives_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMANCAY_URL", "https://example.org/graphql")
    monkeypatch.delenv("AMANCAY_TOKEN", raising=False)
    with pytest.raises(ValueError, match=r"no token: pass token=\.\.\. or set AMANCAY_TOKEN"):
        amancay.AsyncClient()
    monkeypatch.setenv("AMANCAY_TOKEN", TOKEN)
    assert "https://example.org/graphql" in repr(amancay.AsyncClient())
