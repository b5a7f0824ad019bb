"""Tables in files on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from amancay_engine.errors import InvalidMetadata


class FileFormat(StrEnum):
    """How a file holds its table."""

    CSV = "CSV"
    PARQUET = "PARQUET"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """One file, by its absolute path."""

    path: str
    format: FileFormat


Source = FileSource


def dump_source(source: Source) -> dict[str, Any]:
    """The plain mapping that `parse_source` reads back."""
    return {"kind": "file", "path": source.path, "format": source.format.value}


def parse_source(document: Mapping[str, Any]) -> Source:
    """Reads a source.

    Raises:
        InvalidMetadata: if it is none that the engine knows.
    """
    match document:
        case {"kind": "file", "path": str(path), "format": str(format)} if format in set(FileFormat):
            return FileSource(path=path, format=FileFormat(format))
        case _:
            raise InvalidMetadata("expected a source of kind file with a path and a format", "source")
