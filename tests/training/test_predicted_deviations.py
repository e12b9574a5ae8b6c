"""How far off predictions may be, from the learner to what is served."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from app.entities import UNKNOWN_TIME, IncomingRatings, Item, RatingScale
from app.scoring import PublishedScorer
from app.training.recipe import rating_recipe
from tests.support.published import opened_shop
from tests.support.snapshot_data import observed_of

N_USERS, N_ITEMS, NOISE = 150, 120, 0.5


@dataclass(frozen=True)
class Known:
    """`values`: (n_users, n_items), what every user would rate every item; `is_told`: what is stored of it."""

    snapshot: PublishedScorer
    values: NDArray[np.float64]
    is_told: NDArray[np.bool_]


@pytest.fixture(scope="module", params=["bayesian_mf", "funk_svd", "content_linear"])
def known(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(N_USERS, 2)), rng.normal(size=(2, N_ITEMS))
    values = 10 + factors[0] @ factors[1] + rng.normal(0, 0.4, N_ITEMS)
    values += rng.normal(0, NOISE, values.shape)
    is_told = rng.random(values.shape) < np.linspace(0.05, 0.8, N_USERS)[:, None]
    is_told[:, 0] = is_told[0] = False
    is_told[0, 1] = is_told[1, 0] = True  # a user and an item with one rating each
    users, items = np.nonzero(is_told)
    told = IncomingRatings(
        [f"u{user}" for user in users],
        [f"i{item}" for item in items],
        values[users, items],
        np.full(len(users), UNKNOWN_TIME),
    )
    recipe = rating_recipe(request.param).document
    described = [
        Item(f"i{item}", categories=tuple(f"{place}: {factor:.0f}" for place, factor in enumerate(factors[1][:, item])))
        for item in dict.fromkeys(items.tolist())
    ]
    with opened_shop(tmp_path_factory.mktemp("shop"), told, RatingScale(0, 20), described) as shop:
        snapshot = shop.train(recipe)
        # The rows of the snapshot follow the keys, which follow the order of arrival.
        user_order, item_order = (list(dict.fromkeys(rows.tolist())) for rows in (users, items))
        yield Known(snapshot, values[user_order][:, item_order], is_told[user_order][:, item_order])


def test_intervals_hold(known: Known) -> None:
    """Of what was not told, about 80 % lies in the middle 80 % of what is foretold."""
    is_within = []
    for user_row in range(N_USERS):
        rows = np.flatnonzero(~known.is_told[user_row])
        side = known.snapshot.user_side(user_row)
        errors = known.snapshot.predict(side, known.snapshot.item_vectors[rows]) - known.values[user_row, rows]
        is_within += (np.abs(errors) < 1.2816 * known.snapshot.uncertainties(side, rows)).tolist()
    assert 0.72 < np.mean(is_within) < 0.9


def test_folded_in_as_stored(known: Known) -> None:
    for user_row in range(N_USERS):
        folded = known.snapshot.fold_in(observed_of(known.snapshot.arrays, user_row))
        assert folded.uncertainty == pytest.approx(known.snapshot.user_side(user_row).uncertainty, rel=1e-3)


def test_ratings_make_surer(known: Known) -> None:
    """Of two who are equally true to their taste, the one of whom more is known is no less sure; so with items."""
    snapshot = known.snapshot
    assert snapshot.rating is not None
    deviations = [snapshot.rating.fold.user_uncertainty.standard_deviation(0.45, m) for m in (1, 2, 5, 20, 100, 1000)]
    assert deviations == sorted(deviations, reverse=True)
    few, many = np.array_split(np.argsort(snapshot.arrays.item_counts), 2)
    assert snapshot.arrays.item_uncertainties[few].mean() > snapshot.arrays.item_uncertainties[many].mean()
    assert snapshot.unknown_side.uncertainty > snapshot.arrays.user_uncertainties.mean()


def test_best_known_are_surer_than_new(known: Known) -> None:
    snapshot = known.snapshot
    user_row, item_row = int(known.is_told.sum(axis=1).argmax()), int(snapshot.arrays.item_counts.argmax())
    best_known = snapshot.uncertainties(snapshot.user_side(user_row), np.array([item_row]))[0]
    assert best_known < snapshot.uncertainties(snapshot.unknown_side, np.array([item_row]))[0]
    assert best_known < snapshot.uncertainties(snapshot.user_side(user_row), np.array([snapshot.n_items]))[0]


def test_newer_items_are_least_sure(known: Known) -> None:
    snapshot = known.snapshot
    side, rows = snapshot.user_side(3), np.arange(snapshot.n_items)
    of_newer = snapshot.uncertainties(side, np.append(rows, snapshot.n_items))
    assert of_newer.dtype == np.float32
    np.testing.assert_array_equal(of_newer[:-1], snapshot.uncertainties(side, rows))
    assert of_newer[-1] > of_newer[:-1].mean()
