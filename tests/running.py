"""A real server in a process of its own, for tests that come from outside."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from amancay_server.demo.issuer import Issuer

COMMAND = str(Path(sys.executable).parent / "amancay")
START_SECONDS = 90
STOP_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A server that answers at `url`, and whose demo issuer signs tokens."""

    url: str
    data_dir: Path
    process: "subprocess.Popen[str]"
    mongo_url: str | None = None
    database: str = "amancay"

    def token(self, user: str) -> str:
        """A valid token for any user name."""
        return _token(self.data_dir, user)

    def kill(self) -> None:
        """Ends the process as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(STOP_SECONDS)
        self._close()

    def stop(self) -> int:
        """Asks it to end, as Ctrl-C would; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(STOP_SECONDS)
        self._close()
        return code

    def _close(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()


@cache
def _token(data_dir: Path, user: str) -> str:
    return Issuer(data_dir).token(user)


def start(arguments: list[str], data_dir: Path, environment: Mapping[str, str], **facts: str) -> RunningServer:
    """Starts the command line and waits for its readiness line."""
    process = subprocess.Popen(
        [COMMAND, *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    timer = threading.Timer(START_SECONDS, process.kill)
    timer.start()
    assert process.stdout is not None
    try:
        url = next(line.split()[1] for line in process.stdout if line.startswith("ready "))
    except StopIteration:
        process.kill()
        raise AssertionError(f"the server did not come up: exit code {process.wait()}") from None
    finally:
        timer.cancel()
    threading.Thread(target=_drain, args=(process,), daemon=True).start()
    return RunningServer(url=url, data_dir=data_dir, process=process, **facts)


def start_serving(data_dir: Path, mongo_url: str, database: str, **settings: str) -> RunningServer:
    """`amancay serve` over a database of the caller's, believing the demo issuer of `data_dir`."""
    identity = Issuer(data_dir).identity
    environment = {
        "AMANCAY_MONGO_URL": mongo_url,
        "AMANCAY_DATABASE": database,
        "AMANCAY_DATA_DIR": str(data_dir),
        "AMANCAY_IDENTITY__ISSUER": str(identity.issuer),
        "AMANCAY_IDENTITY__JWKS_FILE": str(identity.jwks_file),
        **settings,
    }
    return start(["serve", "--port", "0"], data_dir, environment, mongo_url=mongo_url, database=database)


@contextmanager
def serving(data_dir: Path, mongo_url: str, database: str, **settings: str) -> Iterator[RunningServer]:
    """As `start_serving`, ended afterwards."""
    server = start_serving(data_dir, mongo_url, database, **settings)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def demo(data_dir: Path, *arguments: str) -> Iterator[RunningServer]:
    """`amancay demo` without its tour, ended afterwards."""
    server = start(["demo", "--no-tour", "--port", "0", "--data-dir", str(data_dir), *arguments], data_dir, {})
    try:
        yield server
    finally:
        server.stop()


def _drain(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    with contextlib.suppress(ValueError):  # closed meanwhile
        for _ in process.stdout:
            pass
