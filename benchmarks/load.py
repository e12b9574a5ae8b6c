"""A server on one core, a load generator (wrk) on the other."""

import os
import re
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.service import free_port

SERVER_CORE, LOAD_CORE = "0", "1"
CONNECTIONS = 16
ROUNDS = 3

IN_TURN, RATE_ONE, RATE_MANY = (
    Path(__file__).with_name(f"{name}.lua") for name in ("each_in_turn", "rate_one", "rate_many")
)
IN_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of the generator saw. The times include waiting behind the other connections."""

    requests_per_second: float
    p50_milliseconds: float
    p99_milliseconds: float
    errors: int


def has_generator() -> bool:
    return shutil.which("wrk") is not None


@contextmanager
def reckon_server(data_dir: Path, *, database_url: str = "") -> Iterator[str]:
    """`reckon serve` with one API process on one core; yields its address."""
    port = free_port()
    # The two processes of `reckon serve` share the core. The supervisor polls ten times a second, which costs nothing.
    with _started(["app.cli", "serve", "--no-worker", "--port", str(port)], port, data_dir, database_url) as address:
        yield address


@contextmanager
def uvicorn_server(application: str, data_dir: Path) -> Iterator[str]:
    """`application` (`module:name`) under uvicorn on one core, with the options of `reckon serve`; yields its address.

    For what Reckon is compared with. Reckon is measured as users run it, by `reckon_server`.
    """
    port = free_port()
    command = ["uvicorn", application, "--port", str(port), "--loop", "uvloop", "--http", "httptools"]
    command += ["--no-access-log", "--log-level", "warning", "--no-server-header"]
    command += ["--factory"] if application.endswith("create_app") else []
    with _started(command, port, data_dir) as address:
        yield address


@contextmanager
def _started(module: list[str], port: int, data_dir: Path, database_url: str = "") -> Iterator[str]:
    """A Python module with its arguments, on the core of the server, until it answers on `port`."""
    environment = os.environ | {
        "RECKON_DATA_DIR": str(data_dir),
        "RECKON_DATABASE_URL": database_url,
        "RECKON_LOG_FORMAT": "json",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = ["taskset", "-c", SERVER_CORE, sys.executable, "-m", *module]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/openapi.json")
        yield address
    finally:
        process.terminate()
        process.wait()


def _wait_for(url: str, seconds: float = 120) -> None:
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


def measure(
    address: str,
    *arguments: str | int,
    script: Path = IN_TURN,
    seconds: float = 2,
    connections: int = CONNECTIONS,
) -> Load:
    """Ask as fast as it is answered; `arguments`: the script's, of `IN_TURN` the path, the first and the last."""
    command = [*("taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s")]
    command += ["--latency", "-s", str(script), address, "--", *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", run.stdout)
    times = dict(re.findall(r"(50|99)%\s+([\d.]+[mu]?s)", run.stdout))
    if rate is None or len(times) < 2:
        raise RuntimeError(run.stdout)
    failed = re.findall(r"Non-2xx or 3xx responses: (\d+)", run.stdout)
    for counts in re.findall(r"Socket errors: (.*)", run.stdout):
        failed += re.findall(r"\d+", counts)
    return Load(float(rate[1]), _milliseconds(times["50"]), _milliseconds(times["99"]), sum(map(int, failed)))


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)([mu]?s)", text).groups()  # type: ignore[union-attr]  # of our own search
    return float(number) * IN_MILLISECONDS[unit]


def middle(loads: Sequence[Load]) -> Load:
    """The median run, by rate; with the errors of all."""
    median = sorted(loads, key=lambda load: load.requests_per_second)[(len(loads) - 1) // 2]
    errors = sum(load.errors for load in loads)
    return Load(median.requests_per_second, median.p50_milliseconds, median.p99_milliseconds, errors)


@dataclass(frozen=True, slots=True)
class Beside:
    """The median of pairs, each of a run and the runs of the bare endpoint just before and after it."""

    load: Load
    bare: Load
    ratio: float
    p50_ratio: float
    p99_ratio: float

    @property
    def measured(self) -> str:
        return f"{self.ratio:.2f} x"

    @property
    def note(self) -> str:
        errors = f", {self.load.errors} errors" if self.load.errors else ""
        rate, p99 = self.load.requests_per_second, self.load.p99_milliseconds
        return f"{rate:,.0f}/s, p99 {p99:.1f} ms = {self.p99_ratio:.1f} x bare's{errors}"


def beside(bare: Callable[[], Load], contestant: Callable[[], Load], rounds: int = ROUNDS) -> Beside:
    """Turn and turn about, so that a machine that drifts moves both."""
    bares, loads = [bare()], []
    for _ in range(rounds):
        loads.append(contestant())
        bares.append(bare())
    around = [middle(bares[n : n + 2]) for n in range(rounds)]
    pairs = list(zip(loads, around, strict=True))
    return Beside(
        middle(loads),
        middle(bares),
        statistics.median(load.requests_per_second / near.requests_per_second for load, near in pairs),
        statistics.median(load.p50_milliseconds / near.p50_milliseconds for load, near in pairs),
        statistics.median(load.p99_milliseconds / near.p99_milliseconds for load, near in pairs),
    )
