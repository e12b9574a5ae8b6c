"""API processes on addresses of their own, which a fault kills and starts again, and connections to them."""

import http.client
import json
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field

from app.main import create_app
from app.settings import Settings
from app.store import Store, migrate
from faults.trial import Trial
from tests.support.live_app import serving
from tests.support.service import ROOT, Instance, wait_until

TIMEOUT_SECONDS = 30.0
START_SECONDS = 120.0
"""Several processes that start at once on a busy machine take a minute or two."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`headers`: by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_replayed(self) -> bool:
        return self.headers.get("idempotency-replayed") == "true"


class Connections:
    """Of one thread: a connection to each of the addresses, opened again when it breaks."""

    def __init__(self, addresses: list[str]) -> None:
        self._open = [http.client.HTTPConnection(each, timeout=TIMEOUT_SECONDS) for each in addresses]

    def __len__(self) -> int:
        return len(self._open)

    def send(
        self, place: int, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Reply | None:
        """The answer of the process at this place; None if the connection broke before it was complete."""
        connection = self._open[place]
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(method, path, content, {"content-type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            read = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return None
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, read)

    def close(self) -> None:
        for connection in self._open:
            connection.close()


def _listening() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    # As `reckon serve` does: otherwise every answer would wait 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


@dataclass
class ApiProcess:
    """One process of `reckon serve`. Its socket stays open while it is down, so that callers wait for the next one."""

    instance: Instance
    listener: socket.socket = field(default_factory=_listening)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        host, port = self.listener.getsockname()
        return f"{host}:{port}"

    def start(self) -> None:
        descriptor = self.listener.fileno()
        command = ["app.cli.supervisor", "app.cli.api_process", str(descriptor), str(self.instance.data_dir)]
        with self.instance.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [self.instance.python, "-m", *command],
                cwd=ROOT,
                env=self.instance.environment | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,  # closed when the fault ends, however it ends: the process ends then
                stderr=log,
                pass_fds=(descriptor,),
            )

    def is_ready(self) -> bool:
        """Whether the process answers, now that it was started."""
        connections = Connections([self.address])
        answer = connections.send(0, "GET", "/livez")
        connections.close()
        return answer is not None and answer.status == 200

    def end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(TIMEOUT_SECONDS)
            if self.process.stdin is not None:
                self.process.stdin.close()


@dataclass(frozen=True, slots=True)
class Processes:
    """`restartable`: empty where the applications run in the process of the test."""

    instance: Instance
    addresses: list[str]
    restartable: list[ApiProcess]

    @contextmanager
    def store(self) -> Iterator[Store]:
        with closing(Store.open(self.instance.database_url, self.instance.data_dir)) as opened:
            yield opened

    @contextmanager
    def connections(self) -> Iterator[Connections]:
        opened = Connections(self.addresses)
        try:
            yield opened
        finally:
            opened.close()

    @contextmanager
    def being_killed(self, choose: random.Random, every_seconds: float) -> Iterator[list[int]]:
        """Kills one process after the other by SIGKILL and starts it again. Yields the places of those killed so far.

        The next one is killed when the last one answers again.
        """
        killed: list[int] = []
        stopping = threading.Event()

        def kill() -> None:
            while not stopping.wait(every_seconds * choose.random() * 2):
                place = choose.randrange(len(self.restartable))
                process = self.restartable[place]
                process.end(signal.SIGKILL)
                killed.append(place)
                process.start()
                wait_until(process.is_ready, TIMEOUT_SECONDS)

        thread = threading.Thread(target=kill)
        if self.restartable:
            thread.start()
        try:
            yield killed
        finally:
            stopping.set()
            if self.restartable:
                thread.join()


@contextmanager
def api_processes(trial: Trial, kind: str, n: int, instance: Instance | None = None) -> Iterator[Processes]:
    """`n` API processes on one database; at the size `test`, `n` applications in this process, which starts sooner.

    `instance`: with a database that is migrated already; an empty one otherwise.
    """
    with ExitStack() as stack:
        if instance is None:
            url = stack.enter_context(stack.enter_context(trial.postgres()).database()) if kind == "postgres" else ""
            instance = Instance(trial.fresh_folder(kind), url)
            migrate(instance.database_url, instance.data_dir)
        if trial.size == "test":
            settings = Settings(
                database_url=instance.database_url, data_dir=instance.data_dir, snapshot_poll_seconds=0.05
            )
            urls = [stack.enter_context(serving(create_app(settings))) for _ in range(n)]
            yield Processes(instance, [url.removeprefix("http://") for url in urls], [])
            return
        processes = [ApiProcess(instance) for _ in range(n)]
        for process in processes:
            stack.callback(process.listener.close)
            process.start()
            stack.callback(process.end, signal.SIGTERM)
        for process in processes:
            wait_until(process.is_ready, START_SECONDS)
        yield Processes(instance, [process.address for process in processes], processes)


def patiently(connections: Connections, choose: random.Random, method: str, path: str, body: object, key: str) -> Reply:
    """The answer of any process, asked again as a client does while connections break or the service is busy."""
    deadline = time.monotonic() + 4 * TIMEOUT_SECONDS
    while True:
        place = choose.randrange(len(connections))
        reply = connections.send(place, method, path, body, {"idempotency-key": key})
        if reply is not None and reply.status not in {503, 429}:
            return reply
        if time.monotonic() > deadline:
            raise TimeoutError(f"{method} {path}: {reply}")
        time.sleep(0.01)
