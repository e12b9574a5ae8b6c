"""What holds for every segment: complete state, the fold-in that was published, scores that can be explained."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from app.algorithms.labels import EventLabels
from app.algorithms.rating_matrix import Features, RatingMatrix
from app.segments.base import Observations, SegmentStateError
from app.segments.dense import DenseFold, DenseSegment, LearnedDenseSegment

N_USERS, N_ITEMS, N_UNRATED = 40, 25, 3
LIKED_FROM = 4.0


def described_ratings(seed: int = 0) -> RatingMatrix:
    """Ratings with labels beside them; the last `N_UNRATED` items and users have features alone."""
    rng = np.random.default_rng(seed)
    drawn = rng.random((N_USERS, N_ITEMS))
    drawn[-N_UNRATED:], drawn[:, -N_UNRATED:] = 1.0, 1.0
    users, items = np.nonzero(drawn < 0.4)
    labelled_users, labelled_items = np.nonzero((drawn >= 0.4) & (drawn < 0.6))
    are_positive = rng.random(len(labelled_users)) < 0.5
    labels = EventLabels(labelled_users, labelled_items, are_positive, np.zeros(len(are_positive)), LIKED_FROM)
    # Every user likes the items of their own parity more, so that there is something to learn.
    values = np.clip(rng.integers(1, 5, len(users)) + ((users + items) % 2 == 0), 1, 5)
    ratings = RatingMatrix(N_USERS, N_ITEMS, users, items, values, labels=labels)
    return ratings.with_features(Features(items=_parity(N_ITEMS), users=_parity(N_USERS)))


def _parity(n_rows: int) -> sparse.csr_array:
    return sparse.csr_array(np.eye(2, dtype=np.float32)[np.arange(n_rows) % 2])


def observed_of(ratings: RatingMatrix, user: int) -> Observations:
    by_user, labels = ratings.by_user, ratings.labels
    assert labels is not None
    own = slice(by_user.indptr[user], by_user.indptr[user + 1])
    is_own = labels.user_rows == user
    met, are_positive = labels.item_rows[is_own], labels.are_positive[is_own]
    return Observations(by_user.indices[own], by_user.data[own], met[are_positive], met[~are_positive], LIKED_FROM)


class SegmentContract:
    """A subclass names the segment and how it is learned."""

    segment: DenseSegment
    algorithm: str
    hyperparameters: dict[str, Any] = {}
    carried: slice | None = None
    """The columns of a part whose products observations carry; None where they carry nothing."""
    optional_arrays: tuple[str, ...] = ()
    learns_without_features = True

    @pytest.fixture(scope="class")
    @classmethod
    def ratings(cls) -> RatingMatrix:
        return described_ratings()

    @pytest.fixture(scope="class")
    @classmethod
    def learned(cls, ratings: RatingMatrix) -> LearnedDenseSegment:
        segment = cls.segment
        recipe = segment.complete(cls.algorithm, cls.hyperparameters)
        return segment.extend(segment.fit(recipe, ratings, np.random.default_rng(0)), ratings)

    @pytest.fixture(scope="class")
    @classmethod
    def reopened(cls, learned: LearnedDenseSegment) -> DenseFold:
        """The fold as a reader of a snapshot makes it."""
        return cls.segment.open(learned.fold.numbers, dict(learned.fold.arrays))

    def folded(self, fold: DenseFold, learned: LearnedDenseSegment, ratings: RatingMatrix, user: int) -> Any:
        rows, values = fold.select(observed_of(ratings, user))
        features: Any = ratings.features
        return fold.fold_in(learned.item_part[rows], values, rows, features.users[[user]])

    def test_parts_have_shapes(self, learned: LearnedDenseSegment) -> None:
        n_columns = learned.item_part.shape[1]
        assert learned.item_part.shape == (N_ITEMS, n_columns)
        assert learned.user_part.shape == (N_USERS, n_columns)
        assert learned.unrated_item.shape == self.segment.unknown_part(n_columns).shape == (n_columns,)
        assert learned.item_part.dtype == learned.user_part.dtype == np.float32

    def test_state_survives(self, learned: LearnedDenseSegment, reopened: DenseFold, ratings: RatingMatrix) -> None:
        assert reopened.numbers == learned.fold.numbers
        for user in range(N_USERS - N_UNRATED):
            before, after = (self.folded(fold, learned, ratings, user) for fold in (learned.fold, reopened))
            np.testing.assert_array_equal(after.columns, before.columns)
            assert (after.bias, after.uncertainty) == (before.bias, before.uncertainty)

    def test_layouts_fit_arrays(self, learned: LearnedDenseSegment) -> None:
        n_columns, arrays = learned.item_part.shape[1], learned.fold.arrays
        assert {*arrays, *self.optional_arrays} == set(self.segment.layouts)
        for name, array in arrays.items():
            dtype, axes = self.segment.layouts[name]
            assert (array.dtype, array.ndim) == (dtype, len(axes))
            of_columns = [
                size for size, axis in zip(array.shape, axes, strict=True) if axis == f"n_{self.segment.name}_columns"
            ]
            assert of_columns == [n_columns] * len(of_columns)

    def test_published_side_is_fold_in(
        self, learned: LearnedDenseSegment, reopened: DenseFold, ratings: RatingMatrix
    ) -> None:
        for user in range(N_USERS - N_UNRATED):
            part = self.folded(reopened, learned, ratings, user)
            np.testing.assert_allclose(part.columns, learned.user_part[user], atol=1e-4)

    def test_influences_sum(self, learned: LearnedDenseSegment, reopened: DenseFold, ratings: RatingMatrix) -> None:
        for user in (0, 7, 20):
            rows, values = reopened.select(observed_of(ratings, user))
            columns = learned.item_part[rows]
            influences = reopened.influences(columns, values, learned.item_part)
            if self.carried is None:
                assert influences is None
                continue
            assert influences is not None
            assert influences.shape == (N_ITEMS, len(rows))
            part = self.folded(reopened, learned, ratings, user).columns
            expected = learned.item_part[:, self.carried] @ part[self.carried]
            np.testing.assert_allclose(influences.sum(axis=1), expected, atol=1e-4)

    def test_missing_state_is_refused(self, learned: LearnedDenseSegment) -> None:
        numbers, arrays = learned.fold.numbers, dict(learned.fold.arrays)
        for name in {*arrays} - {*self.optional_arrays}:
            with pytest.raises(SegmentStateError, match=f"{self.segment.name} lacks .*{name}"):
                self.segment.open(numbers, _without(arrays, name))
        for name in numbers:
            with pytest.raises(SegmentStateError, match=f"{self.segment.name} lacks .*{name}"):
                self.segment.open(_without(numbers, name), arrays)

    def test_rows_without_anything_keep_their_part(self, ratings: RatingMatrix) -> None:
        """Without features there is no map, and what was not learned is what `fit` made of it."""
        if not self.learns_without_features:
            return
        plain = ratings.with_features(None)
        recipe = self.segment.complete(self.algorithm, self.hyperparameters)
        learned = self.segment.fit(recipe, plain, np.random.default_rng(0))
        assert self.segment.extend(learned, plain) == replace(learned)
        np.testing.assert_array_equal(learned.item_part[-1], learned.unrated_item)


def _without(named: dict[str, Any], name: str) -> dict[str, Any]:
    return {other: each for other, each in named.items() if other != name}
