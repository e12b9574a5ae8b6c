"""One API process, which answers on a listening socket that it inherits: `python -m app.cli.api_process DESCRIPTOR`."""

import sys
from functools import partial

import uvicorn

from app.cli.connection import BoundedConnection, Connections
from app.settings import Settings

DRAIN_SECONDS = 10

IDLE_SECONDS = 5
"""A connection without a request is closed after this time. The clients of the project drop theirs earlier."""


def run(descriptor: int) -> None:
    """Answer until a stop signal."""
    connections = Connections(Settings().connections_per_peer)
    uvicorn.run(
        "app.main:create_app",
        factory=True,
        fd=descriptor,
        loop="uvloop",
        http=partial(BoundedConnection, connections_of_all=connections),  # type: ignore[arg-type]  # it is only called
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        # Nothing uses the address or the scheme that a proxy reports.
        proxy_headers=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


if __name__ == "__main__":
    run(int(sys.argv[1]))
