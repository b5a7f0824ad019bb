"""What a mutation answers instead of doing what was asked: refusals are data."""

from enum import Enum

import strawberry

from amancay_schema.budget import PrivacyLoss


@strawberry.enum(description="The kind of a refusal or failure, stable for programs.")
class ErrorCode(Enum):
    """Also in `extensions.code` of top-level errors."""

    UNAUTHENTICATED = strawberry.enum_value("UNAUTHENTICATED", description="No valid token.")
    FORBIDDEN = strawberry.enum_value("FORBIDDEN", description="Not for the caller's role.")
    NOT_FOUND = strawberry.enum_value("NOT_FOUND", description="Does not exist, or not for the caller.")
    BAD_USER_INPUT = strawberry.enum_value("BAD_USER_INPUT", description="The request itself cannot be read.")
    INVALID_QUERY = strawberry.enum_value("INVALID_QUERY", description="The question cannot be asked like that.")
    BUDGET_EXCEEDED = strawberry.enum_value("BUDGET_EXCEEDED", description="Costs more than remains.")
    LIMIT_EXCEEDED = strawberry.enum_value("LIMIT_EXCEEDED", description="Larger or more often than the server allows.")
    CONFLICT = strawberry.enum_value("CONFLICT", description="Contradicts what is already there.")
    CANCELLED = strawberry.enum_value("CANCELLED", description="Stopped on request.")
    TIMEOUT = strawberry.enum_value("TIMEOUT", description="Ran longer than allowed.")
    LIBRARY_ERROR = strawberry.enum_value("LIBRARY_ERROR", description="The computation failed.")
    UNAVAILABLE = strawberry.enum_value("UNAVAILABLE", description="Something needed cannot be reached; try again.")
    INTERNAL = strawberry.enum_value("INTERNAL", description="A fault on the server's side.")


@strawberry.interface(description="A refusal: what was wrong and what to do.")
class Problem:
    """Common to all refusals."""

    code: ErrorCode = strawberry.field(description="The kind of refusal, for programs.")
    message: str = strawberry.field(description="What was wrong and what to do, for people.")


@strawberry.type(description="The question cannot be asked like that. Nothing was charged.")
class InvalidQuery(Problem):
    """Names the place."""

    path: list[str] | None = strawberry.field(description="Where in the input, outermost first.")


@strawberry.type(description="The answer costs more than remains. Nothing was charged.")
class BudgetExceeded(Problem):
    """Names the figures."""

    requested: PrivacyLoss = strawberry.field(description="What the answer would cost.")
    remaining: PrivacyLoss = strawberry.field(description="What is left, of the grant or of the dataset's own cap.")


@strawberry.type(description="There is no such thing for the caller: it does not exist, or is not granted.")
class NotFound(Problem):
    """The same answer for both, so that nobody learns what exists."""


@strawberry.type(description="Contradicts what is already there, such as an idempotency key used for something else.")
class Conflict(Problem):
    """Names what it contradicts."""
