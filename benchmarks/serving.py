"""Answers a second: Reckon beside a bare endpoint and beside what one would write by hand."""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.entities import IncomingRatings, Item, RatingScale
from app.store import Store, migrate
from benchmarks.load import Load, has_generator, measure, server
from benchmarks.peers import N_ITEMS, N_USERS
from benchmarks.table import Row

if TYPE_CHECKING:
    from collections.abc import Callable

RUNS = 3
RATINGS_PER_USER = 100
PATH = "/users/u%d/recommendations?limit=20"


def rows() -> list[Row]:
    if not has_generator():
        return [Row("answers a second", "", "not measured", "needs the load generator wrk on the PATH")]
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        fill(data_dir)
        train(data_dir)
        bare = repeated("benchmarks.peers:bare", data_dir)
        handwritten = repeated("benchmarks.peers:handwritten", data_dir)
        unchanged = repeated("app.main:create_app", data_dir)
        rate_once_each(data_dir)
        changed = repeated("app.main:create_app", data_dir)
    return [
        Row("bare FastAPI endpoint, same answer", "= 1", _rate(bare), f"p99 {bare.p99_milliseconds:.1f} ms"),
        Row("FastAPI + numpy + SQLAlchemy by hand", "0.14 x", _ratio(handwritten, bare), _rate(handwritten)),
        Row(
            "GET recommendations, unchanged history",
            ">= 1,500/s and >= 0.15 x",
            f"{_rate(unchanged)}, {_ratio(unchanged, bare)}",
            f"p99 {unchanged.p99_milliseconds:.1f} ms, {unchanged.errors} errors",
        ),
        Row(
            "GET recommendations, every user rated since",
            ">= 0.1 x",
            f"{_rate(changed)}, {_ratio(changed, bare)}",
            f"p99 {changed.p99_milliseconds:.1f} ms, {changed.errors} errors",
        ),
    ]


def _rate(load: Load) -> str:
    return f"{load.requests_per_second:,.0f}/s"


def _ratio(load: Load, bare: Load) -> str:
    return f"{load.requests_per_second / bare.requests_per_second:.2f} x"


def repeated(application: str, data_dir: Path) -> Load:
    """The median run of `RUNS`, by rate, after a warm-up."""
    with server(application, data_dir, factory=application.endswith("create_app")) as address:
        measure(address, PATH, N_USERS, seconds=1)
        loads = [measure(address, PATH, N_USERS) for _ in range(RUNS)]
    middle = statistics.median_low(load.requests_per_second for load in loads)
    return next(load for load in loads if load.requests_per_second == middle)


def fill(data_dir: Path) -> None:
    """5,000 users with 100 ratings each, of 10,000 items by Zipf popularity, with a taste to find."""
    migrate("", data_dir)
    store = Store.open("", data_dir)
    store.installation.set_scale(RatingScale(0.5, 5, 0.5))
    store.items.record([Item(f"i{n}", title=f"The Title Number {n}", categories=("A",)) for n in range(N_ITEMS)])
    rng = np.random.default_rng(0)
    popularity = 1 / (np.arange(N_ITEMS) + 10.0)
    popularity /= popularity.sum()
    p, q = rng.standard_normal((N_USERS, 4)), rng.standard_normal((N_ITEMS, 4))
    for start in range(0, N_USERS, 500):
        users = np.repeat(np.arange(start, start + 500), RATINGS_PER_USER)
        items = np.concatenate([rng.choice(N_ITEMS, RATINGS_PER_USER, replace=False, p=popularity) for _ in range(500)])
        values = np.clip(np.round((3.5 + 0.5 * (p[users] * q[items]).sum(axis=1)) * 2) / 2, 0.5, 5)
        _record(store, users, items, values)
    store.close()


def rate_once_each(data_dir: Path) -> None:
    """One more rating by every user, so that every vector is folded in anew."""
    store = Store.open("", data_dir)
    users = np.arange(N_USERS)
    _record(store, users, np.random.default_rng(1).integers(0, N_ITEMS, N_USERS), np.full(N_USERS, 2.5))
    store.close()


def _record(store: Store, users: np.ndarray, items: np.ndarray, values: np.ndarray) -> None:
    times = np.arange(len(users), dtype=np.int64)
    ids: Callable[[str, np.ndarray], list[str]] = lambda letter, rows: [f"{letter}{row}" for row in rows]  # noqa: E731
    store.ratings.record(IncomingRatings(ids("u", users + 1), ids("i", items), values, times))


def train(data_dir: Path) -> None:
    environment = {"RECKON_DATA_DIR": str(data_dir), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-m", "app.cli", "train"], env=environment, check=True, stdout=subprocess.DEVNULL)
