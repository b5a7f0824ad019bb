"""What the server says of itself."""

import strawberry

from amancay_schema.query import Library


@strawberry.type(description="A DP library and its version here.")
class LibraryVersion:
    """Part of the archive's provenance."""

    library: Library = strawberry.field(description="The library.")
    version: str = strawberry.field(description="Its version.")
    available: bool = strawberry.field(description="Whether it is installed.")


@strawberry.type(description="Bounds of requests and runs.")
class Limits:
    """Beyond them: LIMIT_EXCEEDED."""

    max_depth: int = strawberry.field(description="Depth of a GraphQL document.")
    max_tokens: int = strawberry.field(description="Tokens of a GraphQL document.")
    max_aliases: int = strawberry.field(description="Aliases in a GraphQL document.")
    max_dummy_rows: int = strawberry.field(description="Rows of dummy data.")
    max_execution_seconds: int = strawberry.field(description="Time that an execution may run.")


@strawberry.type(description="The server.")
class Server:
    """Version, libraries, limits."""

    version: str = strawberry.field(description="Amancay's version.")
    libraries: list[LibraryVersion] = strawberry.field(description="The DP libraries.")
    limits: Limits = strawberry.field(description="Bounds of requests and runs.")
