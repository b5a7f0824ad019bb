"""Refusals that leave as top-level GraphQL errors, with their code in `extensions`.

    ApiError                 a refusal in our own words; what it carries may be shown to its caller
    └── Unauthenticated      no valid token, or no active user behind it: one message for all of them

Refusals that a caller is expected to handle in a programme are union members instead (`InvalidQuery`,
`BudgetExceeded`).
"""

from collections.abc import Mapping
from types import MappingProxyType


class ApiError(Exception):
    """A refusal whose message, code and details may be shown to the caller.

    Args:
        code: A value of the schema's enum `ErrorCode`.
        message: What was refused and what is allowed, in our own words.
        details: Further plain JSON values for `extensions`, such as the name of a limit.
    """

    def __init__(self, code: str, message: str, **details: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details: Mapping[str, object] = MappingProxyType(details)

    @property
    def extensions(self) -> dict[str, object]:
        """What stands beside the message in a GraphQL error."""
        return {"code": self.code, **self.details}


class Unauthenticated(ApiError):
    """Nobody we know is asking. The message never says which check failed."""

    def __init__(self) -> None:
        super().__init__("UNAUTHENTICATED", "A valid access token is required.")
