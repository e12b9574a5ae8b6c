"""What holds for every sparse segment: complete state, scores that a fold-in repeats, and that can be explained."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.algorithms.errors import InvalidHyperparameterError
from app.algorithms.rating_matrix import UNKNOWN_TIME, RatingMatrix
from app.segments import sparse
from app.segments.base import Observations, SegmentStateError
from app.segments.sparse import LearnedSparseSegment, SparseFold, SparseSegment
from tests.segments.contract import LIKED_FROM, N_ITEMS, N_UNRATED, N_USERS, described_ratings

ALL_ITEMS = np.arange(N_ITEMS)


def timed_ratings() -> RatingMatrix:
    """Ratings and labels on six days, so that many times are equal; a tenth of the times of ratings is unknown."""
    rng, ratings = np.random.default_rng(1), described_ratings()
    assert ratings.labels is not None
    times = rng.integers(0, 6, len(ratings))
    times[rng.random(len(ratings)) < 0.1] = UNKNOWN_TIME
    labels = replace(ratings.labels, last_at=rng.integers(0, 6, len(ratings.labels)))
    return replace(ratings, rated_at=times, labels=labels)


def as_ratings(ratings: RatingMatrix) -> RatingMatrix:
    """The same where events lead: labels are ratings at the ends of the scale, and low ratings are no choices."""
    labels = ratings.labels
    assert labels is not None
    return replace(
        ratings,
        user_rows=np.append(ratings.user_rows, labels.user_rows),
        item_rows=np.append(ratings.item_rows, labels.item_rows),
        values=np.append(ratings.values, np.where(labels.are_positive, 5, 1)),
        rated_at=np.append(ratings.times, labels.last_at),
        labels=None,
        chosen_from=4.0,
    )


def observed_of(ratings: RatingMatrix, user: int) -> Observations:
    """As a snapshot holds them: newest first, unknown times last, equal times by row."""
    own = np.flatnonzero(ratings.user_rows == user)
    own = own[np.lexsort((ratings.item_rows[own], ~ratings.times[own]))]
    rated = Observations(
        ratings.item_rows[own], ratings.values[own], liked_from=LIKED_FROM, rated_at=ratings.times[own]
    )
    if (labels := ratings.labels) is None:
        return rated
    met = np.flatnonzero(labels.user_rows == user)
    met = met[np.lexsort((labels.item_rows[met], ~labels.last_at[met]))]
    positive, negative = met[labels.are_positive[met]], met[~labels.are_positive[met]]
    return rated._replace(
        positive_rows=labels.item_rows[positive],
        positive_at=labels.last_at[positive],
        negative_rows=labels.item_rows[negative],
    )


class SparseSegmentContract:
    """A subclass names the segment and an algorithm that it is learned by."""

    segment: SparseSegment
    algorithm: str
    hyperparameters: dict[str, Any] = {"history_decay": 0.8, "n_entries": 6}

    @pytest.fixture(scope="class", params=[False, True], ids=["beside", "leading"])
    @classmethod
    def ratings(cls, request: pytest.FixtureRequest) -> RatingMatrix:
        return as_ratings(timed_ratings()) if request.param else timed_ratings()

    @pytest.fixture(scope="class")
    @classmethod
    def learned(cls, ratings: RatingMatrix) -> LearnedSparseSegment:
        recipe = cls.segment.complete(cls.algorithm, cls.hyperparameters)
        return cls.segment.extend(cls.segment.fit(recipe, ratings, np.random.default_rng(0)), ratings)

    @pytest.fixture(scope="class")
    @classmethod
    def reopened(cls, learned: LearnedSparseSegment) -> SparseFold:
        """The fold as a reader of a snapshot makes it."""
        return cls.segment.open(learned.fold.numbers, dict(learned.fold.arrays))

    def test_scores_have_shapes(self, learned: LearnedSparseSegment) -> None:
        scores = learned.scores(np.array([3, 0]))
        assert scores.shape == (2, N_ITEMS)
        assert scores.dtype == np.float32
        assert np.abs(scores).max() > 0
        assert learned.is_finite

    def test_state_survives(self, learned: LearnedSparseSegment, reopened: SparseFold, ratings: RatingMatrix) -> None:
        assert reopened.numbers == learned.fold.numbers
        for user in range(N_USERS):
            before, after = (fold.scores(fold.history(observed_of(ratings, user))) for fold in (learned.fold, reopened))
            np.testing.assert_array_equal(after, before)

    def test_layouts_fit_arrays(self, learned: LearnedSparseSegment) -> None:
        arrays, layouts = learned.fold.arrays, self.segment.layouts
        assert {*arrays} == {*layouts}
        for name, array in arrays.items():
            dtype, axes = layouts[name]
            assert (array.dtype, array.ndim) == (dtype, len(axes))
        assert len(arrays["starts"]) == N_ITEMS + 1
        assert arrays["columns"].shape == arrays["entries"].shape
        learned.fold.check(N_ITEMS, 0, 0)

    def test_rows_are_cut(self, learned: LearnedSparseSegment) -> None:
        lengths = np.diff(learned.fold.starts)
        assert 0 < lengths.max() <= self.hyperparameters["n_entries"]
        fewer = learned.with_entries(2)
        assert np.diff(fewer.fold.starts).tolist() == np.minimum(lengths, 2).tolist()
        assert fewer.recipe.hyperparameters["n_entries"] == 2
        for row in np.flatnonzero(lengths > 2):
            sizes = np.sort(np.abs(learned.fold.table[[row]].data))
            np.testing.assert_array_equal(np.sort(np.abs(fewer.fold.table[[row]].data)), sizes[-2:])

    @pytest.mark.parametrize(
        ("given", "problem"),
        [
            ({"n_entry": 5}, "no hyperparameter 'n_entry'.* history_decay"),
            ({"n_entries": 0}, "n_entries is"),
        ],
    )
    def test_wrong_setting_is_named(self, given: dict[str, Any], problem: str) -> None:
        with pytest.raises(InvalidHyperparameterError, match=f"^{self.algorithm}: .*{problem}"):
            self.segment.complete(self.algorithm, given)

    def test_rows_are_cut_to_the_memory(self, ratings: RatingMatrix, monkeypatch: pytest.MonkeyPatch) -> None:
        """The number of entries may have been chosen on fewer items than a table is learned of in the end."""
        n_supported = int(np.count_nonzero(ratings.item_choice_counts >= sparse.LEAST_SUPPORT))
        monkeypatch.setattr(sparse, "MAX_BYTES", 2 * sparse.BYTES_PER_ENTRY * n_supported)
        recipe = self.segment.complete(self.algorithm, self.hyperparameters)
        learned = self.segment.fit(recipe, ratings, np.random.default_rng(0))
        assert np.diff(learned.fold.starts).max() == learned.recipe.hyperparameters["n_entries"] == 2
        assert "2 entries an item instead of" in str(learned.remark)

    def test_unchosen_items_are_in_no_table(self, learned: LearnedSparseSegment) -> None:
        assert learned.fold.starts[-1] == learned.fold.starts[-1 - N_UNRATED]
        assert learned.fold.columns.max() < N_ITEMS - N_UNRATED

    def test_published_scores_are_fold_in(
        self, learned: LearnedSparseSegment, reopened: SparseFold, ratings: RatingMatrix
    ) -> None:
        for user, published in enumerate(learned.scores(np.arange(N_USERS))):
            folded = reopened.scores(reopened.history(observed_of(ratings, user)))
            np.testing.assert_allclose(folded, published, atol=1e-5)

    def test_long_histories_are_cut_alike(self, ratings: RatingMatrix, monkeypatch: pytest.MonkeyPatch) -> None:
        """Within choices of one time as well."""
        monkeypatch.setattr(sparse, "MAX_CHOICES", 3)
        recipe = self.segment.complete(self.algorithm, self.hyperparameters)
        learned = self.segment.fit(recipe, ratings, np.random.default_rng(0))
        for user, published in enumerate(learned.scores(np.arange(N_USERS))):
            folded = learned.fold.scores(learned.fold.history(observed_of(ratings, user)))
            np.testing.assert_allclose(folded, published, atol=1e-5)

    def test_other_decay_keeps_table(self, learned: LearnedSparseSegment, ratings: RatingMatrix) -> None:
        flat = learned.with_decay(1.0)
        assert flat.fold.entries is learned.fold.entries
        assert (flat.fold.decay, flat.recipe.hyperparameters["history_decay"]) == (1.0, 1.0)
        counted = flat.fold.history(observed_of(ratings, 0)).weights
        assert counted.tolist() == [1.0] * len(counted)
        assert np.abs(flat.scores(np.arange(N_USERS)) - learned.scores(np.arange(N_USERS))).max() > 0

    def test_influences_sum(self, reopened: SparseFold, ratings: RatingMatrix) -> None:
        for user in (0, 7, 20):
            history = reopened.history(observed_of(ratings, user))
            influences = reopened.influences(history, ALL_ITEMS)
            assert influences.shape == (N_ITEMS, len(history.item_rows))
            np.testing.assert_allclose(influences.sum(axis=1), reopened.scores(history), atol=1e-5)

    def test_nothing_chosen_scores_nothing(self, reopened: SparseFold) -> None:
        nothing = reopened.history(Observations(ALL_ITEMS[:0], np.empty(0), negative_rows=np.array([1, 2])))
        np.testing.assert_array_equal(reopened.scores(nothing), np.zeros(N_ITEMS, np.float32))
        assert reopened.influences(nothing, ALL_ITEMS).shape == (N_ITEMS, 0)

    def test_proposes_strongest_first(self, reopened: SparseFold) -> None:
        for row in range(N_ITEMS):
            rows, entries = reopened.strongest(row)
            np.testing.assert_array_equal(reopened.table[[row]].toarray()[0, rows], entries)
            assert (np.diff(entries) <= 0).all()
            assert len(rows) == np.count_nonzero(reopened.table[[row]].data > 0)

    def test_other_catalogue_is_refused(self, reopened: SparseFold) -> None:
        for n_items in (N_ITEMS - 1, N_ITEMS + 1):
            with pytest.raises(SegmentStateError, match="rows of a table"):
                reopened.check(n_items, 0, 0)

    def test_forged_table_is_refused(self, reopened: SparseFold) -> None:
        backwards = reopened.starts.copy()
        backwards[1:3] = backwards[-1], 0
        for starts in (backwards, reopened.starts + 1, np.zeros_like(reopened.starts)):
            with pytest.raises(SegmentStateError, match="rows of a table"):
                replace(reopened, starts=starts).check(N_ITEMS, 0, 0)
        for row in (-1, N_ITEMS):
            columns = reopened.columns.copy()
            columns[0] = row
            with pytest.raises(SegmentStateError, match="rows that do not exist"):
                replace(reopened, columns=columns).check(N_ITEMS, 0, 0)

    def test_missing_state_is_refused(self, learned: LearnedSparseSegment) -> None:
        numbers, arrays = learned.fold.numbers, dict(learned.fold.arrays)
        for name in arrays:
            with pytest.raises(SegmentStateError, match=f"{self.segment.name} lacks .*{name}"):
                self.segment.open(numbers, {other: each for other, each in arrays.items() if other != name})
        for name in numbers:
            with pytest.raises(SegmentStateError, match=f"{self.segment.name} lacks .*{name}"):
                self.segment.open({other: each for other, each in numbers.items() if other != name}, arrays)
