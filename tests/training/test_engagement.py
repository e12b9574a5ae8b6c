"""The segment `engagement`: learned from what events say of items shown, where they say enough."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from app.algorithms.engagement_fold_in import EngagementFoldIn
from app.algorithms.labels import EventLabels
from app.algorithms.rating_matrix import Features, RatingMatrix
from app.entities import UNKNOWN_TIME, Item, RatingScale, User
from app.scoring import PublishedScorer
from app.segments.base import SegmentRecipe
from app.segments.engagement import ENOUGH_LABELS
from app.training.errors import TrainingFailedError
from app.training.fit import fit
from app.training.recipe import Recipe, complete, default_recipe
from app.training.resolve import prepare, resolve
from tests.support.interactions import record_interactions
from tests.support.published import Shop, known_rows, opened_shop, scores_of
from tests.support.pushed import N_ITEMS, N_USERS, pushed_events, suitable_ratings, suits
from tests.support.ratings import incoming
from tests.support.snapshot_data import observed_of
from tests.support.user_states import tasteful_ratings

pytestmark = pytest.mark.slow

ASKED = Recipe(
    (
        complete("rating", "biases", {}),
        complete("engagement", "logistic", {"n_factors": 4}),
        SegmentRecipe("popularity", "popularity"),
    )
)


def without(*names: str) -> Recipe:
    """The default recipe without these segments."""
    return Recipe(tuple(segment for segment in default_recipe().segments if segment.name not in names))


UNORDERED = without("transitions")
"""For data without times, such as `labelled` makes."""


def labelled(n_positive: int, n_negative: int, *, are_ratings: bool = False) -> RatingMatrix:
    """40 x 40, with 300 ratings of 1 to 5 beside the labels, or the labels as ratings at the ends."""
    cells = np.random.default_rng(0).permutation(1600)
    rated, observed = cells[:300], cells[300 : 300 + n_positive + n_negative]
    positive = np.arange(len(observed)) < n_positive
    if are_ratings:
        return RatingMatrix(40, 40, observed // 40, observed % 40, np.where(positive, 5, 1), chosen_from=4.0)
    labels = (
        EventLabels(observed // 40, observed % 40, positive, np.zeros(len(observed)), 4.0) if len(observed) else None
    )
    return RatingMatrix(40, 40, rated // 40, rated % 40, 1 + np.arange(300) % 5, labels=labels)


def names(recipe: Recipe) -> list[str]:
    return [segment.name for segment in recipe.segments]


def test_ratings_alone_say_nothing_of_it() -> None:
    assert prepare(UNORDERED, labelled(0, 0)) == (without("transitions", "engagement"), [])


@pytest.mark.parametrize("counts", [(ENOUGH_LABELS - 1, 400), (400, ENOUGH_LABELS - 1), (0, 1)])
@pytest.mark.parametrize("are_ratings", [False, True], ids=["beside", "leading"])
def test_too_few_labels_for_auto(counts: tuple[int, int], *, are_ratings: bool) -> None:
    recipe, (choice,) = prepare(UNORDERED, labelled(*counts, are_ratings=are_ratings))
    assert recipe == without("transitions", "engagement")
    positive, negative = counts
    assert choice.startswith(f"engagement left out: too few labels, {positive} positive and {negative} negative pairs")


def test_events_newer_than_the_hold_out() -> None:
    """There are some, and none that could prove themselves: that is told."""
    ratings = labelled(300, 300)
    assert ratings.labels is not None
    cut = ratings.with_labels(ratings.labels.subset(np.zeros(600, np.bool_)))
    recipe, (choice,) = prepare(UNORDERED, cut)
    assert recipe == without("transitions", "engagement")
    assert "0 positive and 0 negative pairs before the hold-out" in choice


@pytest.mark.parametrize("are_ratings", [False, True], ids=["beside", "leading"])
def test_enough_labels_for_auto(*, are_ratings: bool) -> None:
    ratings = labelled(ENOUGH_LABELS, ENOUGH_LABELS, are_ratings=are_ratings)
    recipe, choices = prepare(UNORDERED, ratings)
    assert names(recipe) == ["rating", "taste", "engagement", "item_item", "popularity"]
    assert recipe.segments[2] == complete("engagement", "logistic", {})
    assert choices == []


def test_asked_for() -> None:
    assert prepare(ASKED, labelled(1, 0)) == (ASKED, [])
    recipe, (choice,) = prepare(ASKED, labelled(0, 0))
    assert names(recipe) == ["rating", "popularity"]
    assert "0 positive" in choice


@pytest.mark.parametrize("recipe", [ASKED, default_recipe()], ids=["asked", "auto"])
def test_left_out_where_nothing_is_measured(recipe: Recipe) -> None:
    settled = resolve(recipe, RatingMatrix(2, 2, [0, 1], [0, 1], [5, 4]), RatingScale(), np.random.default_rng(0))
    assert "engagement" not in names(settled.recipe)
    assert "too few ratings to compare anything" in settled.choices


def test_nothing_to_learn_it_from() -> None:
    with pytest.raises(TrainingFailedError, match="logistic: there are no events"):
        fit(ASKED, labelled(0, 0), np.random.default_rng(0))


@pytest.mark.parametrize("are_ratings", [False, True], ids=["beside", "leading"])
def test_parts_are_log_odds(*, are_ratings: bool) -> None:
    """[x_i | b_i] and [p_u | 1], the user part folded in from ratings at the threshold and from labels."""
    ratings = labelled(300, 300, are_ratings=are_ratings)
    _, engagement, _ = fit(ASKED, ratings, np.random.default_rng(0)).dense
    assert (engagement.item_part.shape, engagement.user_part.shape) == ((40, 5), (40, 5))
    assert engagement.item_part.dtype == engagement.user_part.dtype == np.float32
    np.testing.assert_array_equal(engagement.unrated_item, 0)
    fold, labels = EngagementFoldIn.from_state(engagement.fold.numbers), ratings.as_labels(4.0)
    assert fold.liked_from == 4.0
    for user in range(40):
        own = labels.user_rows == user
        values = np.where(labels.values[own] > 0, np.inf, -np.inf)
        folded = fold.part(engagement.item_part[labels.item_rows[own]], values)
        np.testing.assert_allclose(folded, engagement.user_part[user], atol=1e-4)


def test_own_threshold() -> None:
    recipe = Recipe((ASKED.segments[0], complete("engagement", "logistic", {"threshold": 2.0}), ASKED.segments[2]))
    _, engagement, _ = fit(recipe, labelled(200, 200), np.random.default_rng(0)).dense
    assert engagement.fold.numbers["liked_from"] == 2.0


def test_features_place_what_nobody_met() -> None:
    """Even users are engaged by even items; the last four of both are new, items 30 to 35 were only ever declined."""
    rng = np.random.default_rng(0)
    suited = (np.arange(60)[:, None] + np.arange(40)) % 2 == 0
    is_met = rng.random(suited.shape) < 0.5
    is_met[-4:] = is_met[:, -4:] = False
    users, items = np.nonzero(is_met)
    positive = suited[users, items] & ~np.isin(items, range(30, 36))
    labels = EventLabels(users, items, positive, np.zeros(len(users)), 4.0)
    parity = (sparse.csr_array(np.eye(2, dtype=np.float32)[np.arange(n) % 2]) for n in (40, 60))
    ratings = RatingMatrix(60, 40, [0, 1], [36, 37], [5, 5], labels=labels).with_features(Features(*parity))
    _, engagement, _ = fit(ASKED, ratings, np.random.default_rng(0)).dense
    scores = engagement.user_part @ engagement.item_part.T
    for user in (0, 1, 56, 57):
        assert scores[user, 38 + user % 2] > scores[user, 39 - user % 2]
        assert scores[user, 30 + user % 2] < scores[user, 38 + user % 2]
    np.testing.assert_allclose(engagement.user_part[:, -1], 1, atol=1e-5)


def files_of(shop: Shop) -> dict[str, bytes]:
    """The arrays of the newest snapshot."""
    folder = max((shop.trainer.publisher.data_dir / "snapshots").iterdir())
    return {path.name: path.read_bytes() for path in folder.glob("*.npy")}


def test_without_events_nothing_changes(tmp_path: Path) -> None:
    """Not a bit, whether or not there is such a segment."""
    with opened_shop(tmp_path, tasteful_ratings(60, 40, 15)) as shop:
        plain, plain_files = shop.train(without("engagement").document), files_of(shop)
        default = shop.train()
        assert files_of(shop) == plain_files
    assert default.manifest.segments == plain.manifest.segments
    assert default.manifest.choices == plain.manifest.choices
    assert default.manifest.recipe == plain.manifest.recipe


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PublishedScorer]:
    """What is learned from suitable ratings and pushed events, with the segment and without."""
    items, users = [Item(f"i{item}") for item in range(N_ITEMS)], [User(f"u{user}") for user in range(N_USERS)]
    ratings = incoming(*suitable_ratings(12))
    with opened_shop(tmp_path_factory.mktemp("pushed"), ratings, items=items, users=users) as shop:
        record_interactions(shop.store, pushed_events())
        # Nothing here comes in an order, and beside tables chance would decide between taste and engagement.
        tables = ("item_item", "transitions")
        return {
            "without": shop.train(without("engagement", *tables).document),
            "with": shop.train(without(*tables).document),
        }


def ndcg(snapshot: PublishedScorer) -> float:
    return snapshot.manifest.metrics["snapshot"]["ndcg@10"] or 0.0


def test_learns_from_what_is_declined(pushed: dict[str, PublishedScorer]) -> None:
    """To the taste, what is pushed and clicked now and then is what people choose; the held-out ratings know better."""
    snapshot, without = pushed["with"], pushed["without"]
    segment = snapshot.manifest.segment("engagement")
    assert segment is not None
    assert segment.weight > 0
    assert ndcg(snapshot) > 1.1 * ndcg(without)
    assert any(
        choice.startswith(f"engagement by logistic: weight {segment.weight:.3g}, ")
        for choice in snapshot.manifest.choices
    )
    assert share_suiting(snapshot) > share_suiting(without) + 0.1


def share_suiting(snapshot: PublishedScorer) -> float:
    """Of the ten best items of each user among those they have not met."""
    is_suitable, hits = suits(), []
    for user in range(N_USERS):
        scores = scores_of(snapshot, user)
        scores[known_rows(snapshot, user)] = -np.inf
        hits.append(is_suitable[user, np.argsort(-scores)[:10]].mean())
    return float(np.mean(hits))


def test_published_user_side_is_fold_in(pushed: dict[str, PublishedScorer]) -> None:
    snapshot = pushed["with"]
    for user in range(N_USERS):
        folded = snapshot.fold_in(observed_of(snapshot.arrays, user))
        np.testing.assert_allclose(folded.vector, snapshot.user_vectors[user], atol=1e-4)


def test_next_event_is_folded_in(pushed: dict[str, PublishedScorer]) -> None:
    """A declined item pulls down its like, an engaged one pulls them up."""
    snapshot, user = pushed["with"], 0
    observed = observed_of(snapshot.arrays, user)
    new = np.setdiff1d(np.flatnonzero(suits()[user]), known_rows(snapshot, user))[:1]

    def score(**changed: Any) -> float:
        side = snapshot.fold_in(observed._replace(**changed))
        return float(snapshot.shares(side, new, snapshot.item_vectors[new])["engagement"][0])

    assert observed.positive_at is not None
    liked = score(
        positive_rows=np.append(observed.positive_rows, new), positive_at=np.append(observed.positive_at, UNKNOWN_TIME)
    )
    assert liked > score() > score(negative_rows=np.append(observed.negative_rows, new))
