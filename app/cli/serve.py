"""`reckon serve`: the API processes and the training worker, started, watched and stopped together."""

import os
import socket
import tempfile
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from ipaddress import ip_address

import typer

BACKLOG = 2_048
DRAIN_SECONDS = 10


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
    from app.settings import Settings

    settings = Settings()
    listener = bind(settings.host if host is None else host, settings.port if port is None else port, insecure=insecure)
    address = address_of(listener)
    with listener:
        run_service(
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
    # Accepted connections inherit TCP_NODELAY. uvicorn takes an inherited descriptor for a Unix socket and does not set
    # it: the body of a response, written after its head, would wait some 40 ms for the client's delayed ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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


def address_of(listener: socket.socket) -> str:
    """Where this machine reaches the listener."""
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104  compared with, not bound
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_ready(address: str) -> bool:
    """Whether an API process answers that it is ready."""
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=1) as answer:  # noqa: S310  our own address
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def run_service(listener: socket.socket, *, processes: int, worker: bool, announce: Callable[[], None]) -> None:
    """Run the API processes on the listener, and the worker, until a stop signal.

    Raises `ReckonError` when the database of the settings cannot be used.
    """
    from app.cli.supervisor import Child, run_together
    from app.settings import Settings
    from app.wiring import open_store
    from app.worker import check_can_train

    # Children are restarted for ever, so what no restart can mend must be reported before the first one is started.
    if worker:
        check_can_train()
    open_store(Settings()).close()
    address = address_of(listener)
    with tempfile.TemporaryDirectory(prefix="reckon-metrics-") as metrics_folder:
        environment = dict(os.environ)
        # One answer gains nothing from several threads, and the processes would compete for the cores.
        of_api = environment | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        if processes > 1:
            of_api["PROMETHEUS_MULTIPROC_DIR"] = metrics_folder
        children = [
            Child(f"api {n}", api_command(listener), of_api, (listener.fileno(),)) for n in range(1, processes + 1)
        ]
        if worker:
            children.append(Child("worker", ["app.cli", "worker"], environment))
        run_together(children, is_ready=lambda: is_ready(address), announce=announce)


def api_command(listener: socket.socket) -> list[str]:
    return [
        *("uvicorn", "app.main:create_app", "--factory", "--fd", str(listener.fileno())),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
        *("--no-server-header", "--timeout-graceful-shutdown", str(DRAIN_SECONDS)),
    ]
