"""What one query's process may use, and how it is shut in before it sees the query.

The process is forked from a server that has only imported libraries. Everything here happens in it before it
reads its job, because from then on it counts as hostile.
"""

import ctypes
import os
import random
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30
MIB = 2**20
OPEN_FILES = 256
WRITTEN_FILE_BYTES = 0
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
SIGKILL = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of one run."""

    memory_bytes: int = 4 * GIB
    """Address space of the process (RLIMIT_AS)."""
    wall_seconds: float = 60.0
    """Granted twice: for vetting and pricing, and from the moment the data may be read."""
    cpu_seconds: int = 240
    """Processor time summed over all threads: a second wall behind `wall_seconds`."""
    result_bytes: int = 12 * MIB
    """The largest released table, as an Arrow stream."""


def confine(limits: Limits, parent: int) -> None:
    """Shuts the calling process in for good. `parent` is the process whose death must end this one.

    Raises:
        OSError: if a limit is refused; the process must then end without reading anything.
    """
    _die_with(parent)
    _go_first_when_memory_is_short()
    _silence()
    _set_limits(limits)
    _draw_fresh_seeds()


def adopt_orphans() -> None:
    """Makes this process the parent of grandchildren whose own parent has died, so that it can end them."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def _die_with(parent: int) -> None:
    _prctl(PR_SET_PDEATHSIG, SIGKILL)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    if os.getppid() != parent:
        # The parent died between the fork and the line above, so no signal will ever come.
        os._exit(1)


def _go_first_when_memory_is_short() -> None:
    """A query that fills the machine must not get its worker killed: that would earn it a second run."""
    if sys.platform == "linux":
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _silence() -> None:
    """A library's text may quote data, so it goes nowhere."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.close(null)


def _set_limits(limits: Limits) -> None:
    # The hard CPU limit lies a second above the soft one: its signal tells a time limit from other deaths.
    for kind, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES),
        (resource.RLIMIT_FSIZE, WRITTEN_FILE_BYTES, WRITTEN_FILE_BYTES),
        (resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1),
        (resource.RLIMIT_AS, limits.memory_bytes, limits.memory_bytes),
    ):
        resource.setrlimit(kind, (soft, hard))


def _draw_fresh_seeds() -> None:
    """Generators seeded at import would give every process forked from one server the same numbers."""
    random.seed()
    if (numpy_random := sys.modules.get("numpy.random")) is not None:
        numpy_random.seed()


def _prctl(option: int, value: int) -> None:
    """Linux only; elsewhere the process runs with the limits alone."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)):
        raise OSError(ctypes.get_errno(), "prctl was refused")
