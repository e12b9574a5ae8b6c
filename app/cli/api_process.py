"""One API process, on a listening socket that it inherits: `python -m app.cli.api_process DESCRIPTOR READY_FOLDER`."""

import os
import resource
import socket
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE

from app.cli.connection import BoundedConnection
from app.cli.connections import Connections
from app.cli.draining import DrainingServer
from app.cli.supervisor import ready_file
from app.main import STREAMED, create_app
from app.settings import Settings

FINISH_SECONDS = 10
"""How long requests in flight may take once the process stops."""

ACCEPTED_AT_ONCE = 16
"""uvloop accepts one connection for each listening socket in a turn of its loop. Under load a turn takes a tenth of a
second, and the connections of new callers would wait for minutes. So it gets the same socket several times."""

IDLE_SECONDS = 5
"""A connection without a request is closed after this time. The clients of the project drop theirs earlier."""

NO_CORE = (0, 0)


def run(descriptor: int, ready: Path) -> None:
    """Answer until a stop signal; create the file `ready` once requests are answered."""
    # A core file would hold the keys and the data of the requests that were in memory.
    resource.setrlimit(resource.RLIMIT_CORE, NO_CORE)
    connections = Connections(Settings().connections_per_peer, streamed=STREAMED)

    def make_app() -> ASGIApp:
        app = create_app()
        connections.count_refused_peer = app.state.service.metrics.count_refused_peer
        # Not once all requests have ended: some of them wait for a download.
        server.on_stop = app.state.service.downloads.stop
        return app

    config = uvicorn.Config(
        make_app,
        factory=True,
        loop="uvloop",
        http=partial(BoundedConnection, connections_of_all=connections),  # type: ignore[arg-type]  # it is only called
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        # Nothing uses the address or the scheme that a proxy reports.
        proxy_headers=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=FINISH_SECONDS,
    )
    server = DrainingServer(config, ready)
    # Not by `socket.dup`, which makes the socket blocking: in all processes, since they share it.
    listeners = [socket.socket(fileno=os.dup(descriptor)) for _ in range(ACCEPTED_AT_ONCE)]
    with suppress(KeyboardInterrupt):
        server.run(listeners)
    if not server.started:
        sys.exit(STARTUP_FAILURE)


if __name__ == "__main__":
    run(int(sys.argv[1]), ready_file(Path(sys.argv[2]), os.getpid()))
