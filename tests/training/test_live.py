"""Data that changed under a live snapshot: what was learned from them goes live, and nothing worse than before does."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from app.entities import IncomingRatings, RatingScale
from app.snapshots.arrays import SnapshotArrays
from app.training import evaluate_recipe, publisher, run
from app.training.errors import SnapshotRejectedError, TrainingFailedError
from app.training.publisher import assemble
from app.training.recipe import rating_recipe
from tests.support.published import Shop, live_version, opened_shop
from tests.support.ratings import incoming
from tests.support.user_states import DAY, tasteful_ratings

QUICK = rating_recipe("funk_svd").document
NARROW = rating_recipe("funk_svd", {"n_factors": 1}).document
USELESS = rating_recipe("funk_svd", {"learning_rate": 0}).document
TASTE: dict[str, Any] = {
    "segments": [
        {"name": "rating", "algorithm": "biases"},
        {"name": "taste", "algorithm": "als_implicit"},
        {"name": "popularity", "algorithm": "popularity"},
    ]
}

N_CORE = 40

Decisions = Callable[[], list[str]]


@pytest.fixture
def decisions() -> Iterator[Decisions]:
    """The decisions logged so far."""
    with capture_logs() as entries:
        yield lambda: [entry["decision"] for entry in entries if entry["event"] == "decision"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a shop with a live snapshot by QUICK."""
    folder = tmp_path_factory.mktemp("trained")
    with opened_shop(folder, tasteful_ratings(n_users=300, n_items=80, n_each=25)) as opened:
        opened.train(QUICK)
    return folder


@pytest.fixture
def shop(trained: Path, tmp_path: Path) -> Iterator[Shop]:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    with opened_shop(tmp_path, incoming()) as opened:
        yield opened


def live_card(shop: Shop) -> dict[str, Any]:
    entry = shop.store.snapshots.live()
    assert entry is not None
    return entry.card


def core_and_rest(n_users: int = 200, n_rest: int = 160, seed: int = 0) -> IncomingRatings:
    """Four camps of users choose from ten of 40 well-known items, and anything from the many that are hardly known."""
    rng = np.random.default_rng(seed)
    odds = (np.arange(n_rest) + 5.0) ** -0.5
    users, items = [], []
    for user in range(n_users):
        core = rng.choice(np.arange(user % 4, N_CORE, 4), 8, replace=False)
        rest = N_CORE + rng.choice(n_rest, 8, replace=False, p=odds / odds.sum())
        users += [f"user-{user}"] * 16
        items += [f"item-{item}" for item in rng.permutation(np.append(core, rest))]
    values = rng.integers(4, 6, len(users)).astype(np.float64)
    return IncomingRatings(users, items, values, np.tile(np.arange(16) * DAY, n_users))


@pytest.fixture
def core_shop(tmp_path: Path) -> Iterator[Shop]:
    """The ratings of well-known items alone, with a live snapshot by TASTE."""
    ratings = core_and_rest()
    core = ratings.part([row for row, item_id in enumerate(ratings.item_id) if int(item_id[5:]) < N_CORE])
    with opened_shop(tmp_path, core) as opened:
        opened.train(TASTE)
        yield opened


def best_known(shop: Shop, n: int) -> list[str]:
    counts = Counter(shop.store.training_reads.load().ratings.item_key.tolist())
    return list(shop.store.items.ids_of([key for key, _ in counts.most_common(n)]).values())


def replace_data(shop: Shop, ratings: IncomingRatings) -> None:
    """All is deleted, and `ratings` are stored under other ids."""
    for _, item in shop.store.items.page(limit=10_000):
        shop.store.items.delete(item.item_id)
    for n in range(300):
        shop.store.users.delete(f"user-{n}")
    users, items = ([f"own-{each}" for each in column] for column in (ratings.user_id, ratings.item_id))
    shop.store.ratings.record(IncomingRatings(users, items, ratings.value, ratings.rated_at))


