"""People who sign in."""

from collections.abc import Awaitable, Callable
from enum import Enum

import strawberry

from amancay_schema.argument import After, First
from amancay_schema.budget import GrantConnection
from amancay_schema.pagination import Node


@strawberry.enum(description="What a user may do.")
class Role(Enum):
    """From the admin store, never from a token."""

    RESEARCHER = strawberry.enum_value("RESEARCHER", description="Asks granted datasets.")
    AUDITOR = strawberry.enum_value("AUDITOR", description="Sees every dataset's metadata and every execution.")
    ADMIN = strawberry.enum_value("ADMIN", description="Keeps the house; sees what auditors see.")


@strawberry.type(description="A person who signs in.")
class User(Node):
    """As the admin store knows them."""

    name: str = strawberry.field(description="The name that a token's subject must match.")
    email: str | None = strawberry.field(description="Where to write to.")
    role: Role = strawberry.field(description="What they may do.")
    active: bool = strawberry.field(description="Whether they may sign in.")
    load_grants: strawberry.Private[Callable[[int, str | None], Awaitable[GrantConnection]]]

    @strawberry.field(description="The datasets that they may ask, and what is left.")
    async def grants(self, first: First = 20, after: After = None) -> GrantConnection:
        """Looked up when asked for."""
        return await self.load_grants(first, after)
