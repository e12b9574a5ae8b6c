"""A segment that diverges is left out of the recipe, with a sentence; a required one ends the run."""

import numpy as np
import pytest

from app.algorithms.errors import FitDivergedError
from app.algorithms.labels import EventLabels
from app.algorithms.rating_matrix import RatingMatrix
from app.entities import RatingScale
from app.segments.rating import RatingSegment
from app.segments.taste import TasteSegment
from app.training.errors import TrainingFailedError
from app.training.fit import fit
from app.training.recipe import Recipe, complete
from app.training.resolve import resolve, unread_events

RECIPE = Recipe((complete("rating", "biases", {}), complete("taste", "auto", {})))
LEFT_OUT = "taste left out: als_implicit: too steep"


def ratings() -> RatingMatrix:
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((40, 30)) < 0.4)
    return RatingMatrix(40, 30, users, items, rng.integers(1, 6, len(users)))


def diverging(*_: object) -> None:
    raise FitDivergedError("too steep")


def test_optional_segment_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TasteSegment, "_fit", diverging)
    resolved = resolve(RECIPE, ratings(), RatingScale(1, 5), np.random.default_rng(0))
    assert [segment.name for segment in resolved.recipe.segments] == ["rating"]
    assert LEFT_OUT in resolved.choices


def test_left_out_of_the_last_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was learned from a part of the ratings may still diverge on all of them."""
    monkeypatch.setattr(TasteSegment, "_fit", diverging)
    recipe = Recipe((RECIPE.segments[0], complete("taste", "als_implicit", {})))
    learned = fit(recipe, ratings(), np.random.default_rng(0))
    assert [segment.recipe.name for segment in learned.segments] == ["rating"]
    assert learned.remarks == (LEFT_OUT,)


def test_required_segment_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RatingSegment, "_fit", diverging)
    with pytest.raises(TrainingFailedError, match="biases: too steep"):
        resolve(RECIPE, ratings(), RatingScale(1, 5), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("names", "is_positive", "is_said"),
    [
        (["rating", "popularity"], True, True),
        (["rating", "popularity"], False, False),
        (["taste", "popularity"], True, False),
        (["transitions", "popularity"], True, False),
        (["engagement", "popularity"], True, False),
    ],
)
def test_unread_events_are_said(names: list[str], is_positive: bool, is_said: bool) -> None:
    labelled = ratings().with_labels(EventLabels([0], [29], [is_positive], [0], 4.0))
    assert (unread_events(names, labelled) is not None) is is_said
    assert unread_events(names, ratings()) is None
