"""What few ratings may bring: dislikes bring nothing, and an obscure kind nothing that is known from one rating.

On made-up camps; `test_films.py` holds the same on real films.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from app.entities import IncomingRatings, Item
from app.settings import Settings
from app.training.publisher import Publisher
from app.training.run import Trainer
from app.wiring import Service
from tests.support.exploring import home
from tests.support.published import opened_shop
from tests.support.ratings import incoming
from tests.support.requests import recommended, shown_to_guest
from tests.support.snapshot_data import observed_of

N_USERS, N_EACH = 90, 30
FROM_LIKES = {"similar", "category", "item_item", "transitions"}
"""Sources that start from what the user liked."""


def camps(seed: int = 0) -> IncomingRatings:
    """Users of two camps, each of whom rates 12 items of the own camp 4 or 5 and 4 of the other 1 or 2; the first
    items of each camp are the best known.
    """
    rng = np.random.default_rng(seed)
    fame = 1 / np.arange(5, 5 + N_EACH)
    rows: list[tuple[str, str, float, int]] = []
    for user in range(N_USERS):
        for camp, n, values in ((user % 2, 12, (4, 5)), (1 - user % 2, 4, (1, 2))):
            items = rng.choice(N_EACH, n, replace=False, p=fame / fame.sum()).tolist()
            rated = zip(items, rng.choice(values, n).tolist(), rng.integers(10**9, size=n).tolist(), strict=True)
            rows += [(f"user-{user}", f"{'ab'[camp]}{item}", float(value), at) for item, value, at in rated]
    return incoming(*rows)


@contextmanager
def serving(folder: Path, ratings: IncomingRatings, items: Sequence[Item], **asked: object) -> Iterator[Service]:
    """A service on a snapshot that was learned from these; `asked`: a scale and a recipe."""
    recipe = asked.pop("recipe", None)
    with opened_shop(folder, ratings, items=items, **asked) as shop:  # type: ignore[arg-type]
        assert shop.train(recipe).manifest.reason is None  # type: ignore[arg-type]
        service = Service.build(Settings(database_url="", data_dir=folder))
        yield service
        service.store.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    items = [Item(f"{camp}{n}", categories=(camp,)) for camp in "ab" for n in range(N_EACH)]
    with serving(tmp_path_factory.mktemp("camps"), camps(), items) as opened:
        yield opened


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("value", [1.0, 2.0])
@pytest.mark.parametrize("camp", ["a", "b"])
def test_only_low_ratings(service: Service, camp: str, value: float, n: int) -> None:
    shown, unknown = (shown_to_guest(service, {f"{camp}{k}": value for k in range(m)}) for m in (n, 0))
    n_shown, n_unknown = (sum(item.item_id[0] == camp for item in each) for each in (shown, unknown))
    # Of three ratings alone little is known yet.
    assert n_shown <= (4 if n >= 10 else n_unknown - 4)
    for item in shown:
        assert item.reasons is not None
        assert item.reasons.because == []
        assert not FROM_LIKES & set(item.sources)


def test_lukewarm_brings_nothing(service: Service) -> None:
    """A rating below liked is no choice, even where it is not low."""
    shown = shown_to_guest(service, {f"a{item}": 3.0 for item in range(10)})
    assert not any(FROM_LIKES & set(item.sources) for item in shown)
    assert not any(item.reasons and item.reasons.because for item in shown)


@pytest.mark.parametrize("camp", ["a", "b"])
def test_likes_beside_dislikes(service: Service, camp: str) -> None:
    """A few likes decide, and more dislikes than likes bring nothing of their kind."""
    other = "b" if camp == "a" else "a"
    given = {f"{camp}{n}": 5.0 for n in range(4)} | {f"{other}{n}": 1.0 for n in range(6)}
    shown = shown_to_guest(service, given, 10)
    assert [item.item_id[0] for item in shown] == [camp] * 10
    assert all(item.reasons and {each.rating for each in item.reasons.because} <= {5.0} for item in shown)


def test_home_starts_from_likes(service: Service) -> None:
    service.store.ratings.record(incoming(*(("low", f"a{n}", 1.0, n) for n in range(10))))
    service.store.ratings.record(incoming(("high", "b0", 5.0, 1), ("high", "a0", 1.0, 2)))
    of_low = home(service, "low").rows
    assert [row for row in of_low if row.row_id.startswith("liked:")] == []
    assert sum(item.item_id[0] == "a" for row in of_low if row.row_id == "picked" for item in row.items) == 0
    liked = [row.row_id for row in home(service, "high").rows if row.row_id.startswith("liked:")]
    assert liked == ["liked:b0"]


def test_popular_where_nothing_is_liked(service: Service) -> None:
    """However little popularity weighs beside the segments that read likes, it ranks where these say nothing."""
    scorer = service.serving.current.scorer
    likes = scorer.arrays.like_counts
    shown = shown_to_guest(service, {f"a{n}": 1.0 for n in range(10)}, 5)
    rows = [row for row, item_id in enumerate(service.serving.current.catalogue.item_ids) if item_id[0] == "b"]
    known = {service.serving.current.catalogue.item_ids[row] for row in sorted(rows, key=lambda row: -likes[row])[:12]}
    assert {item.item_id for item in shown} <= known
    assert all(
        next(each.score for each in item.reasons.segments if each.segment == "popularity") > 0.1
        for item in shown
        if item.reasons
    )


def test_published_as_folded_in(service: Service) -> None:
    """Trained with users who liked nothing: their published side is the fold-in of their ratings."""
    service.store.ratings.record(incoming(*((f"grim-{n}", f"b{m}", 1.0, m) for n in range(3) for m in range(n, n + 4))))
    with_grim = Trainer(service.store, Publisher(service.store, service.serving._folders))
    service.store.jobs.enqueue("request")
    claim = service.store.jobs.claim("a-worker", lease_seconds=60)
    assert claim is not None
    with_grim.run(claim)
    service.serving.poll()
    scorer = service.serving.current.scorer
    for row in [*range(3), *range(len(scorer.arrays.user_keys) - 3, len(scorer.arrays.user_keys))]:
        published, folded = scorer.user_side(row), scorer.fold_in(observed_of(scorer.arrays, row))
        np.testing.assert_allclose(folded.vector, published.vector, atol=1e-4)
        for name, scores in published.tables.items():
            np.testing.assert_allclose(folded.tables[name], scores, atol=1e-4)


def test_stored_as_guest(service: Service) -> None:
    """A user whose ratings are low gets the list of a guest with the same ratings."""
    given = {f"b{n}": 1.0 + n % 2 for n in range(6)}
    service.store.ratings.record(incoming(*(("low-too", item, value, 9) for item, value in given.items())))
    stored = recommended(service, "low-too", limit=20)
    assert stored.strategy == "fold_in"
    assert [item.item_id for item in stored.items] == [item.item_id for item in shown_to_guest(service, given)]