def test_best_known_items_then_the_rest(core_shop: Shop, decisions: Decisions) -> None:
    """Lists from 40 items are easier to get right than lists from 200, and this is no fault of the second snapshot."""
    before = live_card(core_shop)["metrics"]["snapshot"]["ndcg@10"]
    core_shop.store.ratings.record(core_and_rest())
    after = core_shop.train(TASTE).manifest
    assert (after.reason, after.accepted) == (None, None)
    assert (after.metrics["snapshot"]["ndcg@10"] or 0) < 0.6 * before
    assert any("same recipe" in decision and "20% of the items" in decision for decision in decisions())


def test_three_best_known_items_lost(shop: Shop) -> None:
    before = live_card(shop)["metrics"]["snapshot"]["ndcg@10"]
    for item_id in best_known(shop, 3):
        assert shop.store.items.delete(item_id)
    after = shop.train(QUICK).manifest
    assert after.reason is None
    # The first places of most lists are gone: by its recorded figure, the live snapshot would stay.
    assert (after.metrics["snapshot"]["ndcg@10"] or 0) < 0.9 * before


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [QUICK, TASTE], ids=["same recipe", "other recipe"])
def test_data_replaced(shop: Shop, recipe: dict[str, Any], decisions: Decisions) -> None:
    """Demo data trained and deleted, own data imported: easier to foresee or not, these are what is to be learned."""
    replace_data(shop, tasteful_ratings(n_users=150, n_items=120))
    after = shop.train(recipe).manifest
    assert after.reason is None
    assert after.counts["users"] == 150
    assert any("0% of its users, 0% of its items" in decision for decision in decisions())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "reason"),
    [(USELESS, "biases"), (rating_recipe("funk_svd", {"learning_rate": 1e6}).document, "funk_svd: ")],
    ids=["not learned", "diverged"],
)
def test_replaced_by_what_cannot_be_learned(shop: Shop, recipe: dict[str, Any], reason: str) -> None:
    """New data that do not beat bestsellers: popular items with a reason, and not lists for users who are gone."""
    replace_data(shop, tasteful_ratings(n_users=60))
    after = shop.train(recipe).manifest
    assert reason in str(after.reason)
    assert after.advice
    assert live_version(shop.store) == after.version


def test_largely_same_data_are_held_to_the_record(core_shop: Shop) -> None:
    """One rating more of most users, for an item of another camp: the data largely are the same, and lists worse."""
    strays = [(f"user-{n}", f"item-{(n + 1) % N_CORE}", 5, 100 * DAY) for n in range(150)]
    core_shop.store.ratings.record(incoming(*strays))
    with pytest.raises(SnapshotRejectedError, match="more than 10% below the live snapshot's") as error:
        core_shop.train(TASTE)
    assert error.value.advice.endswith("`POST /training-jobs` with `accept`.")
    assert live_version(core_shop.store) == 1


def test_other_recipe_on_grown_catalogue(core_shop: Shop) -> None:
    """Compared on the items that both know: a recipe that is worse there is rejected, whatever else there is."""
    core_shop.store.ratings.record(core_and_rest())
    narrow = {"name": "taste", "algorithm": "als_implicit", "hyperparameters": {"n_factors": 1}}
    with pytest.raises(SnapshotRejectedError, match="on the same training part"):
        core_shop.train({"segments": [TASTE["segments"][0], narrow, TASTE["segments"][2]]})
    assert live_version(core_shop.store) == 1


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_live_folder_is_unusable(shop: Shop, damage: str, decisions: Decisions) -> None:
    """A worse recipe goes live as well: what no process can open is not defended."""
    folder = shop.trainer.publisher.root / "000001"
    if damage == "missing":
        shutil.rmtree(folder)
    else:
        (folder / "history_rows.npy").write_bytes(b"\x93NUMPY")
    assert shop.train(NARROW).manifest.reason is None
    assert any("missing or damaged" in decision for decision in decisions())


def test_scale_decides_what_is_liked(shop: Shop, decisions: Decisions) -> None:
    shop.store.instance.set_recipe(QUICK)  # for the run that a new scale requests
    shop.store.instance.set_scale(RatingScale(1, 6))
    assert shop.train(QUICK).version == 2
    assert any("learned on 1:5" in decision for decision in decisions())


