"""A real HTTP server that answers each request as a test has set, and records the requests."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Reply:
    """What one request gets, after `waits_for` is set."""

    status: int = 200
    body: str = '{"status": "ok"}'
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    waits_for: threading.Event | None = None


DROPPED = Reply(status=0)
"""The connection is closed without an answer."""


def problem(status: int, **headers: str) -> Reply:
    document = {
        "type": f"urn:reckon:problem:p{status}",
        "title": "t",
        "status": status,
        "detail": "d",
        "request_id": "r",
    }
    return Reply(
        status,
        json.dumps(document),
        {"content-type": "application/problem+json"} | {name.replace("_", "-"): text for name, text in headers.items()},
    )


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float


@dataclass
class ScriptedServer:
    """`script`: the replies in turn; the last one for all that come after."""

    script: list[Reply]
    address: str = ""
    asked: list[Asked] = field(default_factory=list)
    asking: threading.Lock = field(default_factory=threading.Lock)

    def reply_to(self, asked: Asked) -> Reply:
        with self.asking:
            self.asked.append(asked)
            return self.script[min(len(self.asked), len(self.script)) - 1]


@contextmanager
def scripted(*script: Reply, bound: socket.socket | None = None) -> Iterator[ScriptedServer]:
    """`bound`: where it listens; by default at a free port."""
    played = ScriptedServer(list(script))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline()
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            reply = played.reply_to(Asked(self.command, self.path, dict(self.headers), body, time.monotonic()))
            if reply.waits_for is not None:
                reply.waits_for.wait(60)
            if reply.status == 0:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, text in reply.headers.items():
                self.send_header(name, text)
            self.send_header("content-length", str(len(reply.body.encode())))
            self.end_headers()
            self.wfile.write(reply.body.encode())

        def log_message(self, *_: object) -> None:
            """Write no log: tests read the recorded requests."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """A client that gave up is what some tests are about."""

    server = Server(("127.0.0.1", 0), Handler, bind_and_activate=bound is None)
    if bound is not None:
        server.socket.close()
        server.socket, server.server_port = bound, bound.getsockname()[1]
        server.server_activate()
    played.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield played
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
