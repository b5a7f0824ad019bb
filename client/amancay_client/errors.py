"""What can go wrong, from a researcher's point of view.

    AmancayError
    ├── Refused                 the server said no and charged nothing; `code`, `message`
    │   ├── InvalidQuery        the query cannot be asked like that; `path` says where
    │   ├── BudgetExceeded      it costs more than what remains; `requested`, `remaining`
    │   ├── NotFound            no such thing, or no grant for it: the server does not tell which
    │   ├── Conflict            it does not fit the present state
    │   ├── LimitExceeded       a limit of the server, named in the message
    │   ├── Unauthenticated     the token is missing, wrong or expired
    │   └── Forbidden           not with this role
    ├── ExecutionFailed         the execution ended without an answer; `execution`, `code`
    ├── ExecutionCancelled      somebody cancelled it; `execution`
    ├── StillRunning            a wait ran out of time, the execution goes on; `execution`
    ├── ServerUnreachable       no connection, no answer in time, or a gateway with nothing behind it; `url`
    └── ServerFault             the server's own mistake

No message ever holds the token.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from amancay_client.budget import PrivacyLoss
from amancay_client.display import plain

if TYPE_CHECKING:
    from amancay_client.execution import ExecutionFacts


class AmancayError(Exception):
    """Everything that this package raises on purpose."""


class Refused(AmancayError):
    """The server said no; nothing was run and nothing was charged."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class InvalidQuery(Refused):
    """The query cannot be asked like that; `path` names the part."""

    def __init__(self, message: str, *, code: str = "INVALID_QUERY", path: tuple[str, ...] = ()) -> None:
        super().__init__(message, code=code)
        self.path = path

    def __str__(self) -> str:
        return f"{self.message} (at {'.'.join(self.path)})" if self.path else self.message


class BudgetExceeded(Refused):
    """The answer would cost more than what remains."""

    def __init__(self, message: str, *, code: str, requested: PrivacyLoss, remaining: PrivacyLoss) -> None:
        super().__init__(message, code=code)
        self.requested = requested
        self.remaining = remaining

    def __str__(self) -> str:
        return f"{self.message} (requested: {self.requested}; remaining: {self.remaining})"


class NotFound(Refused):
    """There is no such thing, or there is no grant for it."""


class Conflict(Refused):
    """The request does not fit the present state, such as a key that was used for another query."""


class LimitExceeded(Refused):
    """One of the server's limits was reached; the message names it."""


class Unauthenticated(Refused):
    """The token is missing, wrong or expired."""


class Forbidden(Refused):
    """This role may not do that."""


class ServerUnreachable(AmancayError):
    """The server did not answer, after several attempts."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"No answer from the Amancay server at {url} ({reason}). Is the address right, is the server "
            "running, does your network lead there?"
        )
        self.url = url


class ServerFault(AmancayError):
    """The server made a mistake of its own; its administrator can find it in the log."""


class ExecutionFailed(AmancayError):
    """The execution ended without an answer; once it has read the data it is charged all the same."""

    def __init__(self, execution: "ExecutionFacts") -> None:
        error = execution.error
        self.execution = execution
        self.code = error.code if error else "INTERNAL"
        reason = error.message if error else "The server gave no reason."
        super().__init__(f"{plain(reason)} [{self.code}] {_charge(execution)}")


class ExecutionCancelled(AmancayError):
    """The execution was cancelled."""

    def __init__(self, execution: "ExecutionFacts") -> None:
        self.execution = execution
        super().__init__(f"The execution was cancelled. {_charge(execution)}")


class StillRunning(AmancayError, TimeoutError):
    """The wait ran out of time (it is a TimeoutError, too); the execution goes on."""

    def __init__(self, execution: "ExecutionFacts", seconds: float) -> None:
        self.execution = execution
        super().__init__(f"Not finished after {seconds:g} s. {later(execution.id)}")


def later(execution_id: str) -> str:
    """How to come back to an execution that goes on."""
    return f"The execution goes on; fetch it later with session.execution({execution_id!r})."


def again(key: str) -> str:
    """How to repeat a request whose answer never came, without paying for it twice."""
    return f"It may have been handed in; run(idempotency_key={key!r}) gives that very execution, charged once."


def refusal(problem: Mapping[str, Any], url: str) -> AmancayError:
    """The error for what the server stated with a code, as a union member or in an error's extensions."""
    code = plain(str(problem.get("code") or "INTERNAL"))
    message = plain(str(problem.get("message") or "The server gave no reason."))
    if code == "INVALID_QUERY":
        return InvalidQuery(message, code=code, path=tuple(map(str, problem.get("path") or ())))
    if code == "BUDGET_EXCEEDED" and problem.get("requested"):
        requested, remaining = map(PrivacyLoss.parse, (problem["requested"], problem["remaining"]))
        return BudgetExceeded(message, code=code, requested=requested, remaining=remaining)
    if code == "UNAVAILABLE":
        return ServerUnreachable(url, message)
    if code == "INTERNAL":
        return ServerFault(message)
    return REFUSALS.get(code, Refused)(message, code=code)


REFUSALS: dict[str, type[Refused]] = {
    "NOT_FOUND": NotFound,
    "CONFLICT": Conflict,
    "LIMIT_EXCEEDED": LimitExceeded,
    "UNAUTHENTICATED": Unauthenticated,
    "FORBIDDEN": Forbidden,
}


def _charge(execution: "ExecutionFacts") -> str:
    charged = execution.charged
    return f"It was charged {charged}." if charged.epsilon or charged.delta else "Nothing was charged."
