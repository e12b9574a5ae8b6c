"""The real thing: `reckon` commands as processes, on a data folder of a test's own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Instance:
    """A data folder, Postgres where a URL is given, the interpreter whose packages the commands see, and variables."""

    data_dir: Path
    database_url: str = ""
    python: str = sys.executable
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "RECKON_DATA_DIR": str(self.data_dir),
            "RECKON_DATABASE_URL": self.database_url,
            "RECKON_LOG_FORMAT": "json",
            "RECKON_WORKER_POLL_SECONDS": "0.2",
            "RECKON_SNAPSHOT_POLL_SECONDS": "0.1",
            "RECKON_DRAIN_SECONDS": "0",
            **self.settings,
        }

    def run(self, *command: str, check: bool = True, timeout_seconds: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, "-m", "app.cli", *command],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=check,
            timeout=timeout_seconds,
        )

    def start(self, *command: str, module: str = "app.cli") -> subprocess.Popen[str]:
        """Its standard error is added to `log_path`."""
        with self.log_path.open("a") as log:
            return subprocess.Popen(
                [self.python, "-m", module, *command],
                cwd=ROOT,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    @property
    def log_path(self) -> Path:
        return self.data_dir / "stderr.log"

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log lines of that event, in order."""
        lines = [line for line in self.log_path.read_text().splitlines() if line.startswith("{") and line.endswith("}")]
        return [entry for entry in map(json.loads, lines) if entry["event"] == event]

    @contextmanager
    def serving(self, *options: str) -> Iterator["RunningService"]:
        """`reckon serve` on a free port, until it says that it answers; stopped as by Ctrl-C."""
        process = self.start("serve", "--port", "0", *options)
        try:
            if process.stdout is None:
                raise RuntimeError("no output to read the address from")
            line = process.stdout.readline()
            yield RunningService(line.split(" at ")[1].split()[0], process)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(120)
            if process.stdout is not None:
                process.stdout.close()


@dataclass(frozen=True, slots=True)
class RunningService:
    address: str
    process: subprocess.Popen[str]

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and body (JSON, or text of another type), over a connection of its own: any API process may answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"content-type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                content = answer.read()
                is_json = answer.headers.get_content_subtype().endswith("json")
                return answer.status, json.loads(content) if is_json and content else content.decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def get(self, path: str) -> Any:
        status, body = self.call("GET", path)
        assert status == 200, body
        return body

    def children(self) -> list[int]:
        """The process ids of its children, in the order in which they were started."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def get_every(self, parameters: Mapping[str, str]) -> dict[str, int]:
        """Path -> status of every GET operation of the OpenAPI document, its path parameters filled in."""
        statuses = {}
        for path, operations in self.get("/openapi.json")["paths"].items():
            if "get" in operations:
                filled = path.format_map({name: quote(value) for name, value in parameters.items()})
                statuses[path] = self.call("GET", filled)[0]
        return statuses

    def items(self, user_id: str, limit: int = 20) -> list[str]:
        answer = self.get(f"/users/{user_id}/recommendations?limit={limit}")
        return [item["item_id"] for item in answer["items"]]


def free_port() -> int:
    """None of those that the system gives to connections and other servers, which may take it before it is used."""
    for port in np.random.default_rng().permutation(np.arange(20_000, 32_000)).tolist():
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(port)
    raise RuntimeError("no port is free")


def wait_until(holds: Callable[[], bool], seconds: float = 120) -> None:
    """The limit only ends a test that fails, so that it allows for a very busy machine."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def write_ratings(path: Path, n_users: int = 60, n_items: int = 40, seed: int = 0) -> Path:
    """A CSV of two camps of users with opposite tastes in two halves of the items, and a popularity to find."""
    rng = np.random.default_rng(seed)
    lines = ["user_id,item_id,rating,timestamp"]
    for user in range(n_users):
        for item in sorted(rng.choice(n_items, 18, replace=False, p=_popularity(n_items)).tolist()):
            likes = (user % 2) == (item % 2)
            lines.append(
                f"u{user},i{item},{rng.integers(4, 6) if likes else rng.integers(1, 3)},{1_600_000_000 + len(lines)}"
            )
    path.write_text("\n".join(lines) + "\n")
    return path


def _popularity(n_items: int) -> Any:
    weights = 1 / (np.arange(n_items) + 5.0)
    return weights / weights.sum()
