"""Anything by its global id."""

from amancay_resolvers.context import Info
from amancay_resolvers.dataset import visible_dataset
from amancay_resolvers.execution import execution
from amancay_resolvers.user import caller
from amancay_schema.argument import GlobalId
from amancay_schema.pagination import Node, local_id


async def node(info: Info, id: GlobalId) -> Node | None:
    """The dataset, execution or user behind an id, if the caller may see it."""
    match local_id(id):
        case ("Dataset", name):
            return await visible_dataset(info.context, name)
        case ("Execution", _):
            return await execution(info, id)
        case ("User", name) if name == info.context.user.name:
            return caller(info.context)
        case _:
            return None
