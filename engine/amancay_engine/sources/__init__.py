"""Where the rows are. A source is named by the data owner, never by a researcher."""

from amancay_engine.sources.file import FileFormat, FileSource, Source, dump_source, parse_source

__all__ = ["FileFormat", "FileSource", "Source", "dump_source", "parse_source"]
