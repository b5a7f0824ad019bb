"""The child's side of a run: bytes over a real pipe, and not a row before the go-ahead."""

import json
import multiprocessing
import pickle
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from amancay_engine.dummy import DummyRows
from amancay_engine.job import Job, run_job
from amancay_engine.metadata import dump_metadata
from amancay_engine.privacy import NOTHING, PrivacyLoss
from amancay_engine.query import dump_query
from amancay_engine.runners import price
from amancay_engine.sources import FileFormat, FileSource, dump_source
from tests.engine.scene import ROW, parquet, people, sql_query

PATIENCE = 20
QUERY = sql_query("SELECT sex, COUNT(*) AS n, AVG(age) AS mean FROM df GROUP BY sex", epsilon=100.0)
Start = Callable[[bytes], Connection]


@pytest.fixture
def source(tmp_path: Path) -> FileSource:
    """A table in a file."""
    return parquet(people(), tmp_path)


@pytest.fixture
def start() -> Iterator[Start]:
    """Gives a job to a child on the other end of a pipe; afterwards the child is gone."""
    threads: list[threading.Thread] = []
    ours: list[Connection] = []

    def begin(document: bytes) -> Connection:
        mine, theirs = multiprocessing.Pipe()
        threads.append(threading.Thread(target=child, args=(theirs,), daemon=True))
        ours.append(mine)
        threads[-1].start()
        mine.send_bytes(document)
        return mine

    def child(connection: Connection) -> None:
        with connection:
            run_job(connection)

    yield begin
    for connection in ours:
        connection.close()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def private(file: FileSource, **fields: Any) -> Job:
    """A run over the file for which its price is reserved."""
    job = Job(
        query=dump_query(QUERY),
        metadata=dump_metadata(ROW),
        source=dump_source(file),
        dummy=None,
        reserved=price(QUERY, ROW),
    )
    return replace(job, **fields)


def heard(connection: Connection) -> dict[str, Any]:
    """The next message, which is JSON."""
    assert connection.poll(PATIENCE)
    message = connection.recv_bytes()
    assert message[:1] == b"J"
    said: dict[str, Any] = json.loads(message[1:])
    return said


def table(connection: Connection) -> pl.DataFrame:
    """The next message, which is an Arrow stream."""
    assert connection.poll(PATIENCE)
    message = connection.recv_bytes()
    assert message[:1] == b"T"
    return pl.read_ipc_stream(message[1:])


def silent(connection: Connection) -> bool:
    """True if the child has closed its end."""
    if not connection.poll(PATIENCE):
        return False
    with pytest.raises(EOFError):
        connection.recv_bytes()
    return True


def test_a_private_run_waits_for_leave(source: FileSource, start: Start) -> None:
    """Goal: prepared, then silence until the go-ahead, then the release and its table, then nothing more."""
    parent = start(private(source).encode())
    prepared = heard(parent)
    assert prepared["event"] == "prepared"
    assert [entry["column"] for entry in prepared["accuracy"]] == ["n", "mean (sum_age)", "mean (count_age)"]
    assert [mechanism["column"] for mechanism in prepared["mechanisms"]] == ["count_all", "sum_age", "count_age"]
    assert not parent.poll(0.2)
    parent.send_bytes(b"G")
    released = heard(parent)
    assert released == {
        "event": "released",
        "columns": [["sex", "String"], ["n", "Int64"], ["mean", "Float64"]],
        "row_count": 3,
    }
    assert table(parent)["n"].to_list() == [134, 133, 0]
    assert silent(parent)


@pytest.mark.parametrize("word", [b"N", b"g", b""])
def test_anything_but_leave_ends_the_child(word: bytes, source: FileSource, start: Start) -> None:
    """Goal: no row is read on any other word."""
    parent = start(private(source).encode())
    assert heard(parent)["event"] == "prepared"
    parent.send_bytes(word)
    assert silent(parent)


def test_a_source_that_goes_away_fails_after_leave(source: FileSource, start: Start) -> None:
    """Goal: preparing reads no rows: a file that is gone afterwards fails the run itself, with a fixed code."""
    parent = start(private(source).encode())
    assert heard(parent)["event"] == "prepared"
    Path(source.path).unlink()
    parent.send_bytes(b"G")
    assert heard(parent) == {"event": "failed", "code": "LIBRARY_ERROR"}
    assert silent(parent)


def test_a_dummy_run_does_not_wait(start: Start) -> None:
    """Goal: made-up rows need no leave, no source and no reservation."""
    job = Job(
        query=dump_query(QUERY),
        metadata=dump_metadata(ROW),
        source=None,
        dummy=DummyRows(rows=60, seed=1),
        reserved=NOTHING,
    )
    parent = start(job.encode())
    assert [heard(parent)["event"] for _ in range(2)] == ["prepared", "released"]
    assert table(parent)["n"].sum() == 60
    assert silent(parent)


