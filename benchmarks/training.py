"""From ratings in the database to a live snapshot: how long it takes, and how good the lists are."""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from app.entities import IncomingRatings
from app.intake.importing import import_path
from app.snapshots import ActiveSnapshot, Refresh
from app.store import Store, migrate
from app.training.publisher import Publisher
from app.training.run import Trainer
from benchmarks.table import Row

N_USERS, N_ITEMS, N_EACH = 10_000, 5_000, 100
CHUNK = 50_000
RUNS = 3
MOVIELENS = Path(__file__).parents[2] / "shared" / "data" / "ml-latest-small"


def rows() -> list[Row]:
    return [*speed(), *quality()]


def speed() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        store = fresh_store(Path(folder))
        for chunk in generated_ratings():
            store.ratings.record(chunk)
        seconds = [seconds_to_live(store, Path(folder)) for _ in range(RUNS + 1)][1:]  # the first one may compile
        sizes = sum(file.stat().st_size for file in Path(folder).glob("snapshots/*/*")) / (RUNS + 1)
        store.close()
    note = f"median of {RUNS}, {N_USERS:,} users, {N_ITEMS:,} items, a snapshot of {sizes / 1e6:.0f} MB"
    return [Row("1,000,000 ratings in SQLite to live snapshot", "<= 10 s", f"{statistics.median(seconds):.1f} s", note)]


def quality() -> list[Row]:
    what = "default lists, ml-latest-small, nDCG@10"
    if not MOVIELENS.is_dir():
        return [Row(what, "above bestsellers", "not measured", f"needs {MOVIELENS.name} in ../shared/data")]
    with tempfile.TemporaryDirectory() as folder:
        store = fresh_store(Path(folder))
        import_path(MOVIELENS, store, rejected_dir=Path(folder))
        train(store, Path(folder))
        live = store.snapshots.live()
        store.close()
    if live is None:
        return [Row(what, "above bestsellers", "nothing published", "")]
    snapshot, bestsellers = live.card["metrics"]["snapshot"], live.card["metrics"]["bestsellers"]
    weight = live.card["segments"][0]["weight"]
    note = live.card["reason"] or f"weight of the rating segment {weight:g}; RMSE {snapshot['rmse']:.3f}"
    return [Row(what, f"> {bestsellers['ndcg@10']:.4f} (bestsellers)", f"{snapshot['ndcg@10']:.4f}", note)]


def fresh_store(data_dir: Path) -> Store:
    migrate("", data_dir)
    return Store.open("", data_dir)


def seconds_to_live(store: Store, data_dir: Path) -> float:
    """Training, from the claim to the moment at which an API process has swapped to the new snapshot."""
    active = ActiveSnapshot(store.installation.database_id)
    start = time.perf_counter()
    train(store, data_dir)
    live = store.snapshots.live()
    if live is None or active.refresh(live.version, data_dir / live.path) is not Refresh.SWAPPED:
        raise RuntimeError(f"not served: {active.problem}")
    return time.perf_counter() - start


def train(store: Store, data_dir: Path) -> int:
    store.jobs.enqueue("benchmark")
    claim = store.jobs.claim("benchmark", lease_seconds=600)
    if claim is None:
        raise RuntimeError("somebody else works in this database")
    return Trainer(store, Publisher(store, data_dir)).run(claim)


def generated_ratings() -> list[IncomingRatings]:
    """1,000,000 ratings 1-5, `N_EACH` of every user, chosen by fame and an eight-dimensional taste."""
    rng = np.random.default_rng(0)
    item_tastes = rng.standard_normal((N_ITEMS, 8)) / np.sqrt(8)
    fame = -np.log(np.arange(N_ITEMS) + 10.0)
    chunks = []
    for start in range(0, N_USERS, CHUNK // N_EACH):
        user_tastes = rng.standard_normal((CHUNK // N_EACH, 8))
        liking = user_tastes @ item_tastes.T
        odds = fame + 0.7 * liking + rng.gumbel(size=liking.shape)
        items = np.argpartition(-odds, N_EACH, axis=1)[:, :N_EACH]
        values = 3.5 + 0.7 * np.take_along_axis(liking, items, axis=1) + 0.8 * rng.standard_normal(items.shape)
        users = np.repeat(np.arange(start, start + len(items)), N_EACH)
        chunks.append(
            IncomingRatings(
                [f"u{user}" for user in users],
                [f"i{item}" for item in items.ravel()],
                np.clip(np.rint(values), 1, 5).ravel(),
                rng.integers(0, 10**15, len(users)),
            )
        )
    return chunks
