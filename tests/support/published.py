"""Snapshots really learned and published, on SQLite, from ratings that a test makes."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from app.entities import IncomingRatings, Item, RatingScale, User
from app.errors import ReckonError
from app.scoring import PublishedScorer, open_snapshot
from app.snapshots.folders import SnapshotFolders
from app.store import SnapshotEntry, Store, migrate
from app.training.publisher import Publisher
from app.training.run import Trainer
from tests.support.snapshot_data import observed_of


@dataclass(frozen=True)
class Shop:
    """A store of its own, and a trainer on it."""

    trainer: Trainer

    @property
    def store(self) -> Store:
        return self.trainer.store

    def train(self, recipe: dict[str, Any] | None = None, seed: int = 0, *, accept: bool = False) -> PublishedScorer:
        """The snapshot published; raises what the run raises."""
        self.store.jobs.enqueue("request", recipe=recipe, seed=seed, accept=accept)
        claim = self.store.jobs.claim("a-worker", lease_seconds=60)
        assert claim is not None
        try:
            return self.opened(self.store.snapshots.get(self.trainer.run(claim)))
        except ReckonError as error:
            self.store.jobs.finish(claim, state="failed", reason=error.detail)
            raise

    def live(self) -> PublishedScorer:
        entry = self.store.snapshots.live()
        assert entry is not None
        return self.opened(entry)

    def opened(self, entry: SnapshotEntry) -> PublishedScorer:
        folder = self.trainer.publisher.data_dir / entry.path
        return open_snapshot(folder, self.store.instance.database_id, entry.version)


@contextmanager
def opened_shop(
    folder: Path,
    ratings: IncomingRatings,
    scale: RatingScale | None = None,
    items: Sequence[Item] = (),
    users: Sequence[User] = (),
) -> Iterator[Shop]:
    migrate("", folder)
    with closing(Store.open("", folder)) as store:
        store.instance.set_scale(scale or RatingScale())
        store.items.record(items)
        store.users.record(users)
        store.ratings.record(ratings)
        yield Shop(Trainer(store, Publisher(store, SnapshotFolders(folder))))


def scores_of(snapshot: PublishedScorer, user_row: int) -> NDArray[np.float32]:
    """(n_items,) the scores of one user as published."""
    return snapshot.scores(snapshot.user_side(user_row), np.arange(snapshot.n_items), snapshot.item_vectors)


def known_rows(snapshot: PublishedScorer, user_row: int) -> NDArray[np.int64]:
    """The items that the user rated, or that have a label."""
    observed = observed_of(snapshot.arrays, user_row)
    return np.concatenate([observed.item_rows, observed.positive_rows, observed.negative_rows]).astype(np.int64)


def expire_lease(store: Store) -> None:
    """Of the job that runs, as time does."""
    with store.database.writing() as connection:
        connection.execute(
            sa.text("UPDATE training_jobs SET lease_until = 0, lease_seconds = 0 WHERE state = 'running'")
        )


def live_version(store: Store) -> int | None:
    entry = store.snapshots.live()
    return None if entry is None else entry.version
