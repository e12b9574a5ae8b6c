"""An application on a real port, in a thread of the test's process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp


@contextmanager
def serving(app: ASGIApp, **options: Any) -> Iterator[str]:
    """Its address, until the block ends. `options`: of uvicorn."""
    defaults: dict[str, Any] = {"port": 0, "log_level": "critical", "lifespan": "on"}
    server = uvicorn.Server(uvicorn.Config(app, **defaults | options))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the application did not start"
            time.sleep(0.005)
        (listener,) = server.servers
        host, port = listener.sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join()
