"""One process per query, against entries that behave as badly as they can."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from amancay_engine.errors import FailureCode
from amancay_engine.release import Release
from amancay_worker.limits import MIB, Limits
from amancay_worker.protocol import MAX_STAGES, Failed, Prepared
from amancay_worker.supervisor import MAX_SPARES, Supervisor

pytestmark = pytest.mark.anyio
LIMITS = Limits(wall_seconds=5.0, cpu_seconds=5, result_bytes=MIB)
BROKEN = Failed(code=FailureCode.LIBRARY_ERROR, opened=True)


@dataclass(slots=True)
class Witness:
    """Takes what a run tells on its way."""

    go_on: bool = True
    prepared: list[Prepared] = field(default_factory=list)
    stages: list[tuple[float, str]] = field(default_factory=list)

    async def on_prepared(self, prepared: Prepared) -> bool:
        """Gives leave, or not."""
        self.prepared.append(prepared)
        return self.go_on

    async def on_stage(self, fraction: float, text: str) -> None:
        """Notes the stage."""
        self.stages.append((fraction, text))


async def run(
    supervisor: Supervisor, job: bytes = b"job", *, witness: Witness | None = None, private: bool = True
) -> Release | Failed:
    """One run, with leave to read."""
    witness = witness or Witness()
    return await supervisor.run(job, on_prepared=witness.on_prepared, on_stage=witness.on_stage, private=private)


async def told(entry: str, **settings: Any) -> Any:
    """What the table of one run says, as JSON."""
    async with Supervisor(entry=f"hostile:{entry}", limits=LIMITS, **settings) as supervisor:
        return answer(await run(supervisor))


def answer(outcome: Release | Failed) -> Any:
    """The table of a run that went well, as JSON."""
    assert isinstance(outcome, Release)
    return json.loads(outcome.table)


def descendants() -> set[int]:
    """Every process below this one, zombies too."""
    return {child.pid for child in psutil.Process().children(recursive=True)}


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No test may leave a process, a zombie, a file descriptor or a thread."""
    me = psutil.Process()
    before, files, threads = descendants(), me.num_fds(), me.num_threads()
    yield
    assert descendants() <= before
    assert me.num_fds() <= files
    assert me.num_threads() <= threads


@pytest.fixture
async def good() -> AsyncIterator[Supervisor]:
    """A supervisor whose children keep to the protocol."""
    async with Supervisor(entry="hostile:good", limits=LIMITS) as supervisor:
        yield supervisor


async def test_a_run_gives_a_release(good: Supervisor) -> None:
    """Goal: the whole protocol. Method: a private run; what its stages after opening say must not be seen."""
    witness = Witness()
    outcome = await run(good, witness=witness)
    assert outcome == Release(table=b"job", row_count=1, columns=(("n", "int64"),))
    assert witness.stages == [(0.1, "Preparing")]
    assert [prepared.mechanisms[0].kind for prepared in witness.prepared] == ["laplace"]


async def test_a_dummy_run_does_not_wait_and_shows_every_stage() -> None:
    """Goal: a run on made-up data needs no leave, and its stages tell nothing."""
    witness = Witness()
    async with Supervisor(entry="hostile:unattended", limits=LIMITS) as supervisor:
        assert isinstance(await run(supervisor, witness=witness, private=False), Release)
    assert witness.stages == [(0.6, "Making up data")]


async def test_without_leave_nothing_is_opened(good: Supervisor) -> None:
    """Goal: a run that may not go on is ended before it reads."""
    outcome = await run(good, witness=Witness(go_on=False))
    assert outcome == Failed(code=FailureCode.INTERNAL, opened=False)
    assert isinstance(await run(good), Release)


@pytest.mark.parametrize("entry", ["eat_memory", "fall_over", "exit_three", "flood", "hang_up", "garbage"])
async def test_a_broken_run_gives_the_fixed_code(entry: str) -> None:
    """Goal: whatever a child does, the outcome is one fixed code, and the next run is served."""
    async with Supervisor(entry=f"hostile:{entry}", limits=LIMITS) as supervisor:
        assert [await run(supervisor), await run(supervisor)] == [BROKEN, BROKEN]


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"J",
        b"J{",
        b"J[]",
        b"P" + bytes(40),
        b"J" + b"[" * 100_000,
        b'J{"event":"released","columns":[["n"]],"row_count":1}',
        b'J{"event":"released","columns":[],"row_count":-1}',
        b'J{"event":"released","columns":[],"row_count":1e400}',
        b'J{"event":"failed","code":"a value of row 7"}',
        b'J{"event":"stage","fraction":NaN,"stage":"x"}',
        b'J{"event":"stage","fraction":' + b"9" * 5000 + b',"stage":"x"}',
        b'J{"event":"stage","fraction":1,"stage":"\\ud800"}',
        b'J{"event":"prepared","accuracy":[],"mechanisms":[]}',
        b'J{"event":"prepared","accuracy":[{"column":1}],"mechanisms":[7]}',
    ],
)
async def test_garbage_gives_the_fixed_code(words: bytes) -> None:
    """Goal: nothing that a child says in place of an answer passes or raises."""
    async with Supervisor(entry="hostile:garbage", limits=LIMITS, spares=0) as supervisor:
        assert await run(supervisor, words) == BROKEN


