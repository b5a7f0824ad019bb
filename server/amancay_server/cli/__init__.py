"""The command line: one module per command, all of them thin."""

from amancay_server.cli.root import main

__all__ = ["main"]
