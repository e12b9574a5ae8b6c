"""What a snapshot costs: the memory of four API processes that map the same files, the time to the first answer."""

import json
import tempfile
import time
import urllib.request
from pathlib import Path

from benchmarks.load import measure
from benchmarks.made_up import fill, publish
from benchmarks.serving_data import opened
from benchmarks.serving_rates import RECOMMENDATIONS
from benchmarks.table import Row
from tests.support.service import Instance, RunningService, free_port, wait_until

N_ITEMS, N_USERS, N_KNOWN = 20_000, 200_000, 5_000
N_USERS_OF_100_MB = 56_000
PROCESSES = 4
MB = 1e6


def memory_rows() -> list[Row]:
    """Proportional set size: a page that n processes share counts 1/n in each."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        store = opened(data_dir)
        fill(store, N_ITEMS, N_KNOWN)
        with Instance(data_dir).serving("--processes", str(PROCESSES), "--no-worker") as service:
            processes = service.children()
            ask_all(service)
            without = sum(map(proportional_bytes, processes))
            n_bytes = publish(store, data_dir, N_USERS)
            wait_until(lambda: all(maps(process, "item_vectors") for process in processes))
            ask_all(service)
            more = sum(map(proportional_bytes, processes)) - without
            has_numba = any(maps(process, "numba") or maps(process, "llvmlite") for process in processes)
        store.close()
    what = f"memory: {N_USERS // 1000}k users x {N_ITEMS // 1000}k items x 64, {PROCESSES} processes"
    note = f"PSS +{more / MB:,.0f} MB over {without / MB:,.0f} MB without; arrays {n_bytes / MB:,.0f} MB; "
    note += "numba is loaded" if has_numba else "no numba"
    return [Row(what, "<= 1.3 x the arrays", f"{more / n_bytes:.2f} x", note)]


def start_rows() -> list[Row]:
    """From the command to the first answer that comes from the snapshot."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        store = opened(data_dir)
        fill(store, N_ITEMS, N_KNOWN)
        n_bytes = publish(store, data_dir, N_USERS_OF_100_MB)
        store.close()
        seconds = sorted(_seconds_to_first_answer(data_dir) for _ in range(3))
    what = f"start to first answer, snapshot of {n_bytes / MB:,.0f} MB, {N_ITEMS:,} items"
    return [Row(what, "<= 3 s", f"{seconds[1]:.1f} s", f"{seconds[0]:.1f} to {seconds[-1]:.1f} s, files in the cache")]


def _seconds_to_first_answer(data_dir: Path) -> float:
    port = free_port()
    since = time.perf_counter()
    process = Instance(data_dir).start("serve", "--port", str(port), "--no-worker")
    try:
        wait_until(lambda: _snapshot_version(port) is not None)
        return time.perf_counter() - since
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _snapshot_version(port: int) -> int | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/users/u1/recommendations", timeout=5) as answer:
            version: int | None = json.load(answer)["snapshot_version"]
            return version
    except OSError:
        return None


def ask_all(service: RunningService) -> None:
    """Some requests of every process; the connections of one generator fall to all of them."""
    measure(service.address, RECOMMENDATIONS, 1, N_KNOWN, connections=64, seconds=3)


def maps(pid: int, name: str) -> bool:
    return name in Path(f"/proc/{pid}/maps").read_text()


def proportional_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
