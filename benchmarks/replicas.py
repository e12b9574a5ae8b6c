"""A replica with an empty data folder, until it is ready with a snapshot of a gigabyte from an S3 server beside it."""

import os
import tempfile
import time
from pathlib import Path

from app.cli.serve import is_ready
from benchmarks.made_up import fill, publish
from benchmarks.serving_data import opened
from benchmarks.table import Row
from tests.support.object_storage import s3_server
from tests.support.service import Instance, free_port, wait_until

N_ITEMS, N_USERS = 20_000, 450_000
READY_SECONDS = 20.0


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trainer = folder / "trainer"
        trainer.mkdir()
        store = opened(trainer)
        fill(store, N_ITEMS, 0)
        n_bytes = publish(store, trainer, N_USERS)
        store.close()
        with s3_server(folder) as server:
            environment = server.environment("replica")
            started = time.monotonic()
            Instance(trainer, settings=environment).run("snapshots", "upload", timeout_seconds=600)
            upload_seconds = time.monotonic() - started
            seconds = [_ready_seconds(folder / f"replica-{n}", trainer, environment) for n in range(3)]
    size = f"{n_bytes / 1e9:.2f} GB, {N_USERS:,} users, {N_ITEMS:,} items"
    ready, fetched, cpu = (sorted(each) for each in zip(*seconds, strict=True))
    return [
        Row(
            "a replica, from an empty folder to ready with the live snapshot",
            f"<= {READY_SECONDS:.0f} s",
            f"{ready[1]:.1f} s",
            f"{size}; {ready[0]:.1f} to {ready[2]:.1f} s, of which {fetched[1]:.1f} s to download and verify;"
            f" {cpu[1]:.1f} s of a core",
        ),
        Row("`reckon snapshots upload`, which verifies first", "", f"{upload_seconds:.1f} s", size),
    ]


def _ready_seconds(data_dir: Path, trainer: Path, environment: dict[str, str]) -> tuple[float, float, float]:
    """From the start of the process to ready, the download alone, and what the API process used of a core."""
    data_dir.mkdir()
    replica = Instance(data_dir, f"sqlite:///{trainer / 'reckon.db'}", settings=environment)
    port = free_port()
    started = time.monotonic()
    process = replica.start("serve", "--no-worker", "--port", str(port))
    try:
        wait_until(lambda: is_ready(f"http://127.0.0.1:{port}"), 300)
        seconds, cpu_seconds = time.monotonic() - started, _cpu_seconds(process.pid)
    finally:
        process.terminate()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()
    (fetched,) = replica.logged("snapshot fetched")
    return seconds, float(fetched["seconds"]), cpu_seconds


def _cpu_seconds(pid: int) -> float:
    """Of the children of a process."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    times = [Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[11:13] for child in children]
    return sum(int(each) for pair in times for each in pair) / os.sysconf("SC_CLK_TCK")
