"""Scalars beyond GraphQL's own five."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Any, NewType

import strawberry
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

BigInt = NewType("BigInt", int)
Base64 = NewType("Base64", bytes)

INT64 = 2**63


def _big_int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("BigInt takes a whole number")  # noqa: TRY004 - what GraphQL expects
    number = int(value)
    if not -INT64 <= number < INT64:
        raise ValueError("BigInt takes numbers of 64 bits")
    return number


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(str(value))
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _moment_text(value: datetime) -> str:
    moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(str(value), validate=True)
    except binascii.Error as error:
        raise ValueError("Base64 takes base64 text") from error


SCALARS: dict[object, ScalarDefinition] = {
    BigInt: strawberry.scalar(
        name="BigInt",
        description="A whole number of up to 64 bits; as JSON a number, in arguments a number or its digits as text.",
        serialize=int,
        parse_value=_big_int,
    ),
    Base64: strawberry.scalar(
        name="Base64",
        description="Bytes as base64 text (RFC 4648).",
        serialize=lambda value: base64.b64encode(value).decode(),
        parse_value=_bytes,
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="A point in time, RFC 3339 in UTC. Without a zone it is read as UTC.",
        serialize=_moment_text,
        parse_value=_moment,
    ),
    JSON: strawberry.scalar(
        name="JSON",
        description="Any JSON value, as one scalar: bulk rows travel this way.",
        serialize=lambda value: value,
        parse_value=lambda value: value,
    ),
}
"""For `StrawberryConfig(scalar_map=...)`."""
