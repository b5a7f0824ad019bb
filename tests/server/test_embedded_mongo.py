"""The embedded database: started once, shared, found again after a crash, stopped by the last."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from pymongo import MongoClient

from amancay_server.embedded_mongo import EmbeddedMongo, EmbeddedMongoUnavailable, find_mongod

HOLD = """
import sys, time
from pathlib import Path
from amancay_server.embedded_mongo import EmbeddedMongo
with EmbeddedMongo.at(Path(sys.argv[1])) as mongo:
    print(mongo.url, flush=True)
    sys.stdin.readline()
"""


def hold(directory: Path) -> "subprocess.Popen[str]":
    """Another process that uses the database until it is told to leave."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def leave(process: "subprocess.Popen[str]") -> None:
    process.communicate("leave\n", timeout=60)
    assert process.returncode == 0


def url_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def pid_of(directory: Path) -> int:
    return int(json.loads((directory / "mongo.state").read_text())["pid"])


def lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def bind_when_free(taken: socket.socket, port: int) -> None:
    """Takes the port of a process that was just killed, whose last threads may still be ending."""
    for _ in range(200):
        try:
            return taken.bind(("127.0.0.1", port))
        except OSError:
            time.sleep(0.02)
    raise AssertionError("the port was never given up")


def hang_up(listener: socket.socket) -> None:
    """A server of another kind, which mongod asks whether it is itself."""
    while True:
        try:
            listener.accept()[0].close()
        except OSError:
            return


def write(url: str, name: str) -> None:
    with MongoClient[dict[str, object]](url, w="majority", journal=True) as client:
        client.keep.names.insert_one({"_id": name})


def names(url: str) -> list[object]:
    with MongoClient[dict[str, object]](url) as client:
        return sorted((found["_id"] for found in client.keep.names.find()), key=str)


def test_it_serves_privately_and_stops(tmp_path: Path) -> None:
    """Goal: a writable replica set for us alone, and nothing left running. Method: enter, look, leave."""
    with EmbeddedMongo.at(tmp_path / "data") as mongo:
        write(mongo.url, "first")
        assert names(mongo.url) == ["first"]
        pid = pid_of(tmp_path / "data")
        process = psutil.Process(pid)
        listening = [it for it in process.net_connections() if it.status == psutil.CONN_LISTEN]
        assert {it.laddr[0] for it in listening} == {"127.0.0.1"}
        assert os.getsid(pid) != os.getsid(0)
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert not lives(pid)


def test_two_users_share_one_and_the_last_stops_it(tmp_path: Path) -> None:
    """Goal: one database per directory, as long as anybody needs it. Method: leave in both orders."""
    other = hold(tmp_path)
    theirs = url_of(other)
    with EmbeddedMongo.at(tmp_path) as mongo:
        assert mongo.url == theirs
        pid = pid_of(tmp_path)
        leave(other)
        assert lives(pid)
        write(mongo.url, "still there")
    assert not lives(pid)


def test_a_survivor_is_found_again(tmp_path: Path) -> None:
    """Goal: kill -9 of the server costs nothing. Method: kill the user, not the database; enter again."""
    other = hold(tmp_path)
    theirs = url_of(other)
    write(theirs, "before")
    pid = pid_of(tmp_path)
    other.kill()
    other.communicate()
    assert lives(pid)
    with EmbeddedMongo.at(tmp_path) as mongo:
        assert (mongo.url, pid_of(tmp_path)) == (theirs, pid)
        assert names(mongo.url) == ["before"]
    assert not lives(pid)


@pytest.mark.slow
def test_it_recovers_on_another_port(tmp_path: Path) -> None:
    """Goal: a database that died dirty comes back, also where its port was taken. Method: kill -9, take the port."""
    with EmbeddedMongo.at(tmp_path) as mongo:
        first = mongo.url
        write(first, "before")
        os.kill(pid_of(tmp_path), signal.SIGKILL)
        port = json.loads((tmp_path / "mongo.state").read_text())["port"]
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bind_when_free(taken, port)
        taken.listen()
        threading.Thread(target=hang_up, args=(taken,), daemon=True).start()
        with EmbeddedMongo.at(tmp_path) as mongo:
            assert mongo.url != first
            assert names(mongo.url) == ["before"]


@pytest.mark.slow
def test_a_mongod_without_a_state_file_is_replaced(tmp_path: Path) -> None:
    """Goal: a start that died half-way locks nobody out. Method: remove the state while mongod runs."""
    other = hold(tmp_path)
    write(url_of(other), "before")
    pid = pid_of(tmp_path)
    other.kill()
    other.communicate()
    (tmp_path / "mongo.state").write_text("{broken")
    with EmbeddedMongo.at(tmp_path) as mongo:
        assert not lives(pid)
        assert names(mongo.url) == ["before"]


def test_a_binary_that_is_no_mongod_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a clear error instead of a hang. Method: a `mongod` on PATH that ends at once."""
    fake = tmp_path / "bin" / "mongod"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o700)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    assert find_mongod(tmp_path) == fake
    began = time.monotonic()
    with pytest.raises(EmbeddedMongoUnavailable, match="log"), EmbeddedMongo.at(tmp_path / "data"):
        pass
    assert time.monotonic() - began < 20
