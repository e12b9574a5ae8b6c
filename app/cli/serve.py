"""`reckon serve`: starts, watches and stops the API processes and the training worker."""

import errno
import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path

import typer

BACKLOG = 2_048
SEND_BUFFER_BYTES = 1 << 18
"""Of a connection, in the system. By default the system would keep several MiB of what a peer does not read."""

METRICS_PREFIX = "reckon-metrics-"
RATE_LIMITS = "rate-limits"
"""The name of the file in which the API processes share their counts of requests."""


def serve(
    processes: int = typer.Option(1, min=1, max=64, help="Number of API processes that share the port"),
    host: str | None = typer.Option(None, help="Address to bind; default: RECKON_HOST"),
    port: int | None = typer.Option(None, min=0, max=65535, help="Port to bind; default: RECKON_PORT"),
    worker: bool = typer.Option(True, help="Also run the training worker"),
    insecure: bool = typer.Option(
        False, "--insecure", help="Allow an address that other machines can reach, although there is no API key"
    ),
) -> None:
    """Serve the API and run the training worker. Ctrl-C stops all processes.

    SIGTERM and SIGHUP stop them as well, once all requests are answered; after SIGTERM, `/readyz` is 503 for
    RECKON_DRAIN_SECONDS first. SIGUSR2 restarts them one by one, without losing a request, for instance after an
    upgrade.
    """
    from app.errors import ConflictError
    from app.settings import Settings

    settings = Settings()
    host = settings.host if host is None else host
    needs_keys = settings.require_keys or not (insecure or is_loopback(host))
    has_keys = has_valid_key()
    if needs_keys and not has_keys:
        raise ConflictError(
            f"other machines can reach {host}, and there is no API key: run `reckon keys create --scope admin`, or add"
            " --insecure"
        )
    listener = bind(host, settings.port if port is None else port)
    address = address_of(listener)
    with listener:
        run_service(
            listener,
            processes=processes,
            worker=worker,
            # Once there was a key, a process that starts later must not open the service.
            needs_keys=needs_keys or has_keys,
            announce=lambda: _announce(address, is_open=not has_keys),
        )


def has_valid_key() -> bool:
    """Whether the database has a key that is valid now. Raises `ReckonError` if it cannot be used."""
    from app.settings import Settings
    from app.wiring import open_store

    store = open_store(Settings())
    try:
        now = store.api_keys.now()
        return any(key.is_valid(now) for key in store.api_keys.read().keys)
    finally:
        store.close()


def _announce(address: str, *, is_open: bool) -> None:
    # The service goes on where its output is a closed pipe or a full disk.
    with suppress(OSError):
        typer.echo(f"Reckon answers at {address} (docs: {address}/docs)")
        if is_open:
            typer.echo(
                "There is no API key: every request is allowed. `reckon keys create` makes the first one.", err=True
            )


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `ConflictError` if the address is in use or not of this machine."""
    from app.errors import ConflictError

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted connections inherit TCP_NODELAY. uvicorn takes an inherited descriptor for a Unix socket and does not set
    # it: the body of a response, written after its head, would wait some 40 ms for the client's delayed ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # They inherit this, too.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        is_taken = error.errno == errno.EADDRINUSE
        advice = "; RECKON_PORT names another port" if is_taken else "; RECKON_HOST names the address"
        raise ConflictError(f"cannot bind {host}:{port}: {error.strerror}{advice}") from error
    return listener


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def address_of(listener: socket.socket) -> str:
    """The URL at which this machine reaches the listener."""
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104  compared with, not bound
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_ready(address: str) -> bool:
    """Whether an API process answers that it is ready."""
    from app.cli.local_http import get

    try:
        with get(f"{address}/readyz", timeout_seconds=1) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def run_service(
    listener: socket.socket, *, processes: int, worker: bool, needs_keys: bool, announce: Callable[[], None]
) -> None:
    """Run the API processes on the listener, and the worker, until a stop signal.

    `needs_keys`: whether requests are refused even while there is no API key.

    Raises `ReckonError` when the database of the settings cannot be used.
    """
    from app.cli.supervisor import Child, run_together
    from app.observability.metrics import SHARED_FOLDER
    from app.observability.processes import PROCESSES_FILE
    from app.settings import Settings
    from app.store.presence import PROCESS_NAME
    from app.training.rejections import rejection_warning
    from app.wiring import open_store, snapshot_folders
    from app.worker import check_can_train

    # Children are restarted for ever, so an error that no restart can repair must be raised before the first start.
    if worker:
        check_can_train()
    settings = Settings()
    snapshot_folders(settings).check()
    store = open_store(settings)
    try:
        warning = rejection_warning(store)
    finally:
        store.close()
    if warning is not None:
        with suppress(OSError):  # as in `_announce`
            typer.echo("\n".join(warning.lines), err=True)
    address = address_of(listener)
    with metrics_folder() as folder:
        processes_file = folder / "processes.json"
        environment = os.environ | {PROCESSES_FILE: str(processes_file)}
        # A single answer is not faster with several threads, and the processes would compete for the cores.
        of_api = environment | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        if needs_keys:
            of_api["RECKON_REQUIRE_KEYS"] = "true"
        if processes > 1:
            of_api[SHARED_FOLDER] = str(folder)
            of_api["RECKON_RATE_LIMITS_FILE"] = str(folder / RATE_LIMITS)
        children = [
            Child(
                name,
                api_command(listener, folder),
                of_api | {PROCESS_NAME: name},
                (listener.fileno(),),
                ready_folder=folder,
            )
            for name in (f"api {n}" for n in range(1, processes + 1))
        ]
        if worker:
            children.append(Child("worker", ["app.cli", "worker"], environment | {PROCESS_NAME: "worker"}))
        run_together(
            children,
            processes_file,
            is_ready=lambda: is_ready(address),
            announce=announce,
            drain_seconds=settings.drain_seconds,
        )


@contextmanager
def metrics_folder() -> Iterator[Path]:
    """A temporary folder in which the API processes share their metrics, and their counts of requests.

    Removes the folders of services that were killed. The lock on a folder tells whether its service still runs: the
    system releases it however the service ends.
    """
    parent = Path(tempfile.gettempdir())
    for old in parent.glob(f"{METRICS_PREFIX}*"):
        # Another user's folder cannot be opened, and the folder of a running service is locked.
        with suppress(OSError), _locked(old):
            shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=METRICS_PREFIX) as name, _locked(Path(name)):
        yield Path(name)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Raises `OSError` if another process holds the lock."""
    # Children do not inherit the descriptor, so the lock does not outlive this process.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def api_command(listener: socket.socket, ready_folder: Path) -> list[str]:
    return ["app.cli.api_process", str(listener.fileno()), str(ready_folder)]