@pytest.mark.parametrize("header", [b"\xff\xff\xff\xff" + bytes(8), b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00"])
async def test_a_length_past_the_limit_is_not_waited_for(header: bytes) -> None:
    """Goal: the announced length is checked before a byte of the message is kept."""
    async with Supervisor(entry="hostile:raw", limits=LIMITS, spares=0) as supervisor:
        assert await run(supervisor, header) == BROKEN


@pytest.mark.parametrize(("size", "fits"), [(MIB, True), (MIB + 1, False)])
async def test_a_result_is_bounded(size: int, fits: bool) -> None:
    """Goal: a table at the limit passes, one byte more does not."""
    async with Supervisor(entry="hostile:good", limits=LIMITS) as supervisor:
        assert isinstance(await run(supervisor, bytes(size)), Release) == fits


@pytest.mark.parametrize("code", list(FailureCode))
async def test_an_honest_failure_keeps_its_code(code: FailureCode) -> None:
    """Goal: the child may choose among the fixed codes."""
    async with Supervisor(entry="hostile:fail", limits=LIMITS, spares=0) as supervisor:
        assert await run(supervisor, code.encode()) == Failed(code=code, opened=True)


async def test_a_failure_before_the_price_is_not_opened() -> None:
    """Goal: an entry that raises early has read nothing; its text goes nowhere."""
    async with Supervisor(entry="hostile:raise_early", limits=LIMITS) as supervisor:
        assert await run(supervisor) == Failed(code=FailureCode.LIBRARY_ERROR, opened=False)


async def test_endless_stages_are_cut_off() -> None:
    """Goal: the number of stages is bounded."""
    witness = Witness()
    async with Supervisor(entry="hostile:chatter", limits=LIMITS, spares=0) as supervisor:
        outcome = await run(supervisor, witness=witness)
    assert outcome == Failed(code=FailureCode.LIBRARY_ERROR, opened=False)
    assert len(witness.stages) == MAX_STAGES


@pytest.mark.parametrize(("entry", "opened"), [("sleep_before_reading", False), ("sleep_after_opening", True)])
async def test_a_run_that_takes_too_long_is_killed(entry: str, opened: bool) -> None:
    """Goal: the wall clock ends each half of a run."""
    limits = replace(LIMITS, wall_seconds=0.3)
    async with Supervisor(entry=f"hostile:{entry}", limits=limits, spares=0) as supervisor:
        started = time.monotonic()
        assert await run(supervisor) == Failed(code=FailureCode.TIMEOUT, opened=opened)
    assert time.monotonic() - started < 5


async def test_processor_time_is_a_second_wall() -> None:
    """Goal: a run that outlives its processor time is a timeout too."""
    async with Supervisor(
        entry="hostile:burn", limits=replace(LIMITS, cpu_seconds=1, wall_seconds=20.0), spares=0
    ) as supervisor:
        assert await run(supervisor) == Failed(code=FailureCode.TIMEOUT, opened=True)


async def test_an_answer_is_taken_from_a_child_that_lingers() -> None:
    """Goal: a complete answer does not wait for the process to end."""
    started = time.monotonic()
    async with Supervisor(entry="hostile:linger", limits=LIMITS) as supervisor:
        assert isinstance(await run(supervisor), Release)
    assert time.monotonic() - started < 5


async def test_what_a_child_leaves_behind_is_ended() -> None:
    """Goal: processes that a child forked into sessions of their own die with it."""
    async with Supervisor(entry="hostile:breed", limits=LIMITS, spares=0) as supervisor:
        pids = answer(await run(supervisor))
        deadline = time.monotonic() + 2
        while any(psutil.pid_exists(pid) for pid in pids):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)


async def test_a_spare_is_used_once() -> None:
    """Goal: no process sees two queries. Method: pids of runs one after the other and at the same time."""
    async with Supervisor(entry="hostile:report", limits=LIMITS, spares=2) as supervisor:
        outcomes = [await run(supervisor), *await asyncio.gather(*(run(supervisor) for _ in range(6)))]
    assert len({answer(outcome)["pid"] for outcome in outcomes}) == 7


async def test_a_child_is_shut_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a child's limits, privileges, signals, environment, files and main module are right."""
    monkeypatch.setenv("AMANCAY_MONGO_URL", "mongodb://admin:secret@localhost")
    facts = await told("report")
    assert facts["memory"] == LIMITS.memory_bytes
    assert facts["interrupt"]
    assert facts["privileges"]
    assert facts["oom"] == "1000"
    assert facts["main"] is None
    assert not [name for name in facts["environment"] if name.startswith("AMANCAY")]
    assert {facts["files"][stream] for stream in "012"} == {os.devnull}
    assert sum("socket" in target or "pipe" in target for target in facts["files"].values()) == 1


async def test_children_draw_different_numbers() -> None:
    """Goal: no generator's state is shared. Method: the server has imported all of them."""
    random.seed(1)
    async with Supervisor(entry="generators:draw", limits=LIMITS, spares=2) as supervisor:
        draws = [answer(await run(supervisor)) for _ in range(3)]
    for column in zip(*draws, strict=True):
        assert len(set(column)) == 3


async def test_a_cancelled_run_is_reaped() -> None:
    """Goal: cancelling kills the process at once; it is reaped soon after, long before it would have ended itself."""
    before = descendants()
    async with Supervisor(entry="hostile:sleep_after_opening", limits=LIMITS, spares=0) as supervisor:
        opened = asyncio.Event()

        async def go_on(prepared: Prepared) -> bool:
            opened.set()
            return True

        going = supervisor.run(b"", on_prepared=go_on, on_stage=Witness().on_stage, private=True)
        task = asyncio.create_task(going)
        await opened.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            while len(descendants() - before) > 1:  # noqa: ASYNC110 - the kernel sends no event
                await asyncio.sleep(0.01)


async def test_a_refused_callback_ends_the_run(good: Supervisor) -> None:
    """Goal: an error of the caller's own reaches the caller, a TimeoutError too, and the process is gone."""

    async def refuse(prepared: Prepared) -> bool:
        raise TimeoutError("of the caller's own")

    with pytest.raises(TimeoutError, match="of the caller's own"):
        await good.run(b"job", on_prepared=refuse, on_stage=Witness().on_stage, private=True)
    assert isinstance(await run(good), Release)


@pytest.mark.parametrize("spares", [0, 1])
async def test_a_lost_fork_server_is_replaced(spares: int) -> None:
    """Goal: the next run is served although the fork server and its spares were killed."""
    async with Supervisor(entry="hostile:report", limits=LIMITS, spares=spares) as supervisor:
        first = answer(await run(supervisor))
        os.kill(first["ppid"], signal.SIGKILL)
        # Asleep as a whole: the supervisor cannot have noticed before the next run.
        time.sleep(0.3)  # noqa: ASYNC251
        second = answer(await run(supervisor))
    assert first["ppid"] != second["ppid"]


async def test_a_fork_server_that_cannot_start_fails_the_run(capfd: pytest.CaptureFixture[str]) -> None:
    """Goal: an entry that cannot be imported is a failure before opening, not a hang."""
    async with Supervisor(entry="no_such_module:run", limits=LIMITS) as supervisor:
        assert await run(supervisor) == Failed(code=FailureCode.INTERNAL, opened=False)
    assert "no_such_module" in capfd.readouterr().err


@pytest.mark.parametrize(("spares", "accepted"), [(0, True), (MAX_SPARES, True), (MAX_SPARES + 1, False), (-1, False)])
async def test_spares_are_bounded(spares: int, accepted: bool) -> None:
    """Goal: the number of processes that wait is bounded."""
    if accepted:
        Supervisor(spares=spares)
    else:
        with pytest.raises(ValueError, match="spares"):
            Supervisor(spares=spares)


def test_no_child_outlives_a_killed_worker(tmp_path: Path) -> None:
    """Goal: kill -9 leaves nothing. Method: a worker started like a console script dies in a run."""
    script = tmp_path / "amancay"
    script.write_text(
        textwrap.dedent(f"""
            import asyncio, sys
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            from amancay_worker.supervisor import Supervisor
            print("started", flush=True)
            async def opened(prepared):
                print("opened", flush=True)
                return True
            async def main():
                async with Supervisor(entry="hostile:sleep_after_opening", spares=2) as supervisor:
                    await supervisor.run(b"", on_prepared=opened, on_stage=None, private=True)
            if __name__ == "__main__":
                asyncio.run(main())
        """)
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert [worker.stdout.readline(), worker.stdout.readline()] == ["started\n", "opened\n"]
        children = psutil.Process(worker.pid).children(recursive=True)
        worker.kill()
        assert worker.stdout.read() == ""
    assert len(children) >= 2
    assert psutil.wait_procs(children, timeout=2)[1] == []
