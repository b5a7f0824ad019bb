"""Following an execution to its end: live over a socket, by asking again where there is none."""

from collections.abc import Callable
from contextlib import aclosing

import anyio

from amancay_client.errors import AmancayError, NotFound, ServerUnreachable, later
from amancay_client.execution import ExecutionRecord
from amancay_client.transport import Connection, SocketLost

QUIET_SECONDS = 30.0
"""A socket that says nothing for so long is opened anew; the server then begins with the present state."""
MAX_LOST_SOCKETS = 3
"""After so many sockets in a row that brought nothing, only polling is left."""
POLL_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
"""How long the server may be gone before the wait is given up; the execution itself goes on."""

Show = Callable[[ExecutionRecord], None]


class Watch:
    """Sees every newer revision of one execution, and tells it to `show`."""

    def __init__(self, connection: Connection, record: ExecutionRecord, show: Show) -> None:
        self._connection = connection
        self._record = record
        self._show = show
        self._lost_sockets = 0

    async def until_ended(self) -> None:
        """Return when the execution has ended.

        Raises ServerUnreachable when the server stayed away for PATIENCE_SECONDS.
        """
        self._show(self._record)
        while not self._record.status.final:
            if self._lost_sockets < MAX_LOST_SOCKETS:
                await self._listen()
            await self._look()
            if not self._record.status.final:
                await anyio.sleep(POLL_SECONDS)

    async def _listen(self) -> None:
        """Take what the socket brings, until it ends, breaks or falls silent."""
        self._lost_sockets += 1
        updates = self._connection.listen("follow_execution", id=self._record.id)
        with anyio.move_on_after(QUIET_SECONDS) as quiet:
            try:
                async with aclosing(updates):
                    async for update in updates:
                        self._lost_sockets = 0
                        quiet.deadline = anyio.current_time() + QUIET_SECONDS
                        self._see(ExecutionRecord.parse(update["execution"]))
                        if self._record.status.final:
                            return
            except (SocketLost, AmancayError):
                # Polling hears the same refusal if it stands, and does without a socket if only that was refused.
                return

    async def _look(self) -> None:
        """Ask once, however long the server needs to come back."""
        patience_ends = anyio.current_time() + PATIENCE_SECONDS
        while not self._record.status.final:
            try:
                self._see(await fetch_execution(self._connection, self._record.id))
            except ServerUnreachable as error:
                if anyio.current_time() > patience_ends:
                    error.add_note(later(self._record.id))
                    raise
                await anyio.sleep(POLL_SECONDS)
            else:
                return

    def _see(self, record: ExecutionRecord) -> None:
        if record.revision > self._record.revision:
            self._record = record
            self._show(record)


async def fetch_execution(connection: Connection, execution_id: str) -> ExecutionRecord:
    """The execution as it is now.

    Raises NotFound.
    """
    answer = await connection.ask("execution", id=execution_id)
    if answer["execution"] is None:
        raise NotFound(f"There is no execution {execution_id!r} of yours.", code="NOT_FOUND")
    return ExecutionRecord.parse(answer["execution"])
