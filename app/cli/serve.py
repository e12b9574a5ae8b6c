"""`reckon serve`: the API processes and the training worker, started, watched and stopped together."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from types import FrameType

import typer

BACKLOG = 2_048
DRAIN_SECONDS = 10
STOP_SECONDS = 20.0
RESTART_SECONDS = 1.0
QUICK_DEATH_SECONDS = 5.0
MAX_QUICK_DEATHS = 3


def serve(
    processes: int = typer.Option(1, min=1, max=64, help="How many API processes share the port"),
    host: str | None = typer.Option(None, help="Address to bind [RECKON_HOST]"),
    port: int | None = typer.Option(None, min=0, max=65535, help="Port to bind [RECKON_PORT]"),
    worker: bool = typer.Option(True, help="Run the training worker too"),
    insecure: bool = typer.Option(
        False, "--insecure", help="Allow an address that others can reach: there are no keys yet"
    ),
) -> None:
    """Serve the API, with the training worker beside it. Ctrl-C stops all of it."""
    from app.observability.logs import configure_logs
    from app.settings import Settings
    from app.wiring import open_store

    settings = Settings()
    configure_logs(settings.log_format)
    open_store(settings).close()  # what is wrong with the database is said once, here
    listener = bind(settings.host if host is None else host, settings.port if port is None else port, insecure=insecure)
    address = "http://{}:{}".format(*listener.getsockname()[:2])
    with listener:
        run_together(
            listener,
            processes=processes,
            worker=worker,
            announce=lambda: typer.echo(f"Reckon answers at {address} (docs: {address}/docs)"),
        )


def bind(host: str, port: int, *, insecure: bool) -> socket.socket:
    """A listening socket. Raises `ConflictError` when the address is taken, or reachable by others without leave."""
    from app.errors import ConflictError

    if not insecure and not _is_loopback(host):
        raise ConflictError(
            f"{host} can be reached by others and there are no keys yet: add --insecure if that is meant"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConflictError(f"cannot bind {host}:{port}: {error.strerror}") from error
    listener.listen(BACKLOG)
    return listener


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def run_together(listener: socket.socket, *, processes: int, worker: bool, announce: Callable[[], None]) -> None:
    """Run all children until told to stop; a child that dies is started again."""
    with tempfile.TemporaryDirectory(prefix="reckon-metrics-") as metrics_folder:
        environment = dict(os.environ)
        if processes > 1:
            environment["PROMETHEUS_MULTIPROC_DIR"] = metrics_folder
        children = [Child(api_command(listener), _one_thread(environment), listener.fileno()) for _ in range(processes)]
        if worker:
            children.append(Child([sys.executable, "-m", "app.cli", "worker"], environment, None))
        stopping: list[int] = []

        def stop(number: int, _frame: FrameType | None) -> None:
            stopping.append(number)

        previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for child in children:
                child.start()
            announce()
            while not stopping and all(child.watch() for child in children):
                time.sleep(0.1)
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait()
            for number, handler in previous.items():
                signal.signal(number, handler)
    if not stopping:
        raise typer.Exit(1)


def api_command(listener: socket.socket) -> list[str]:
    uvicorn = [sys.executable, "-m", "uvicorn", "app.main:create_app", "--factory", "--fd", str(listener.fileno())]
    return [
        *uvicorn,
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
        *("--no-server-header", "--timeout-graceful-shutdown", str(DRAIN_SECONDS)),
    ]


def _one_thread(environment: dict[str, str]) -> dict[str, str]:
    """One answer gains nothing from a team of threads, and the processes would fight over the cores."""
    return environment | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


@dataclass(slots=True)
class Child:
    """One process of ours; its own session, so that Ctrl-C reaches it through us alone, in order."""

    command: list[str]
    environment: dict[str, str]
    file_descriptor: int | None
    _process: subprocess.Popen[bytes] | None = None
    _started_at: float = 0.0
    _quick_deaths: int = field(default=0)

    def start(self) -> None:
        passed = () if self.file_descriptor is None else (self.file_descriptor,)
        self._started_at = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603  our own commands
            self.command, env=self.environment, pass_fds=passed, start_new_session=True
        )

    def watch(self) -> bool:
        """Start it again if it died; False once it keeps dying right after its start."""
        if self._process is None or self._process.poll() is None:
            return True
        lived = time.monotonic() - self._started_at
        self._quick_deaths = self._quick_deaths + 1 if lived < QUICK_DEATH_SECONDS else 0
        if self._quick_deaths >= MAX_QUICK_DEATHS:
            return False
        time.sleep(RESTART_SECONDS)
        self.start()
        return True

    def terminate(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