@pytest.mark.parametrize(
    "missing", [PrivacyLoss(epsilon_nano=1, delta_atto=0), PrivacyLoss(epsilon_nano=10**9, delta_atto=0)]
)
def test_no_run_costs_more_than_was_reserved(missing: PrivacyLoss, source: FileSource, start: Start) -> None:
    """Goal: the child prices again. Method: a reservation that lacks a billionth."""
    full = price(QUERY, ROW)
    short = PrivacyLoss(epsilon_nano=full.epsilon_nano - missing.epsilon_nano, delta_atto=full.delta_atto)
    parent = start(private(source, reserved=short).encode())
    assert heard(parent) == {"event": "failed", "code": "LIBRARY_ERROR"}
    assert silent(parent)


def test_a_reserved_delta_must_cover_too(source: FileSource, start: Start) -> None:
    """Goal: epsilon alone does not pay for a threshold."""
    query = sql_query("SELECT town, COUNT(*) FROM df GROUP BY town")
    reserved = PrivacyLoss(epsilon_nano=10**12, delta_atto=price(query, ROW).delta_atto - 1)
    parent = start(private(source, query=dump_query(query), reserved=reserved).encode())
    assert heard(parent) == {"event": "failed", "code": "LIBRARY_ERROR"}


def without(job: Job, *names: str) -> bytes:
    """The job's bytes without some fields."""
    fields = json.loads(job.encode())
    return json.dumps({name: value for name, value in fields.items() if name not in names}).encode()


BROKEN: list[tuple[str, Callable[[Job], bytes]]] = [
    ("no JSON", lambda _: b"{"),
    ("nothing", lambda _: b""),
    ("a list", lambda _: b"[]"),
    ("no text", lambda _: b"\xff\xfe\x00"),
    ("no query", lambda job: without(job, "query")),
    ("no metadata", lambda job: without(job, "metadata")),
    ("no reservation", lambda job: without(job, "reserved")),
    ("another library", lambda job: replace(job, query={**job.query, "library": "PANDAS"}).encode()),
    ("refused SQL", lambda job: replace(job, query={**job.query, "sql": "SELECT * FROM df"}).encode()),
    ("no SQL", lambda job: replace(job, query={"library": "SMARTNOISE_SQL"}).encode()),
    ("no epsilon", lambda job: replace(job, query={**job.query, "epsilon": float("nan")}).encode()),
    ("empty metadata", lambda job: replace(job, metadata={}).encode()),
    ("unknown source", lambda job: replace(job, source={"kind": "pickle"}).encode()),
    ("too deep", lambda _: b"[" * 100_000),
]


@pytest.mark.parametrize("broken", [build for _, build in BROKEN], ids=[name for name, _ in BROKEN])
def test_a_job_that_cannot_be_read_fails_with_a_code(
    broken: Callable[[Job], bytes], source: FileSource, start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    """Goal: whatever arrives, the answer is a fixed code before anything is read, and no text goes anywhere."""
    parent = start(broken(private(source)))
    assert heard(parent) == {"event": "failed", "code": "LIBRARY_ERROR"}
    assert silent(parent)
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize("form", list(FileFormat))
def test_a_source_that_is_not_there_is_unavailable(form: FileFormat, start: Start) -> None:
    """Goal: known before `prepared`, so that nothing is charged."""
    parent = start(private(FileSource(path="/nowhere/at/all", format=form)).encode())
    assert heard(parent) == {"event": "failed", "code": "UNAVAILABLE"}
    assert silent(parent)


def test_a_job_without_rows_is_unavailable(source: FileSource, start: Start) -> None:
    """Goal: neither a source nor made-up rows."""
    assert heard(start(private(source, source=None).encode())) == {"event": "failed", "code": "UNAVAILABLE"}


class Bomb:
    """What writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (Path.touch, (self.path,))


def test_nothing_is_unpickled(tmp_path: Path, start: Start) -> None:
    """Goal: an object on the pipe is as good as noise. Method: a pickle that would leave a trace."""
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    assert heard(start(bomb)) == {"event": "failed", "code": "LIBRARY_ERROR"}
    assert not (tmp_path / "exploded").exists()
    pickle.loads(bomb)
    assert (tmp_path / "exploded").exists()


def test_a_job_survives_the_pipe(source: FileSource) -> None:
    """Goal: what was encoded is what is decoded."""
    for job in (private(source), private(source, source=None, dummy=DummyRows(rows=3, seed=4), reserved=NOTHING)):
        assert Job.decode(job.encode()) == job


def test_a_child_process_of_its_own_answers(source: FileSource) -> None:
    """Goal: the same in a fresh process, which ends by itself. Method: a spawned one."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    child = context.Process(target=run_job, args=(theirs,), daemon=True)
    child.start()
    theirs.close()
    mine.send_bytes(private(source).encode())
    assert heard(mine)["event"] == "prepared"
    mine.send_bytes(b"G")
    assert heard(mine)["event"] == "released"
    assert table(mine)["n"].to_list() == [134, 133, 0]
    child.join(PATIENCE)
    assert child.exitcode == 0
    mine.close()
