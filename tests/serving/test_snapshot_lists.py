"""Lists of two snapshots side by side, on snapshots really learned."""

import numpy as np
import pytest

from app.serving import snapshot_lists
from app.serving.item_map import item_places
from app.serving.snapshot_lists import compare_lists, first_items
from app.wiring import Service

on_sqlite = pytest.mark.parametrize("trained_url", ["sqlite"], indirect=True)


@on_sqlite
def test_first_items_are_the_best(service: Service) -> None:
    """The same as by the scores of all items, less what the user had met."""
    scorer = service.serving.current.scorer
    for row in (0, 7, 50):
        met = scorer.arrays.history(row)[0]
        scores = scorer.scores(scorer.user_side(row), np.arange(scorer.n_items), scorer.item_vectors)
        scores[met] = -np.inf
        best = scorer.arrays.item_keys[np.argsort(-scores, kind="stable")[:10]]
        assert first_items(scorer, int(scorer.arrays.user_keys[row])) == best.tolist()
    assert first_items(scorer, -1) == []


@on_sqlite
def test_same_snapshot_moves_nothing(service: Service) -> None:
    scorer = service.serving.current.scorer
    compared = compare_lists(scorer, scorer)
    assert (compared.n_users, compared.overlap, compared.gained, compared.lost) == (120, 1.0, [], [])
    assert len({each.user_key for each in compared.lists}) == snapshot_lists.N_SHOWN


@on_sqlite
def test_time_is_limited(service: Service) -> None:
    """One user is looked at in any case."""
    seconds = iter(range(1_000))
    scorer = service.serving.current.scorer
    assert compare_lists(scorer, scorer, seconds=3, clock=lambda: float(next(seconds))).n_users == 4
    assert compare_lists(scorer, scorer, seconds=-1, clock=lambda: float(next(seconds))).n_users == 1


@on_sqlite
def test_map_of_items(service: Service) -> None:
    """The two tastes lie apart, and the most chosen items come first; a smaller map has the first of them."""
    scorer = service.serving.current.scorer
    places = item_places(scorer)
    assert places.places.shape == (60, 2)
    assert 0 < places.explained <= 1
    assert (np.diff(places.n_chosen) <= 0).all()
    few = item_places(scorer, most=10)
    assert len(few.item_keys) == 10
    assert few.n_left_out == 50
    assert sorted(few.n_chosen) == sorted(places.n_chosen[:10])
    assert len(item_places(scorer, most=2).item_keys) == 0
