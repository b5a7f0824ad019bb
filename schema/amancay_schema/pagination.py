"""Relay: nodes with global ids, and connections (https://relay.dev/graphql/connections.htm)."""

import base64
import binascii

import strawberry


@strawberry.interface(description="Anything with a global id.")
class Node:
    """Implemented by the types that `node` can fetch."""

    id: strawberry.ID = strawberry.field(description="Global id, opaque; hand it to `node`.")


@strawberry.type(description="Where a page stands in the whole list.")
class PageInfo:
    """Relay's page info."""

    has_next_page: bool = strawberry.field(description="Whether more follows after this page.")
    has_previous_page: bool = strawberry.field(description="Whether something stands before this page.")
    start_cursor: str | None = strawberry.field(description="Cursor of the page's first edge.")
    end_cursor: str | None = strawberry.field(description="Cursor of the page's last edge: pass it as `after`.")


def global_id(kind: str, local: str) -> strawberry.ID:
    """The global id of a node."""
    return strawberry.ID(base64.urlsafe_b64encode(f"{kind}:{local}".encode()).decode().rstrip("="))


def local_id(value: str, kind: str | None = None) -> tuple[str, str] | None:
    """The kind and local id behind a global id; None for anything else, or another kind than asked for."""
    try:
        text = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode()
    except (binascii.Error, ValueError):
        return None
    found, separator, local = text.partition(":")
    if not separator or not local or (kind is not None and found != kind) or global_id(found, local) != value:
        return None
    return found, local
