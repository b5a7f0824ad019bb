"""The caller."""

from functools import partial

from amancay_resolvers.budget import grants
from amancay_resolvers.context import Context, Info
from amancay_schema.pagination import global_id
from amancay_schema.user import Role, User


async def me(info: Info) -> User:
    """Who is asking."""
    return caller(info.context)


def caller(context: Context) -> User:
    """The signed-in user for display."""
    user = context.user
    return User(
        id=global_id("User", user.name),
        name=user.name,
        email=user.email,
        role=Role(user.role.value),
        active=user.active,
        load_grants=partial(grants, context.store, user.name),
    )
