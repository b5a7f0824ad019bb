"""One query's process and the fork server behind it, as the supervisor holds them.

The child talks through `multiprocessing.connection`'s framing: a four-byte length, then the bytes. This side
reads it with asyncio, bounded before anything is kept: no thread waits for a child, nothing is unpickled.
"""

import asyncio
import contextlib
import os
import socket
import struct
import subprocess
import sys
from typing import Self

from amancay_worker.forkserver import WIRE, Message, Plan, Word

START_SECONDS = 60.0
"""How long the fork server may take to import its libraries on a busy machine."""
STOP_SECONDS = 5.0
LENGTH = struct.Struct("!i")
KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "OMP_NUM_THREADS",
                    "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS", "SSL_CERT_FILE")  # fmt: skip
"""What queries' processes see of our environment, which may hold the database's password."""
BOOTSTRAP = """
import json, sys
sys.path[:] = json.loads(sys.argv[2])["paths"]
from amancay_worker.forkserver import main
main(sys.argv[1:])
"""


class ProtocolError(Exception):
    """The child said something that it may not say, or has gone without a word."""


class Child:
    """A forked process and our end of its socket."""

    def __init__(
        self,
        server: "ForkServerProcess",
        serial: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._server = server
        self.serial = serial
        self._reader = reader
        self._writer = writer
        self.forked: asyncio.Future[int | None] = loop.create_future()
        """Its pid; None if the server was lost first."""
        self.ended: asyncio.Future[int | None] = loop.create_future()
        """Its status as of `waitpid`; None if the server was lost first."""

    async def ready(self) -> bool:
        """True once it is forked; False if it has ended, or never will be."""
        try:
            async with asyncio.timeout(START_SECONDS):
                pid = await asyncio.shield(self.forked)
        except TimeoutError:
            return False
        return pid is not None and not self.ended.done()

    async def send(self, payload: bytes) -> None:
        """Sends one message.

        Raises:
            ProtocolError: if the child has gone.
        """
        self._writer.write(LENGTH.pack(len(payload)) + payload)
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise ProtocolError from error

    async def receive(self, limit: int) -> bytes:
        """The next message.

        Raises:
            ProtocolError: if it is longer than `limit` bytes, or the child has gone.
        """
        (length,) = LENGTH.unpack(await self._read(LENGTH.size))
        if not 0 <= length <= limit:
            raise ProtocolError
        return await self._read(length)

    def kill(self) -> None:
        """Ends it now. Only its parent sends the signal, so it never hits one that took over its pid."""
        self._server.kill(self.serial)
        self._writer.transport.abort()

    async def end(self) -> int | None:
        """Kills it if it still runs, waits until it is reaped, and gives its first status."""
        self.kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                return await asyncio.shield(self.ended)
        return None

    async def _read(self, size: int) -> bytes:
        try:
            return await self._reader.readexactly(size)
        except (EOFError, ConnectionError) as error:
            raise ProtocolError from error


class ForkServerProcess:
    """A running fork server. It ends with this process, whatever ends this process."""

    def __init__(self, process: "subprocess.Popen[bytes]", control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._children: dict[int, Child] = {}
        self._serial = 0
        self._useful = False
        self.lost = False
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    def start(cls, plan: Plan) -> Self:
        """Starts one. It imports its libraries in the background; children can be ordered at once."""
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            process = subprocess.Popen(  # noqa: S603  our own interpreter and our own arguments
                [sys.executable, "-I", "-W", "ignore", "-c", BOOTSTRAP, str(theirs.fileno()), plan.dump()],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ},
                start_new_session=True,
            )
        return cls(process, ours)

    async def fork(self) -> Child:
        """Orders a child; it may be spoken to before it exists."""
        self._serial += 1
        serial = self._serial
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            child = Child(self, serial, reader, writer)
            self._children[serial] = child
            self._say(Message(word=Word.FORK, serial=serial), theirs.fileno())
        if self.lost:
            self._forget(child)
        return child

    def kill(self, serial: int) -> None:
        """Has a child killed; nothing happens if it has ended."""
        if serial in self._children:
            self._say(Message(word=Word.KILL, serial=serial))

    async def stop(self) -> None:
        """Ends it and every child."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
        if not self._useful:
            # Still importing, so it would not listen for seconds; and there is no child yet to be ended.
            self._process.kill()
        await asyncio.wait({self._listening}, timeout=STOP_SECONDS)
        self._process.kill()
        await self._listening

    def _say(self, message: Message, *attached: int) -> None:
        try:
            socket.send_fds(self._control, [message.pack()], list(attached))
        except OSError:
            self.lost = True

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        pending = b""
        with contextlib.suppress(ConnectionError):
            while data := await loop.sock_recv(self._control, 4096):
                pending += data
                while len(pending) >= WIRE.size:
                    self._hear(Message.unpack(pending[: WIRE.size]))
                    pending = pending[WIRE.size :]
        self._bury()

    def _hear(self, message: Message) -> None:
        self._useful = True
        child = self._children[message.serial]
        if message.word is Word.FORKED:
            child.forked.set_result(message.value)
        else:
            child.ended.set_result(message.value)
            del self._children[message.serial]

    def _bury(self) -> None:
        self.lost = True
        self._control.close()
        for child in tuple(self._children.values()):
            self._forget(child)
        # Its end of the socket closed, so it is dead or about to be.
        self._process.kill()
        self._process.wait()

    def _forget(self, child: Child) -> None:
        self._children.pop(child.serial, None)
        for future in (child.forked, child.ended):
            if not future.done():
                future.set_result(None)
