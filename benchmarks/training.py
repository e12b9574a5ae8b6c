"""From ratings in the database to a live snapshot: how long it takes, and how good the lists are."""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from app.entities import IncomingRatings
from app.store import Store, migrate
from benchmarks.table import Row

N_ITEMS, N_EACH = 5_000, 100
CHUNK = 50_000
RUNS = 3


def rows() -> list[Row]:
    return speed()


def speed() -> list[Row]:
    """The whole command, as a process of its own: reading, settling, measuring, learning from all, publishing."""
    results = []
    for n_users, target in ((10_000, "<= 10 s before there was a taste"), (50_000, "<= 90 s, RSS <= 2 GB")):
        with tempfile.TemporaryDirectory() as folder:
            store = fresh_store(Path(folder))
            for chunk in generated_ratings(n_users):
                store.ratings.record(chunk)
            store.close()
            outcomes = [train_in_process(Path(folder)) for _ in range(RUNS if n_users < 50_000 else 1)]
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        seconds = statistics.median(seconds for seconds, _ in outcomes)
        outcome = outcomes[-1][1]
        note = f"{n_users:,} users, {N_ITEMS:,} items; peak RSS {peak / 1e9:.2f} GB; {outcome}"
        results.append(
            Row(f"{n_users * N_EACH:,} ratings in SQLite to live snapshot", target, f"{seconds:.1f} s", note)
        )
    return results


def train_in_process(data_dir: Path) -> tuple[float, str]:
    """Seconds of `reckon train`, and its nDCG beside bestsellers'."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "app.cli", "train", "--json"]
    environment = os.environ | {"RECKON_DATA_DIR": str(data_dir)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    metrics = json.loads(done.stdout)["metrics"]
    return seconds, f"nDCG@10 {metrics['snapshot']['ndcg@10']:.4f}, bestsellers {metrics['bestsellers']['ndcg@10']:.4f}"


def fresh_store(data_dir: Path) -> Store:
    migrate("", data_dir)
    return Store.open("", data_dir)


def generated_ratings(n_users: int) -> Iterator[IncomingRatings]:
    """Ratings 1-5, `N_EACH` of every user, chosen by fame and an eight-dimensional taste."""
    rng = np.random.default_rng(0)
    item_tastes = rng.standard_normal((N_ITEMS, 8)) / np.sqrt(8)
    fame = -np.log(np.arange(N_ITEMS) + 10.0)
    for start in range(0, n_users, CHUNK // N_EACH):
        user_tastes = rng.standard_normal((CHUNK // N_EACH, 8))
        liking = user_tastes @ item_tastes.T
        odds = fame + 0.7 * liking + rng.gumbel(size=liking.shape)
        items = np.argpartition(-odds, N_EACH, axis=1)[:, :N_EACH]
        values = 3.5 + 0.7 * np.take_along_axis(liking, items, axis=1) + 0.8 * rng.standard_normal(items.shape)
        users = np.repeat(np.arange(start, start + len(items)), N_EACH)
        yield IncomingRatings(
            [f"u{user}" for user in users],
            [f"i{item}" for item in items.ravel()],
            np.clip(np.rint(values), 1, 5).ravel(),
            rng.integers(0, 10**15, len(users)),
        )
