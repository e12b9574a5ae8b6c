"""A server that loses no request when it stops, though another process goes on answering on the same socket.

uvicorn by itself closes idle connections at once. A request that a client has just sent on one of them is lost.
"""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

LINGER_SECONDS = 1.0
"""How long an idle connection stays open for its next request, whose answer closes it."""

POLL_SECONDS = 0.05


class DrainingServer(uvicorn.Server):
    """Creates the file `ready` once it answers, and calls `on_stop` as soon as it begins to stop.

    When it stops, it accepts no more connections, and every answer says `Connection: close`. Connections without a
    request are closed after `LINGER_SECONDS`.
    """

    on_stop: Callable[[], None]

    def __init__(self, config: uvicorn.Config, ready: Path | None = None) -> None:
        super().__init__(config)
        self._ready = ready
        self.on_stop = lambda: None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._ready is not None and self.started:
            self._ready.touch()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.on_stop()
        for server in self.servers:
            server.close()
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        for connection in self.server_state.connections:
            # An answer that has not begun was made ready without the header.
            cycle = getattr(connection, "cycle", None)
            if cycle is not None and not cycle.response_complete:
                cycle.keep_alive = False
        for _ in range(round(LINGER_SECONDS / POLL_SECONDS)):
            # First of all, so that connections that were accepted last are known.
            await asyncio.sleep(POLL_SECONDS)
            if not self.server_state.connections:
                break
        await super().shutdown(sockets)
