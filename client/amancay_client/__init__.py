"""Ask differentially private questions of an Amancay server.

    import amancay_client as amancay

    with amancay.connect("https://amancay.example.org/graphql", token="...") as session:
        penguins = session.dataset("penguins")
        query = penguins.sql("SELECT species, COUNT(*) AS n FROM df GROUP BY species", epsilon=0.5)
        query.estimate()          # the price and the noise; free
        query.dummy().result      # a rehearsal on made-up rows; free
        query.run().to_polars()   # the answer, paid from penguins.budget

`AsyncClient` has the same names to await. What can go wrong is drawn in `amancay_client.errors`.
"""

from importlib.metadata import version

from amancay_client.account import Grant, LibraryVersion, Server, User
from amancay_client.budget import Budget, PrivacyLoss
from amancay_client.client import AsyncClient, AsyncDataset, AsyncExecution, AsyncQuery, ExecutionFilter
from amancay_client.dataset import Datasets
from amancay_client.errors import (
    AmancayError,
    BudgetExceeded,
    Conflict,
    ExecutionCancelled,
    ExecutionFailed,
    Forbidden,
    InvalidQuery,
    LimitExceeded,
    NotFound,
    Refused,
    ServerFault,
    ServerUnreachable,
    StillRunning,
    Unauthenticated,
)
from amancay_client.execution import Accuracy, ExecutionError, Executions, ExecutionStatus, Progress
from amancay_client.frames import Table
from amancay_client.metadata import Column, Metadata, PrivacyUnit
from amancay_client.query import Estimate, SqlQuestion
from amancay_client.session import Dataset, Execution, Query, Session, connect

__version__ = version("amancay-client")

__all__ = [
    "Accuracy",
    "AmancayError",
    "AsyncClient",
    "AsyncDataset",
    "AsyncExecution",
    "AsyncQuery",
    "Budget",
    "BudgetExceeded",
    "Column",
    "Conflict",
    "Dataset",
    "Datasets",
    "Estimate",
    "Execution",
    "ExecutionCancelled",
    "ExecutionError",
    "ExecutionFailed",
    "ExecutionFilter",
    "ExecutionStatus",
    "Executions",
    "Forbidden",
    "Grant",
    "InvalidQuery",
    "LibraryVersion",
    "LimitExceeded",
    "Metadata",
    "NotFound",
    "PrivacyLoss",
    "PrivacyUnit",
    "Progress",
    "Query",
    "Refused",
    "Server",
    "ServerFault",
    "ServerUnreachable",
    "Session",
    "SqlQuestion",
    "StillRunning",
    "Table",
    "Unauthenticated",
    "User",
    "__version__",
    "connect",
]
