"""What of an error may leave, and what the administrator's log gets instead.

Leaving are our own refusals (`ApiError`), what is wrong with the document or its variables, and that the store
cannot be reached. Everything else is a fault: the caller reads one fixed sentence, the log gets the path, the type
and the place in the code, and neither gets the text of an exception, a variable or an argument.
"""

import logging
import traceback
from collections.abc import Iterable, Sequence

from graphql import GraphQLError, GraphQLSyntaxError
from graphql.validation.validate import ValidationAbortedError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError

from amancay_resolvers.problems import api_error
from amancay_schema.errors import ApiError
from amancay_storage.errors import StoreUnavailable

MASKED = "Something went wrong on our side."
RULE_CODES = frozenset({"BAD_USER_INPUT", "LIMIT_EXCEEDED"})
"""What our own validation rules refuse with."""
MAX_MESSAGE = 500
"""Characters of a message about the document: it may quote what was sent."""
MAX_FRAMES = 12

# What the parser says when it gives up, and the limit that it means.
_PARSER_LIMITS = {
    "tokens. Parsing aborted": "maxTokens",
    "nested too deeply": "maxDepth",
}

log = logging.getLogger("amancay.fault")


class Exposed(GraphQLError):
    """An error as the caller may see it."""


def expose(error: GraphQLError) -> Exposed:
    """`error` as the caller may see it, with a code; what is exposed already stays as it is."""
    if isinstance(error, Exposed):
        return error
    refusal = refusal_in(error) or ApiError("INTERNAL", MASKED)
    return Exposed(
        refusal.message[:MAX_MESSAGE],
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=refusal.extensions,
    )


def refusal_in(error: GraphQLError) -> ApiError | None:
    """The refusal that `error` carries or means, or None if it is a fault of ours."""
    root = root_of(error)
    match root:
        case CannotGetOperationTypeError() as unknown:
            return ApiError("BAD_USER_INPUT", unknown.as_http_error_reason())
        case InvalidOperationTypeError() as unfit:
            kind = unfit.operation_type.value
            return ApiError("BAD_USER_INPUT", f"An operation of type {kind} is not possible over this transport.")
        case ValidationAbortedError() if (root.extensions or {}).get("code") in RULE_CODES:
            return ApiError(message=root.message, **(root.extensions or {}))
        case _:
            return api_error(root) or _about_the_document(error, root)


def _about_the_document(error: GraphQLError, root: Exception) -> ApiError | None:
    """Errors of graphql-core's own: of the request if they point into its document, else of ours."""
    limit = _limit_in(error)
    if limit is not None:
        return ApiError("LIMIT_EXCEEDED", f"The document is too large or nested too deeply ({limit}).", limit=limit)
    if isinstance(root, GraphQLSyntaxError | ValidationAbortedError):
        return ApiError("BAD_USER_INPUT", error.message)
    # Without a path, nothing was executed. With one, an argument turned out unfit while executing; an
    # answer that could not be written also comes with a path, but points at no node.
    points_into_document = error if error.path is None else root
    if isinstance(points_into_document, GraphQLError) and points_into_document.nodes:
        return ApiError("BAD_USER_INPUT", error.message)
    return None


def _limit_in(error: GraphQLError) -> str | None:
    if isinstance(error, GraphQLSyntaxError):
        return next((limit for words, limit in _PARSER_LIMITS.items() if words in error.message), None)
    return "maxDepth" if isinstance(error, ValidationAbortedError) and "Too many" not in error.message else None


def root_of(error: Exception) -> Exception:
    """The exception at the bottom of what graphql-core wrapped."""
    while isinstance(error, GraphQLError) and error.original_error is not None:
        error = error.original_error
    return error


def refusal_or_fault(error: Exception) -> ApiError:
    """What to answer for `error`, raised before anything was executed; a fault is logged."""
    if isinstance(error, StoreUnavailable):
        log.warning("store unavailable, path=-")
    refusal = api_error(error)
    if refusal is None:
        log_fault(error)
    return refusal or ApiError("INTERNAL", MASKED)


def log_faults(errors: Iterable[GraphQLError]) -> None:
    """Tells the administrator of every error that is ours."""
    for error in errors:
        root = root_of(error)
        if isinstance(root, StoreUnavailable):
            log.warning("store unavailable, path=%s", _path(error.path))
        elif not isinstance(error, Exposed) and refusal_in(error) is None:
            log_fault(root, error.path)


def log_fault(fault: BaseException, path: Sequence[str | int] | None = None) -> None:
    """Writes where `fault` happened, and of which type it is; its text may quote data or a library."""
    kinds = type(fault).__name__
    if fault.__cause__ is not None:
        kinds += f" from {type(fault.__cause__).__name__}"
    log.error("fault, path=%s type=%s at %s", _path(path), kinds, _places(fault))


def _path(path: Sequence[str | int] | None) -> str:
    return ".".join(str(part) for part in path or ()) or "-"


def _places(fault: BaseException) -> str:
    """The innermost places in the code, latest first."""
    frames = traceback.StackSummary.extract(traceback.walk_tb(fault.__traceback__), lookup_lines=False)
    return " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[: -MAX_FRAMES - 1 : -1])
