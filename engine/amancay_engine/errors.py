"""What the engine refuses, and how a run fails.

EngineRefusal                 before any data is read; the message speaks of the query and the metadata only
├── InvalidQuery              the query cannot be asked like that; `path` says where
└── InvalidMetadata           the owner's declaration cannot be used; `path` says where
RunFailure                    after the run began; carries a fixed code and a fixed message, never a library's text
"""

from dataclasses import dataclass
from enum import StrEnum


class EngineRefusal(Exception):
    """Refused before any data was read."""

    def __init__(self, message: str, *path: str) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


class InvalidQuery(EngineRefusal):
    """The query cannot be asked like that."""


class InvalidMetadata(EngineRefusal):
    """The metadata document cannot be used."""


class FailureCode(StrEnum):
    """Why a run gave no answer."""

    TIMEOUT = "TIMEOUT"
    LIBRARY_ERROR = "LIBRARY_ERROR"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailure:
    """How a run failed, in words that depend on nothing but the code."""

    code: FailureCode

    @property
    def message(self) -> str:
        """The fixed text shown to the researcher."""
        return FAILURE_MESSAGES[self.code]


FAILURE_MESSAGES = {
    FailureCode.TIMEOUT: "The query ran longer than its time limit and was stopped.",
    FailureCode.LIBRARY_ERROR: "The query could not be computed.",
    FailureCode.UNAVAILABLE: "The data could not be reached; nothing was read.",
    FailureCode.INTERNAL: "The execution was interrupted too often and was given up.",
}
