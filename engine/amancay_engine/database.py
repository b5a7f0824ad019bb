"""Empty in-memory DuckDB databases. Opening one takes 11 ms, so a process that waits for its job opens them ahead."""

import duckdb

THREADS = 2
MEMORY_LIMIT = "1GB"
NOT_SAFE = "type_pushdown"
"""It moves TRY_CAST into the reader of CSV files, where a value that does not fit fails the query or drops its row."""

_ahead: list[duckdb.DuckDBPyConnection] = []


def open_ahead(count: int) -> None:
    """Opens databases for the next calls of `empty_database`; for a process that runs one query."""
    _ahead.extend(_open() for _ in range(count))


def empty_database() -> duckdb.DuckDBPyConnection:
    """A connection to a database of its own."""
    return _ahead.pop() if _ahead else _open()


def lock(connection: duckdb.DuckDBPyConnection, allowed: str = "[]") -> None:
    """From here on no file but those allowed can be opened, no extension loaded, no setting changed.

    `allowed` is a list of paths in DuckDB's SQL.
    """
    connection.execute(f"SET allowed_paths = {allowed}")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _open() -> duckdb.DuckDBPyConnection:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": str(THREADS),
        "memory_limit": MEMORY_LIMIT,
        "disabled_optimizers": NOT_SAFE,
    }
    return duckdb.connect(":memory:", config=settings)
