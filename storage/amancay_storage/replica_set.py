"""The few commands that turn one fresh mongod into a replica set of one node.

Change streams and majority writes need a replica set, even where there is only one node. Synchronous: used
while a database is being started, never while the server answers.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from amancay_storage.errors import StoreUnavailable

REPLICA_SET = "rs0"
POLL_SECONDS = 0.05
ANSWER_MILLISECONDS = 2000
NOT_YET_INITIALISED = 94


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What a mongod says about itself."""

    pid: int
    data_path: str
    replica_set: str | None


def node_at(port: int) -> Node | None:
    """The mongod that answers on this port of the local host, or None if none does."""
    try:
        with _direct(port) as client:
            options = client.admin.command("getCmdLineOpts")["parsed"]
            pid = client.admin.command("serverStatus", repl=0, metrics=0, locks=0)["pid"]
    except (PyMongoError, KeyError):
        return None
    return Node(
        pid=int(pid),
        data_path=str(options.get("storage", {}).get("dbPath", "")),
        replica_set=options.get("replication", {}).get("replSet"),
    )


def become_primary(port: int, *, wait_seconds: float) -> None:
    """Makes the mongod on this port the writable primary of its own one-node replica set.

    A data directory that was last served on another port remembers that port: the configuration is rewritten.

    Raises:
        StoreUnavailable: if it is not writable in time.
    """
    deadline = time.monotonic() + wait_seconds
    while time.monotonic() < deadline:
        try:
            with _direct(port) as client:
                _configure(client, port)
                if client.admin.command("hello").get("isWritablePrimary"):
                    return
        except PyMongoError:
            pass  # still starting, or an election is under way: asked again below
        time.sleep(POLL_SECONDS)
    raise StoreUnavailable("the embedded mongod did not become writable in time")


def _configure(client: MongoClient[dict[str, Any]], port: int) -> None:
    member = {"_id": 0, "host": f"127.0.0.1:{port}"}
    try:
        config = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure as error:
        if error.code != NOT_YET_INITIALISED:
            raise
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
        return
    if [found["host"] for found in config["members"]] != [member["host"]]:
        moved = {**config, "members": [{**config["members"][0], **member}], "version": config["version"] + 1}
        client.admin.command("replSetReconfig", moved, force=True)


@contextmanager
def _direct(port: int) -> Iterator[MongoClient[dict[str, Any]]]:
    client: MongoClient[dict[str, Any]] = MongoClient(
        "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=ANSWER_MILLISECONDS
    )
    try:
        yield client
    finally:
        client.close()
