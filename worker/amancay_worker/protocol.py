"""What a query's process may say, read by a parent that trusts none of it.

Each message is `J` with a JSON document or `T` with the table's bytes, passed on and never parsed here.
"""

import json
import math
from dataclasses import dataclass
from typing import Any, Never

from amancay_engine.errors import FailureCode
from amancay_engine.release import Accuracy, Mechanism
from amancay_worker.child import ProtocolError

MAX_EVENT_BYTES = 2**20
MAX_STAGES = 100
MAX_TEXT = 1000
MAX_COLUMNS = 4096
MAX_ROWS = 2**31
GO = b"G"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The query is vetted and priced; nothing has been read."""

    accuracy: tuple[Accuracy, ...]
    mechanisms: tuple[Mechanism, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """How far the run is, from 0 to 1, and what it does."""

    fraction: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """The shape of the table that follows."""

    row_count: int
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """No release. `opened` says whether the run had been allowed to read private data."""

    code: FailureCode
    opened: bool


Event = Prepared | Stage | Announced | FailureCode


def parse_event(message: bytes) -> Event:
    """Reads a `J` message.

    Raises:
        ProtocolError: if it is none, or none of ours.
    """
    if message[:1] != b"J":
        raise ProtocolError
    try:
        return _event(json.loads(message[1:], parse_constant=_refuse))
    except (ValueError, OverflowError, RecursionError) as error:
        raise ProtocolError from error


def parse_table(message: bytes) -> bytes:
    """The bytes of a `T` message.

    Raises:
        ProtocolError: if it is none.
    """
    if message[:1] != b"T":
        raise ProtocolError
    return message[1:]


def _event(document: Any) -> Event:
    match document:
        case {"event": "prepared", "accuracy": list(accuracy), "mechanisms": list(mechanisms)}:
            return Prepared(
                accuracy=tuple(_accuracy(item) for item in accuracy),
                mechanisms=tuple(_mechanism(item) for item in mechanisms),
            )
        case {"event": "stage", "fraction": fraction, "stage": text}:
            return Stage(fraction=min(max(_number(fraction), 0.0), 1.0), text=_text(text))
        case {"event": "released", "columns": list(columns), "row_count": int(rows)}:
            if len(columns) > MAX_COLUMNS or not 0 <= rows <= MAX_ROWS:
                raise ProtocolError
            return Announced(row_count=rows, columns=tuple(_column(item) for item in columns))
        case {"event": "failed", "code": str(code)}:
            return FailureCode(code)
        case _:
            raise ProtocolError


def _accuracy(item: Any) -> Accuracy:
    match item:
        case {"column": column, "mechanism": mechanism, "scale": scale, "margin95": margin}:
            return Accuracy(
                column=_text(column),
                mechanism=_text(mechanism),
                scale=_number(scale),
                margin95=_number(margin),
            )
        case _:
            raise ProtocolError


def _mechanism(item: Any) -> Mechanism:
    match item:
        case {"kind": kind, "column": column, **numbers}:
            rho = numbers.get("rho")
            return Mechanism(
                kind=_text(kind),
                column=_text(column),
                scale=_number(numbers.get("scale")),
                sensitivity=_number(numbers.get("sensitivity")),
                epsilon=_number(numbers.get("epsilon")),
                delta=_number(numbers.get("delta")),
                rho=None if rho is None else _number(rho),
            )
        case _:
            raise ProtocolError


def _column(item: Any) -> tuple[str, str]:
    match item:
        case [name, type_]:
            return _text(name), _text(type_)
        case _:
            raise ProtocolError


def _text(value: Any) -> str:
    # JSON can escape half a surrogate pair, which the database's driver would choke on.
    if not isinstance(value, str) or len(value) > MAX_TEXT or any("\ud800" <= char <= "\udfff" for char in value):
        raise ProtocolError
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ProtocolError
    return float(value)


def _refuse(_constant: str) -> Never:
    raise ProtocolError
