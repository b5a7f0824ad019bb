"""The process that queries' processes are forked from; `child.py` starts it and talks to it.

Importing the privacy libraries takes seconds, forking a process that has them takes milliseconds. This one
imports them, and then does nothing but fork, kill and reap on the word of its supervisor. It never reads a
query or a row, so what it hands on to a child is the same for all. The standard library's forkserver is not
used: it hands each child the environment (with the database's password), the main module and pickles.

The supervisor numbers the children. Every message is one `Message`, on one stream socket:
    supervisor -> here   FORK n (with the child's end of its own socket attached), KILL n
    here -> supervisor   FORKED n pid, EXITED n status (as of `waitpid`)
When the socket closes, every child is killed and the process ends.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import IntEnum
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn, Self, cast

from amancay_worker.limits import Limits, adopt_orphans, confine

REAP_SECONDS = 2.0
WIRE = struct.Struct("!Iii")
Entry = Callable[["Connection[bytes, bytes]"], None]


class Word(IntEnum):
    """What a message says."""

    FORK = 1
    KILL = 2
    FORKED = 3
    EXITED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One word about the child with this serial number."""

    word: Word
    serial: int
    value: int = 0

    def pack(self) -> bytes:
        """The message's fixed-size wire form."""
        return WIRE.pack(self.word, self.serial, self.value)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Reads what `pack` wrote."""
        word, serial, value = WIRE.unpack(data)
        return cls(word=Word(word), serial=serial, value=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a fork server is told when it starts."""

    entry: str
    """`module:function` that each child calls with its connection, on which its job will come."""
    preload: tuple[str, ...]
    """Modules to import before the first fork, besides the entry's."""
    limits: Limits
    paths: tuple[str, ...]
    """The supervisor's `sys.path`."""

    def dump(self) -> str:
        """The plan as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads what `dump` wrote."""
        fields = json.loads(text)
        return cls(
            entry=fields["entry"],
            preload=tuple(fields["preload"]),
            limits=Limits(**fields["limits"]),
            paths=tuple(fields["paths"]),
        )


class ForkServer:
    """Forks, kills and reaps."""

    def __init__(self, control: socket.socket, plan: Plan) -> None:
        self._control = control
        self._limits = plan.limits
        self._entry = load(plan.entry)
        self._pids: dict[int, int] = {}
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)

    def serve(self) -> None:
        """Works until the supervisor is gone."""
        signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        with contextlib.suppress(ConnectionError):
            while self._turn():
                pass
        self._end_all()

    def _turn(self) -> bool:
        watched: list[socket.socket | int] = [self._control, self._wake_read]
        readable, _, _ = select.select(watched, [], [])
        if self._wake_read in readable:
            os.read(self._wake_read, 4096)
            self._reap()
        return self._control not in readable or self._obey()

    def _obey(self) -> bool:
        data, attached, _, _ = socket.recv_fds(self._control, WIRE.size, 1)
        if not data:
            return False
        message = Message.unpack(data)
        if message.word is Word.FORK:
            self._fork(message.serial, attached[0])
        elif message.serial in self._pids:
            self._kill(self._pids[message.serial])
        return True

    def _fork(self, serial: int, channel: int) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_child(channel, parent)
        os.close(channel)
        # Said by both sides, so that whoever comes first, the group exists before anybody kills it.
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        self._pids[serial] = pid
        self._say(Message(word=Word.FORKED, serial=serial, value=pid))

    def _become_child(self, channel: int, parent: int) -> NoReturn:
        code = 1
        try:
            self._forget_the_server()
            confine(self._limits, parent)
            with Connection(channel) as connection:
                self._entry(connection)
            code = 0
        finally:
            # No interpreter shutdown: no handler that a library registered runs, no traceback is printed.
            os._exit(code)

    def _forget_the_server(self) -> None:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._control.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _reap(self) -> None:
        while (pid := _next_ended_child()) is not None:
            serial = next((number for number, known in self._pids.items() if known == pid), None)
            if serial is not None:
                # Whatever it left in its group goes with it, while its pid is still taken.
                self._kill(pid)
                del self._pids[serial]
            _, status = os.waitpid(pid, 0)
            if serial is not None:
                self._say(Message(word=Word.EXITED, serial=serial, value=status))
        self._kill_strays()

    def _kill_strays(self) -> None:
        """Ends what a dead child had forked out of its group; such orphans are ours since `adopt_orphans`."""
        for pid in _children() - set(self._pids.values()):
            _signal_process(pid)

    def _kill(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)

    def _end_all(self) -> None:
        for pid in self._pids.values():
            self._kill(pid)
        deadline = time.monotonic() + REAP_SECONDS
        while _children() and time.monotonic() < deadline:
            for pid in _children():
                _signal_process(pid)
            while (ended := _next_ended_child()) is not None:
                os.waitpid(ended, 0)
            time.sleep(0.005)

    def _say(self, message: Message) -> None:
        self._control.sendall(message.pack())


def load(entry: str) -> Entry:
    """The function that `module:function` names."""
    module, _, name = entry.partition(":")
    return cast("Entry", getattr(importlib.import_module(module), name))


def main(argv: list[str]) -> None:
    """Serves on the inherited socket whose number is the first argument; the second is the plan."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # A terminal's Ctrl-C and a service manager's stop are for the worker, which ends us after its runs.
        signal.signal(number, signal.SIG_IGN)
    control, plan = socket.socket(fileno=int(argv[0])), Plan.parse(argv[1])
    control.set_inheritable(False)
    sys.path[:] = plan.paths
    for module in plan.preload:
        importlib.import_module(module)
    adopt_orphans()
    server = ForkServer(control, plan)
    # Objects that exist now are shared with every child until written to; the collector would write to them.
    gc.collect()
    gc.freeze()
    server.serve()
    os._exit(0)


def _next_ended_child() -> int | None:
    """A child that has ended and waits to be reaped."""
    with contextlib.suppress(ChildProcessError):
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return found.si_pid if found is not None else None
    return None


def _children() -> set[int]:
    """Pids of our children, adopted ones too; empty where the system does not list them."""
    listing = Path(f"/proc/self/task/{os.getpid()}/children")
    with contextlib.suppress(OSError):
        return {int(pid) for pid in listing.read_text(encoding="ascii").split()}
    return set()


def _signal_process(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
