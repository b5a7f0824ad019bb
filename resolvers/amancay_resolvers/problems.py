"""Refusals of the other rooms in the schema's words: as members of a union, or as top-level errors."""

from strawberry.exceptions import StrawberryInputCoercionError

from amancay_engine.errors import EngineRefusal
from amancay_resolvers.budget import loss_of
from amancay_schema.errors import ApiError
from amancay_schema.problems import BudgetExceeded, Conflict, ErrorCode, InvalidQuery, NotFound
from amancay_storage import errors as storage

NO_DATASET = "There is no such dataset for you: check the name, or ask for a grant."
REFUSALS = (EngineRefusal, storage.StorageRefusal)
Refusal = InvalidQuery | BudgetExceeded | NotFound | Conflict


def no_dataset() -> NotFound:
    """The same answer for a dataset that does not exist and for one without a grant."""
    return NotFound(code=ErrorCode.NOT_FOUND, message=NO_DATASET)


def invalid(message: str, *path: str) -> InvalidQuery:
    """A refusal of the input at `path`."""
    return InvalidQuery(code=ErrorCode.INVALID_QUERY, message=message, path=list(path) or None)


def problem(error: Exception) -> Refusal:
    """The union member for a refusal.

    Raises:
        ApiError: for what no union has a member for.
    """
    match error:
        case EngineRefusal():
            return invalid(error.message, *error.path)
        case storage.BudgetExceeded():
            return BudgetExceeded(
                code=ErrorCode.BUDGET_EXCEEDED,
                message=error.message,
                requested=loss_of(error.requested),
                remaining=loss_of(error.remaining),
            )
        case storage.NotFound():
            return no_dataset()
        case storage.Conflict():
            return Conflict(code=ErrorCode.CONFLICT, message=error.message)
    raise api_error(error) or error


def api_error(error: BaseException) -> ApiError | None:
    """The top-level error for a refusal; None for a fault, which is masked."""
    match error:
        case ApiError():
            return error
        case storage.LimitExceeded():
            return ApiError("LIMIT_EXCEEDED", error.message, limit=error.limit)
        case storage.BadCursor() | storage.BadName() | StrawberryInputCoercionError():
            return ApiError("BAD_USER_INPUT", error.message)
        case EngineRefusal():
            return ApiError("BAD_USER_INPUT", error.message, path=list(error.path))
        case storage.StoreUnavailable():
            return ApiError("UNAVAILABLE", "The server cannot reach its store right now. Nothing is lost; try again.")
        case _:
            return None
