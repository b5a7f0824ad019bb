"""Entries for children that behave as a query's process might once it has been taken over; a few are good.

Each is named `hostile:<function>` to the supervisor, which calls it with its connection.
"""

import ctypes
import json
import os
import resource
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

MAX_JOB = 2**26
Line: TypeAlias = "Connection[bytes, bytes]"
MECHANISM = {"kind": "laplace", "column": "n", "scale": 1.0, "sensitivity": 1.0, "epsilon": 1.0, "delta": 0.0}
ACCURACY = {"column": "n", "mechanism": "laplace", "scale": 1.0, "margin95": 3.0}


def say(line: Line, **event: Any) -> None:
    """Sends one event."""
    line.send_bytes(b"J" + json.dumps(event).encode())


def prepare(line: Line) -> bytes:
    """Takes the job, says that it is priced, and waits for leave to read."""
    job = line.recv_bytes(MAX_JOB)
    say(line, event="prepared", accuracy=[ACCURACY], mechanisms=[MECHANISM])
    line.recv_bytes(1)
    return job


def release(line: Line, table: bytes) -> None:
    """Sends a table of one column and one row."""
    say(line, event="released", columns=[["n", "int64"]], row_count=1)
    line.send_bytes(b"T" + table)


def good(line: Line) -> None:
    """Keeps to the protocol; the table is the job, the stages are two."""
    say(line, event="stage", fraction=0.1, stage="Preparing")
    job = prepare(line)
    say(line, event="stage", fraction=0.6, stage="Reading")
    release(line, job)


def unattended(line: Line) -> None:
    """A dummy run: does not wait for leave."""
    job = line.recv_bytes(MAX_JOB)
    say(line, event="prepared", accuracy=[], mechanisms=[])
    say(line, event="stage", fraction=0.6, stage="Making up data")
    release(line, job)


def ponder(line: Line) -> None:
    """Answers after a second."""
    job = prepare(line)
    time.sleep(1)
    release(line, job)


def report(line: Line) -> None:
    """Its table tells about the process: pid, parent, limits, environment, open files, signals, streams."""
    prepare(line)
    files = {file.name: str(file.readlink()) for file in Path("/proc/self/fd").iterdir() if file.exists()}
    facts = {
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "memory": resource.getrlimit(resource.RLIMIT_AS)[0],
        "environment": dict(os.environ),
        "files": files,
        "interrupt": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
        "privileges": "NoNewPrivs:\t1" in Path("/proc/self/status").read_text(),
        "oom": Path("/proc/self/oom_score_adj").read_text().strip(),
        "main": getattr(__import__("__main__"), "__file__", None),
    }
    release(line, json.dumps(facts).encode())


def sleep_before_reading(line: Line) -> None:
    """Never gets as far as a price."""
    line.recv_bytes(MAX_JOB)
    time.sleep(60)


def sleep_after_opening(line: Line) -> None:
    """Reads for ever."""
    prepare(line)
    time.sleep(60)


def burn(line: Line) -> None:
    """Uses up its processor time."""
    prepare(line)
    while True:
        pass


def eat_memory(line: Line) -> None:
    """Asks for more memory than there is."""
    prepare(line)
    hoard = bytearray(64 * 2**30)
    release(line, bytes(hoard[:1]))


def fall_over(line: Line) -> None:
    """Reads address 0."""
    prepare(line)
    ctypes.string_at(0)


def exit_three(line: Line) -> None:
    """Leaves without a word."""
    prepare(line)
    os._exit(3)


def raise_early(line: Line) -> None:
    """Raises before it has a price."""
    line.recv_bytes(MAX_JOB)
    raise RuntimeError("a secret")


def garbage(line: Line) -> None:
    """Sends what the job says, as it comes, in place of an answer."""
    line.send_bytes(prepare(line))


def raw(line: Line) -> None:
    """Sends the job past the framing."""
    os.write(line.fileno(), prepare(line))
    time.sleep(60)


def flood(line: Line) -> None:
    """Sends a gigabyte."""
    prepare(line)
    say(line, event="released", columns=[], row_count=0)
    os.write(line.fileno(), (2**30).to_bytes(4, "big"))
    for _ in range(2**10):
        os.write(line.fileno(), b"T" * 2**20)


def chatter(line: Line) -> None:
    """Reports stages without end, before it has a price."""
    line.recv_bytes(MAX_JOB)
    while True:
        say(line, event="stage", fraction=0.5, stage="Thinking")


def hang_up(line: Line) -> None:
    """Closes its end and stays."""
    prepare(line)
    line.close()
    time.sleep(60)


def linger(line: Line) -> None:
    """Answers, and stays."""
    prepare(line)
    release(line, b"table")
    time.sleep(60)


def fail(line: Line) -> None:
    """Says honestly that it failed, with the code that the job names."""
    say(line, event="failed", code=prepare(line).decode())


def breed(line: Line) -> None:
    """Leaves children of its own behind, in sessions of their own; the table holds their pids."""
    prepare(line)
    pids = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            os.setsid()
            time.sleep(60)
            os._exit(0)
        pids.append(pid)
    release(line, json.dumps(pids).encode())
