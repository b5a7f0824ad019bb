"""The roots of the schema: every operation and the resolver that answers it."""

from collections.abc import AsyncIterator

import strawberry

from amancay_resolvers import budget as budget_resolvers
from amancay_resolvers import dataset as dataset_resolvers
from amancay_resolvers import execution as execution_resolvers
from amancay_resolvers import node as node_resolvers
from amancay_resolvers import server as server_resolvers
from amancay_resolvers import user as user_resolvers
from amancay_resolvers.context import Context
from amancay_schema.argument import DatasetName, GlobalId
from amancay_schema.budget import Budget
from amancay_schema.dataset import BooleanColumn, DatetimeColumn, FloatColumn, IntegerColumn, StringColumn
from amancay_schema.execution import Execution

CONCRETE_TYPES = (BooleanColumn, DatetimeColumn, FloatColumn, IntegerColumn, StringColumn)
"""Types that only an interface names."""


@strawberry.type(description="What can be looked up. Nothing here reads private data or costs anything.")
class Query:
    """All free."""

    node = strawberry.field(
        resolver=node_resolvers.node, description="Anything by its global id; null if not for the caller."
    )
    me = strawberry.field(resolver=user_resolvers.me, description="Who is asking.")
    server = strawberry.field(resolver=server_resolvers.server, description="The server, its libraries and limits.")
    dataset = strawberry.field(
        resolver=dataset_resolvers.dataset, description="A dataset by name; null if not for the caller."
    )
    datasets = strawberry.field(resolver=dataset_resolvers.datasets, description="The datasets granted to the caller.")
    execution = strawberry.field(
        resolver=execution_resolvers.execution, description="An execution by id; null if not for the caller."
    )
    executions = strawberry.field(
        resolver=execution_resolvers.executions, description="The archive of executions, newest first."
    )
    estimate = strawberry.field(
        resolver=execution_resolvers.estimate,
        description="What a question would cost, and how exact the answer would be.",
    )


@strawberry.type(description="What can be asked to be done.")
class Mutation:
    """Refusals are data."""

    execute = strawberry.field(
        resolver=execution_resolvers.execute,
        description="Asks a question on private data. Its price is reserved at once and spent when the data is read.",
    )
    execute_dummy = strawberry.field(
        resolver=execution_resolvers.execute_dummy, description="Asks the same question on made-up rows. Free."
    )
    cancel_execution = strawberry.field(
        resolver=execution_resolvers.cancel_execution,
        description="Stops an execution. Free if the data has not been read yet, else charged all the same.",
    )


@strawberry.type(description="What can be followed.")
class Subscription:
    """The state now, then every change."""

    @strawberry.subscription(description="An execution: its state now, then every change, complete when it has ended.")
    async def execution(self, info: strawberry.Info[Context, None], id: GlobalId) -> AsyncIterator[Execution]:
        """Latest values; what came in between may be left out."""
        async for state in execution_resolvers.follow_execution(info, id):
            yield state

    @strawberry.subscription(description="The caller's budget on a dataset: the balance now, then every change.")
    async def budget(self, info: strawberry.Info[Context, None], dataset: DatasetName) -> AsyncIterator[Budget]:
        """Latest values; what came in between may be left out."""
        async for balance in budget_resolvers.follow_budget(info, dataset):
            yield balance
