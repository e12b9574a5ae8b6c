"""A server on one core, a load generator (wrk) on the other."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SERVER_CORE, LOAD_CORE = "0", "1"
CONNECTIONS = 16
LUA = Path(__file__).with_name("each_user.lua")


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of the generator saw. `p99_milliseconds` includes waiting behind the other connections."""

    requests_per_second: float
    p99_milliseconds: float
    errors: int


def has_generator() -> bool:
    return shutil.which("wrk") is not None


@contextmanager
def server(application: str, data_dir: Path, *, factory: bool = False, database_url: str = "") -> Iterator[str]:
    """`application` (`module:name`) under uvicorn on one core, as `reckon serve` starts it; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "RECKON_DATA_DIR": str(data_dir),
        "RECKON_DATABASE_URL": database_url,
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [*("taskset", "-c", SERVER_CORE, sys.executable, "-m", "uvicorn", application, "--port", str(port))]
    command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    process = subprocess.Popen(command + (["--factory"] if factory else []), env=environment)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/openapi.json")
        yield address
    finally:
        process.terminate()
        process.wait()


def _wait_for(url: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310  our own address
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def measure(address: str, path: str, n_users: int, seconds: float = 5, connections: int = CONNECTIONS) -> Load:
    """Ask `path`, whose `%d` becomes 1 .. `n_users` in turn, as fast as it is answered."""
    command = [
        "taskset",
        "-c",
        LOAD_CORE,
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--latency",
        "-s",
        str(LUA),
    ]
    run = subprocess.run([*command, address, "--", path, str(n_users)], capture_output=True, text=True, check=True)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", run.stdout)
    tail = re.search(r"99%\s+([\d.]+)(us|ms|s)", run.stdout)
    if rate is None or tail is None:
        raise RuntimeError(run.stdout)
    errors = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", run.stdout))
    return Load(float(rate[1]), float(tail[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[tail[2]], errors)
