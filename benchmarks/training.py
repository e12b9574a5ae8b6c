"""From ratings in the database to a live snapshot: how long it takes, and how good the lists are."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.entities import IncomingRatings
from app.snapshots.folders import SNAPSHOTS_FOLDER
from app.store import Store, migrate
from benchmarks.table import Row

N_EACH = 100
CHUNK = 50_000
MAX_OFFERED = 12_000
"""Items that a user chooses from, at most: noise for all pairs of a large catalogue would take longer than training."""


@dataclass(frozen=True)
class Size:
    """`reach`: as the table shows it. `n_runs`: the median of so many counts."""

    n_users: int
    n_items: int
    reach: str
    n_runs: int = 1


SIZES = {
    "1m": Size(10_000, 5_000, "<= 60 s, RSS <= 4 GB", n_runs=3),
    "5m": Size(50_000, 5_000, "<= 150 s, RSS <= 4 GB"),
    "12k-items": Size(10_000, 12_000, "<= 300 s, RSS <= 4 GB; tables <= 20 MB"),
    "200k-items": Size(50_000, 200_000, "<= 900 s, RSS <= 4 GB"),
}
PARTS = tuple(SIZES)


def rows(parts: list[str] | None = None) -> list[Row]:
    return [speed(SIZES[name]) for name in parts or SIZES]


@dataclass(frozen=True)
class Run:
    """One `reckon train`. `lists`: its nDCG beside bestsellers'."""

    seconds: float
    peak_bytes: int
    lists: str


def speed(size: Size) -> Row:
    """The whole command, as a process of its own: reading, settling, measuring, learning from all, publishing."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        store = fresh_store(data_dir)
        for chunk in generated_ratings(size.n_users, size.n_items):
            store.ratings.record(chunk)
        store.close()
        runs = [train_in_process(data_dir) for _ in range(size.n_runs)]
        stored = snapshot_sizes(data_dir)
    seconds, peak = statistics.median(run.seconds for run in runs), max(run.peak_bytes for run in runs)
    of_tables = sum(n_bytes for name, n_bytes in stored.items() if name.split(".")[0] in SPARSE)
    note = (
        f"{size.n_users:,} users, {size.n_items:,} items; peak RSS {peak / 1e9:.2f} GB; snapshot "
        f"{sum(stored.values()) / 1e6:.0f} MB, tables {of_tables / 1e6:.1f} MB; {runs[-1].lists}"
    )
    what = f"{size.n_users * N_EACH:,} ratings of {size.n_items:,} items in SQLite to live snapshot"
    return Row(what, size.reach, f"{seconds:.1f} s", note)


SPARSE = ("item_item", "transitions")
"""The segments whose arrays are tables of the strongest entries of each item."""


def train_in_process(data_dir: Path) -> Run:
    start = time.perf_counter()
    command = [sys.executable, "-m", "app.cli", "train", "--json"]
    process = subprocess.Popen(
        command, env=os.environ | {"RECKON_DATA_DIR": str(data_dir)}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    output = process.stdout.read() if process.stdout else b""
    # `wait4` tells the memory of this child; the usage of all children is that of the largest so far.
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with status {status}")
    metrics = json.loads(output)["metrics"]
    lists = f"nDCG@10 {metrics['snapshot']['ndcg@10']:.4f}, bestsellers {metrics['bestsellers']['ndcg@10']:.4f}"
    return Run(seconds, usage.ru_maxrss * 1024, lists)


def snapshot_sizes(data_dir: Path) -> dict[str, int]:
    """Bytes of each file of the newest snapshot."""
    newest = max((data_dir / SNAPSHOTS_FOLDER).iterdir(), key=lambda folder: folder.stat().st_mtime)
    return {path.name: path.stat().st_size for path in newest.rglob("*") if path.is_file()}


def fresh_store(data_dir: Path) -> Store:
    migrate("", data_dir)
    return Store.open("", data_dir)


def generated_ratings(n_users: int, n_items: int) -> Iterator[IncomingRatings]:
    """Ratings 1-5, `N_EACH` of every user, chosen by fame and an eight-dimensional taste."""
    rng = np.random.default_rng(0)
    item_tastes = rng.standard_normal((n_items, 8)) / np.sqrt(8)
    fame = -np.log(np.arange(n_items) + 10.0)
    for start in range(0, n_users, CHUNK // N_EACH):
        offered, pull = np.arange(n_items), fame
        if n_items > MAX_OFFERED:
            # Half of the fame decides what is offered, the other half what is chosen of it.
            offered, pull = np.argpartition(-(fame / 2 + rng.gumbel(size=n_items)), MAX_OFFERED)[:MAX_OFFERED], fame / 2
        user_tastes = rng.standard_normal((CHUNK // N_EACH, 8))
        liking = user_tastes @ item_tastes[offered].T
        odds = pull[offered] + 0.7 * liking + rng.gumbel(size=liking.shape)
        chosen = np.argpartition(-odds, N_EACH, axis=1)[:, :N_EACH]
        values = 3.5 + 0.7 * np.take_along_axis(liking, chosen, axis=1) + 0.8 * rng.standard_normal(chosen.shape)
        users = np.repeat(np.arange(start, start + len(chosen)), N_EACH)
        yield IncomingRatings(
            [f"u{user}" for user in users],
            [f"i{item}" for item in offered[chosen].ravel()],
            np.clip(np.rint(values), 1, 5).ravel(),
            rng.integers(0, 10**15, len(users)),
        )
