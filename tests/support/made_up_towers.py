"""A snapshot with the segment `towers`, published as training would; its networks are drawn, so torch is not needed."""

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.algorithms.history_features import HistoryFeatures
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.two_tower_vectors import Tower, TowerVectors, join_features
from app.entities import Item, RatingScale, User
from app.scoring import PublishedScorer, open_snapshot, write_snapshot
from app.scoring.features import describe
from app.scoring.groups import Group, Memberships, PopularInGroups
from app.segments.base import SegmentRecipe
from app.snapshots.arrays import SnapshotArrays
from app.training.dataset import Dataset, to_labels, to_rows
from app.training.fit import Learned, fit
from app.training.publisher import assemble
from app.training.recipe import Recipe, complete
from app.training.sides import Sides, join
from tests.support.snapshot_data import DATABASE_ID, manifest_of
from tests.support.training_data import training_data
from tests.support.user_states import tasteful_ratings

RECIPE = Recipe(
    (complete("rating", "biases", {}), complete("towers", "two_tower", {}), SegmentRecipe("popularity", "popularity"))
)
WEIGHTS = {"rating": 0.1, "towers": 1.0, "popularity": 0.3}

ITEMS = [
    *(Item(f"item-{n}", categories=("even" if n % 2 == 0 else "odd",), year=1950 + n) for n in range(20)),
    Item("new", categories=("odd",), year=1960),
    Item("bare"),
]
USERS = [*(User(f"user-{n}", country=("FI", "SE", None)[n % 3]) for n in range(15)), User("new", "FI"), User("bare")]


def drawn(_learner: Any, ratings: RatingMatrix, rng: np.random.Generator, _tell: Any) -> TowerVectors:
    """In place of `TwoTower.fit`: vectors of length 4."""
    features: Any = ratings.features
    history = HistoryFeatures.from_ratings(ratings, features.items)
    users, items = (
        join_features(features.users, history.users(ratings)),
        join_features(features.items, history.items(ratings)),
    )
    of_users, of_items = (_draw((each.shape[1], 6, 3, 4), rng) for each in (users, items))
    return TowerVectors(of_users, of_items, of_users.embed(users), of_items.embed(items), history, 3.0, 2.0)


def _draw(widths: tuple[int, ...], rng: np.random.Generator) -> Tower:
    weights = [rng.standard_normal(shape).astype(np.float32) for shape in itertools.pairwise(widths)]
    return Tower(tuple(weights), tuple(rng.standard_normal(width).astype(np.float32) for width in widths[1:]))


@dataclass(frozen=True)
class Published:
    """Of the last two of `ITEMS` and `USERS`, without ratings, the first is described, the second bare."""

    learned: Learned
    sides: Sides
    dataset: Dataset
    groups: tuple[Group, ...]
    arrays: SnapshotArrays

    @classmethod
    def make(cls) -> "Published":
        data = training_data(tasteful_ratings(n_users=15, n_items=20, n_each=10), n_unrated=2)
        versions = np.append(data.user_versions, [0, 0])
        data = replace(
            data, user_keys=np.arange(1, 18), user_versions=versions, user_profile_versions=np.zeros_like(versions)
        )
        features, encodings = describe(ITEMS, USERS)
        rated = to_rows(data)
        dataset = Dataset(
            data,
            rated,
            rated.with_features(features),
            RatingScale(),
            encodings,
            to_labels(data, rated, 4.0),
            Memberships(),
            encodings.content.encode(ITEMS),
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("app.algorithms.two_tower.TwoTower.fit", drawn)
            learned = fit(RECIPE, dataset.ratings, np.random.default_rng(0))
        sides = join(learned, WEIGHTS)
        popular = PopularInGroups.from_memberships(Memberships.from_users(USERS, ["country"]), dataset.ratings)
        return cls(learned, sides, dataset, popular.groups, assemble(learned, sides, dataset, popular))

    def open(self, folder: Path, **arrays: Any) -> PublishedScorer:
        """Written and read; `arrays`: of the towers, in place of its own, None to leave one out."""
        changed = dict(self.arrays.extra) | {f"towers.{name}": array for name, array in arrays.items()}
        extra = {name: array for name, array in changed.items() if array is not None}
        written = replace(self.arrays, extra=extra)
        manifest = manifest_of(written, segments=self.sides.segments)
        written_to = write_snapshot(folder, manifest, written, self.dataset.encodings, self.groups)
        return open_snapshot(written_to, DATABASE_ID, 1)
