"""What the server says of itself."""

from amancay_engine.dummy import MAX_DUMMY_ROWS
from amancay_engine.runners import LIBRARY_VERSIONS
from amancay_resolvers.context import Info
from amancay_schema.query import Library
from amancay_schema.server import LibraryVersion, Limits, Server


async def server(info: Info) -> Server:
    """Version, libraries, limits."""
    limits = info.context.limits
    return Server(
        version=info.context.version,
        libraries=[
            LibraryVersion(library=Library(library.value), version=version, available=True)
            for library, version in LIBRARY_VERSIONS.items()
        ],
        limits=Limits(
            max_depth=limits.max_depth,
            max_tokens=limits.max_tokens,
            max_aliases=limits.max_aliases,
            max_dummy_rows=MAX_DUMMY_ROWS,
            max_execution_seconds=limits.max_execution_seconds,
        ),
    )
