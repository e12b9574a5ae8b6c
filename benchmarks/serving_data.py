"""What the serving benchmarks serve: users with a taste, and items that fame and taste choose."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np

from app.entities import IncomingRatings, Item, RatingScale, User
from app.store import Store, migrate

N_USERS, N_ITEMS, RATINGS_PER_USER = 10_000, 10_000, 100
CHUNK = 500
N_CATEGORIES, N_COUNTRIES = 20, 10
FIRST_DAY, DAY = 1_700_000_000_000_000, 86_400_000_000
SCALE = RatingScale(1, 5, 1)
TINY = np.float32(1e-30)
RECIPE = {
    "segments": [
        {"name": "rating", "algorithm": "funk_svd"},
        {"name": "taste", "algorithm": "als_implicit"},
        {"name": "popularity", "algorithm": "popularity"},
    ]
}
"""64 factors of each; which would be best is not the question here."""


def fill(data_dir: Path, database_url: str = "", n_users: int = N_USERS) -> None:
    """Users u1, u2, ... of 10 countries with 100 ratings each, of 10,000 items i1, i2, ... in 20 categories."""
    store = opened(data_dir, database_url)
    record_items(store, N_ITEMS)
    record_users(store, n_users)
    rng = np.random.default_rng(0)
    item_tastes = rng.standard_normal((N_ITEMS, 8), np.float32) / np.float32(np.sqrt(8))
    fame = -np.log(np.arange(N_ITEMS, dtype=np.float32) + 10)
    for start in range(0, n_users, CHUNK):
        liking = rng.standard_normal((min(CHUNK, n_users - start), 8), np.float32) @ item_tastes.T
        # The largest sums of log odds and Gumbel noise are a draw without replacement by these odds.
        odds = fame + liking - np.log(rng.standard_exponential(liking.shape, np.float32) + TINY)
        items = np.argpartition(-odds, RATINGS_PER_USER, axis=1)[:, :RATINGS_PER_USER]
        values = 3.5 + 0.7 * np.take_along_axis(liking, items, axis=1) + 0.8 * rng.standard_normal(items.shape)
        users = np.repeat(np.arange(start, start + len(items)), RATINGS_PER_USER)
        times = FIRST_DAY + rng.integers(0, 365 * DAY, len(users))
        record_ratings(store, users, items.ravel(), np.clip(np.rint(values), 1, 5).ravel(), times)
    store.close()


@contextmanager
def served_data() -> Iterator[Path]:
    """A data folder of one's own, on SQLite, with users, items, ratings and a live snapshot."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copytree(_prepared().name, Path(folder) / "data"))


@cache
def _prepared() -> tempfile.TemporaryDirectory[str]:
    """Made once a run; gone when the run ends."""
    prepared = tempfile.TemporaryDirectory()
    fill(Path(prepared.name))
    train(Path(prepared.name))
    return prepared


def opened(data_dir: Path, database_url: str = "") -> Store:
    migrate(database_url, data_dir)
    store = Store.open(database_url, data_dir)
    store.instance.set_scale(SCALE)
    return store


def record_items(store: Store, n_items: int, chunk: int = 2_000) -> None:
    for start in range(1, n_items + 1, chunk):
        numbers = range(start, min(start + chunk, n_items + 1))
        store.items.record([_item(n) for n in numbers])


def _item(n: int) -> Item:
    categories = dict.fromkeys((f"C{n % N_CATEGORIES}", f"C{n // N_CATEGORIES % N_CATEGORIES}"))
    return Item(f"i{n}", title=f"The Title Number {n}", categories=tuple(categories), year=1950 + n % 70)


def record_users(store: Store, n_users: int, chunk: int = 5_000) -> None:
    for start in range(1, n_users + 1, chunk):
        numbers = range(start, min(start + chunk, n_users + 1))
        store.users.record([User(f"u{n}", f"L{n % N_COUNTRIES}") for n in numbers])


def record_ratings(
    store: Store, users: Sequence[int] | np.ndarray, items: np.ndarray, values: np.ndarray, times: np.ndarray
) -> None:
    """`users`, `items`: numbers from 0."""
    user_ids, item_ids = [f"u{n + 1}" for n in users], [f"i{n + 1}" for n in items]
    store.ratings.record(IncomingRatings(user_ids, item_ids, values, times))


def rate_once_each(data_dir: Path, database_url: str = "", n_users: int = N_USERS) -> None:
    """One more rating by every user, so that every vector is folded in again."""
    store = Store.open(database_url, data_dir)
    rng = np.random.default_rng(1)
    for start in range(0, n_users, 5_000):
        users = np.arange(start, min(start + 5_000, n_users))
        times = np.full(len(users), FIRST_DAY + 366 * DAY)
        record_ratings(store, users, rng.integers(0, N_ITEMS, len(users)), rng.integers(1, 6, len(users)) * 1.0, times)
    store.close()


def train(data_dir: Path, database_url: str = "", seed: int = 0) -> None:
    environment = os.environ | {"RECKON_DATA_DIR": str(data_dir), "RECKON_DATABASE_URL": database_url}
    data_dir.mkdir(exist_ok=True)
    recipe = data_dir / "recipe.json"
    recipe.write_text(json.dumps(RECIPE))
    command = [sys.executable, "-m", "app.cli", "train", "--json", "--recipe", str(recipe), "--seed", str(seed)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
