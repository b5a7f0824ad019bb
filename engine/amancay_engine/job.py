"""One run in a process of its own: the child's side.

The parent sends a job, the child vets and prices it again, says `prepared`, and reads no row before the parent has
made `opened` durable and sent the go-ahead. Messages are bytes, `J` + JSON or `T` + an Arrow IPC stream; nothing
is pickled, since a child that has parsed a hostile query counts as hostile itself.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any

from amancay_engine.database import open_ahead
from amancay_engine.dummy import DummyRows
from amancay_engine.errors import EngineRefusal, FailureCode
from amancay_engine.metadata import parse_metadata
from amancay_engine.privacy import PrivacyLoss
from amancay_engine.query import parse_query
from amancay_engine.runners import Prepared, runner_of
from amancay_engine.sources import Source, parse_source
from amancay_engine.sources.table import SourceUnavailable

MAX_JOB_BYTES = 64 * 2**20
GO = b"G"
DATABASES = 2
"""For the rows, and for what is made of the noisy values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a child is told: plain documents, and what was reserved for it. Rows come from a source or are made up."""

    query: Mapping[str, Any]
    metadata: Mapping[str, Any]
    source: Mapping[str, Any] | None
    dummy: DummyRows | None
    reserved: PrivacyLoss

    def encode(self) -> bytes:
        """The job as bytes for the pipe."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, document: bytes) -> "Job":
        """Reads what `encode` wrote."""
        fields = json.loads(document)
        dummy = DummyRows(**fields.pop("dummy")) if fields["dummy"] else fields.pop("dummy")
        return cls(**fields | {"dummy": dummy, "reserved": PrivacyLoss(**fields["reserved"])})

    def rows(self) -> Source | DummyRows:
        """Where this job's rows come from."""
        if self.dummy is not None:
            return self.dummy
        if self.source is None:
            raise SourceUnavailable
        return parse_source(self.source)


def run_job(connection: Connection) -> None:
    """The child's life: one job, one answer. Every failure is a code; its text stays in this process."""
    open_ahead(DATABASES)
    try:
        job = Job.decode(connection.recv_bytes(MAX_JOB_BYTES))
        prepared = _prepare(job)
    except SourceUnavailable:
        return _say(connection, event="failed", code=FailureCode.UNAVAILABLE)
    except Exception:
        return _say(connection, event="failed", code=FailureCode.LIBRARY_ERROR)
    _say(
        connection,
        event="prepared",
        accuracy=[asdict(entry) for entry in prepared.accuracy],
        mechanisms=[asdict(mechanism) for mechanism in prepared.mechanisms],
    )
    if job.dummy is None and connection.recv_bytes(1) != GO:
        return None
    return _release(connection, prepared)


def _prepare(job: Job) -> Prepared:
    query, metadata = parse_query(job.query), parse_metadata(job.metadata)
    prepared = runner_of(query).prepare(query, metadata, job.rows())
    if job.dummy is None and not prepared.loss.fits(job.reserved):
        raise EngineRefusal("the query costs more than was reserved")
    return prepared


def _release(connection: Connection, prepared: Prepared) -> None:
    try:
        release = prepared.release()
    except Exception:
        return _say(connection, event="failed", code=FailureCode.LIBRARY_ERROR)
    _say(connection, event="released", columns=release.columns, row_count=release.row_count)
    connection.send_bytes(b"T" + release.table)
    return None


def _say(connection: Connection, **message: Any) -> None:
    connection.send_bytes(b"J" + json.dumps(message).encode())