def accepting(shop: Shop, recipe: dict[str, Any]) -> int:
    shop.store.jobs.enqueue("request", recipe=recipe, accept=True)
    claim = shop.store.jobs.claim("a-worker", lease_seconds=60)
    assert claim is not None
    return shop.trainer.run(claim)


def test_accepted_against_live(shop: Shop) -> None:
    with pytest.raises(SnapshotRejectedError, match="on the same training part"):
        shop.train(NARROW)
    version = accepting(shop, NARROW)
    assert live_version(shop.store) == version
    accepted = live_card(shop)["accepted"]
    assert "on the same training part" in accepted["reason"]
    assert accepted["at"].endswith("+00:00")
    assert accepted["kinds"] == ["live"]
    # It says nothing of later ones that do not even beat the baselines.
    with pytest.raises(SnapshotRejectedError, match="biases"):
        shop.train(USELESS)
    # A comparison is over with the run that it kept back.
    assert shop.train(NARROW).manifest.accepted is None


def test_accepted_against_baselines(tmp_path: Path) -> None:
    """Nothing is live: without the word of an operator, popular items would be."""
    with opened_shop(tmp_path, tasteful_ratings(n_users=100)) as shop:
        accepting(shop, USELESS)
        card = live_card(shop)
        assert (card["reason"], card["recipe"]["segments"][0]["algorithm"]) == (None, "funk_svd")
        assert "biases" in card["accepted"]["reason"]
        assert card["accepted"]["kinds"] == ["baselines"]
        # Later runs beat the baselines as little, and are published by the same word, until one passes.
        again = shop.train(USELESS).manifest.accepted
        assert again is not None
        assert again.at == card["accepted"]["at"]
        assert shop.train(TASTE).manifest.accepted is None
        with pytest.raises(SnapshotRejectedError, match="biases"):
            shop.train(USELESS)


def test_spoilt_beside_acceptance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An acceptance, given or inherited, lets no vectors pass that were spoilt after they were measured."""

    def spoilt(*parts: Any) -> SnapshotArrays:
        arrays = assemble(*parts)
        return replace(arrays, item_vectors=np.zeros_like(arrays.item_vectors))

    with opened_shop(tmp_path, tasteful_ratings(n_users=100)) as shop:
        accepting(shop, USELESS)
        monkeypatch.setattr(publisher, "assemble", spoilt)
        for accept in (False, True):
            with pytest.raises(SnapshotRejectedError, match="have no vector"):
                shop.train(USELESS, accept=accept)
        assert live_version(shop.store) == 1


def test_nothing_to_accept(shop: Shop) -> None:
    """Of a candidate that passes, the card says so: nothing was overruled."""
    accepting(shop, QUICK)
    assert live_card(shop)["accepted"] is None


def test_accepted_unmeasured(tmp_path: Path) -> None:
    with opened_shop(tmp_path, tasteful_ratings(n_users=40, n_items=10, n_each=1)) as shop:
        accepting(shop, QUICK)
        again = shop.train(QUICK).manifest.accepted
        assert again is not None
        assert "too few ratings" in again.reason


def test_never_accepted_if_not_finite(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def infinite(*arguments: Any, **options: Any) -> evaluate_recipe.EvaluatedRecipe:
        evaluated = evaluate_recipe.evaluate_recipe(*arguments, **options)
        return replace(evaluated, report=replace(evaluated.report, is_finite=False))

    monkeypatch.setattr(run, "evaluate_recipe", infinite)
    with pytest.raises(SnapshotRejectedError, match="not finite") as error:
        accepting(shop, QUICK)
    assert "--accept" not in error.value.advice
    assert live_version(shop.store) == 1


def test_divergence_cannot_be_accepted(shop: Shop) -> None:
    with pytest.raises(TrainingFailedError):
        accepting(shop, rating_recipe("funk_svd", {"learning_rate": 1e6}).document)
