"""What an item proposes, and how `auto` finds the settings of a table."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from app.algorithms.errors import FitDivergedError
from app.algorithms.progress import ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.entities import RatingScale
from app.segments import sparse, table_search
from app.segments.item_item import ItemItemSegment
from app.segments.sparse import LearnedSparseSegment, SparseFold
from app.training.validation_split import ValidationSplit
from tests.segments.sparse_contract import timed_ratings


def test_item_does_not_propose_itself() -> None:
    table = csr_array(np.array([[0.9, 0.2, 0.5], [0.0, 0.0, -0.1], [0.3, 0.0, 0.4]], np.float32))
    fold = SparseFold.from_table(table, 0.9, 0.0)
    assert [fold.strongest(item)[0].tolist() for item in range(3)] == [[2, 1], [], [0]]


def choose(ratings: RatingMatrix, sample: RatingMatrix | None = None) -> tuple[LearnedSparseSegment, str]:
    sample = replace(sample or ratings, labels=None)
    split = ValidationSplit(sample, sample, RatingScale(), np.arange(sample.n_users))
    return ItemItemSegment().choose(split, ratings, np.random.default_rng(0), ignore)


def spy(monkeypatch: pytest.MonkeyPatch, diverging: str | None = None) -> list[str]:
    """The algorithms that are fitted from now on; the one that is `diverging` fails."""
    fitted, fit = [], ItemItemSegment._fit

    def spied(self: ItemItemSegment, recipe: Any, *others: Any) -> Any:
        fitted.append(recipe.algorithm)
        if recipe.algorithm == diverging:
            raise FitDivergedError("too steep")
        return fit(self, recipe, *others)

    monkeypatch.setattr(ItemItemSegment, "_fit", spied)
    return fitted


def test_diverging_table_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = spy(monkeypatch, diverging="ease")
    learned, choice = choose(timed_ratings())
    assert fitted[-1] == "ease"
    assert learned.recipe.algorithm == "slim"
    assert choice.endswith("; dropped, ease: too steep")


def test_size_is_that_of_all_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few users choose few items, but the table is learned from the choices of all users in the end."""
    ratings, fitted = timed_ratings(), spy(monkeypatch)
    in_sample = ratings.user_rows < 6
    sample = replace(ratings, labels=None).subset(in_sample).select_users(np.arange(6))
    n_in_sample = int((sample.item_choice_counts >= sparse.LEAST_SUPPORT).sum())
    assert 0 < n_in_sample < int((ratings.item_choice_counts >= sparse.LEAST_SUPPORT).sum())
    monkeypatch.setattr(table_search, "CLOSED_FORM_UP_TO", n_in_sample)
    monkeypatch.setattr(sparse, "MAX_BYTES", sparse.BYTES_PER_ENTRY * 10 * n_in_sample)
    learned, choice = choose(ratings, sample)
    assert {*fitted} == {"slim"}
    assert learned.recipe.hyperparameters["n_entries"] < 10
    assert "do not fit the memory" in choice
