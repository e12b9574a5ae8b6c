"""Answers from a really trained snapshot, on both databases."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from app.entities import Item, Patch, Rating
from app.serving.provenance import PROPOSERS
from app.settings import Settings
from app.store import Store
from app.wiring import Service
from tests.support.ratings import incoming
from tests.support.requests import ids, recommended
from tests.support.trained import N_RATED, N_UNRATED, train

NOW = 2_000_000_000_000_000


def rated_by(service: Service, user_id: str) -> set[str]:
    return {rating.item_id for _, rating in service.store.ratings.page(user_id)}


def test_everything_unrated_once(service: Service) -> None:
    answer = recommended(service)
    everything = {f"item-{n}" for n in range(N_RATED)} | {f"unrated-{n}" for n in range(N_UNRATED)}
    assert sorted(ids(answer)) == sorted(everything - rated_by(service, "user-0"))
    assert answer.strategy == "personalized"
    assert answer.snapshot_version == 1
    assert answer.next_cursor is None


def test_score_is_one_dot_product(service: Service) -> None:
    answer = recommended(service, limit=10)
    serving = service.serving.current
    assert serving.scorer is not None
    user = service.store.users.freshness("user-0")
    assert user.user_key is not None
    row = serving.scorer.user_row(user.user_key)
    assert row is not None
    side, scorer = serving.scorer.user_side(row), serving.scorer
    scores = scorer.scores(side, np.arange(scorer.n_items), scorer.item_vectors)
    rows = [int(row) for item_id in ids(answer) if (row := serving.catalogue.row_of_id(item_id)) is not None]
    np.testing.assert_allclose([item.score for item in answer.items], scores[rows], atol=1e-4)
    assert [item.score for item in answer.items] == sorted((item.score for item in answer.items), reverse=True)


def test_list_is_best_of_all(service: Service) -> None:
    """The two sources lose nothing: a short list is the beginning of the whole ranking."""
    for user in range(12):
        assert ids(recommended(service, f"user-{user}", limit=7)) == ids(recommended(service, f"user-{user}"))[:7]


def test_sources_are_named(service: Service) -> None:
    answer = recommended(service, limit=5)
    assert all("nearest" in item.sources for item in answer.items)
    assert {source for item in answer.items for source in item.sources} <= set(PROPOSERS)


def time_of(rating: Rating) -> float:
    return 0.0 if rating.rated_at is None else rating.rated_at.timestamp()


def test_unchanged_history_is_mapped_as_folded(service: Service) -> None:
    """The newest rating, taken back and given again: the same history, folded in, to 1e-3 of a score."""
    before = recommended(service, "user-3")
    user_id = "user-3"
    rating = max((rating for _, rating in service.store.ratings.page(user_id)), key=time_of)
    service.store.ratings.remove(user_id, rating.item_id, at=NOW)
    service.store.ratings.record(incoming((user_id, rating.item_id, rating.value, NOW)))
    after = recommended(service, user_id)
    assert (before.strategy, after.strategy) == ("personalized", "fold_in")
    assert ids(before) == ids(after)
    np.testing.assert_allclose([item.score for item in before.items], [item.score for item in after.items], atol=1e-3)
    np.testing.assert_allclose(
        [item.predicted_rating or 0 for item in before.items],
        [item.predicted_rating or 0 for item in after.items],
        atol=1e-3,
    )


def test_reads_own_writes(service: Service) -> None:
    first = ids(recommended(service))[0]
    service.store.ratings.record(incoming(("user-0", first, 5, NOW)))
    answer = recommended(service)
    assert answer.strategy == "fold_in"
    assert first not in ids(answer)
    service.store.ratings.remove("user-0", first, at=NOW + 1)
    assert first in ids(recommended(service))


def test_newcomer(service: Service) -> None:
    assert recommended(service, "newcomer").strategy == "popular"
    service.store.ratings.record(incoming(("newcomer", "brand-new", 5, NOW)))
    only_new = recommended(service, "newcomer")
    assert only_new.strategy == "popular"
    assert "brand-new" not in ids(only_new)
    service.store.ratings.record(incoming(("newcomer", "item-1", 5, NOW)))
    assert recommended(service, "newcomer").strategy == "fold_in"


def test_new_item_at_once(service: Service) -> None:
    service.store.items.record([Item("brand-new", title="Just added", categories=("even",))])
    answer = recommended(service)
    assert "brand-new" in ids(answer)
    assert [item.title for item in answer.items if item.item_id == "brand-new"] == ["Just added"]
    assert "brand-new" in ids(recommended(service, categories=("even",)))


def test_unavailable_item(service: Service) -> None:
    first = ids(recommended(service))[0]
    service.store.items.patch([Patch(first, {"is_available": False})])
    assert first not in ids(recommended(service))
    service.store.items.patch([Patch(first, {"is_available": True})])
    assert ids(recommended(service))[0] == first


def test_item_expires_by_itself(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = ids(recommended(service))[:2]
    service.store.items.patch(
        [
            Patch(first, {"available_until": datetime.now(UTC) + timedelta(hours=1)}),
            Patch(second, {"available_until": datetime.now(UTC) - timedelta(days=1)}),
        ],
    )
    shown = ids(recommended(service))
    assert first in shown
    assert second not in shown
    in_two_hours = time.time_ns() + 2 * 3_600 * 10**9
    monkeypatch.setattr("app.serving.request_state.time", SimpleNamespace(time_ns=lambda: in_two_hours))
    assert first not in ids(recommended(service))


def test_deleted_item(service: Service) -> None:
    first = ids(recommended(service))[0]
    service.store.items.delete(first)
    assert first not in ids(recommended(service))
    service.store.items.record([Item(first, title="Another of that name")])
    again = recommended(service)
    assert [item.title for item in again.items if item.item_id == first] == ["Another of that name"]
    service.serving.poll()


def test_deleted_user_is_unknown(service: Service) -> None:
    service.store.users.delete("user-0")
    assert recommended(service).strategy == "popular"


def test_exclude_and_category(service: Service) -> None:
    whole = ids(recommended(service))
    assert ids(recommended(service, exclude=(whole[0], "unknown"))) == whole[1:]
    even = [item_id for item_id in whole if item_id.startswith("item-") and int(item_id[5:]) % 2 == 0]
    assert ids(recommended(service, categories=("even",))) == even
    assert ids(recommended(service, categories=("no such",))) == []


def test_filters_act_before_the_cut(service: Service) -> None:
    whole = recommended(service, categories=("odd",))
    answer = recommended(service, limit=5, categories=("odd",), exclude=tuple(ids(whole)[:3]))
    assert ids(answer) == ids(whole)[3:8]


def test_user_who_rated_everything(service: Service) -> None:
    everything = [f"item-{n}" for n in range(N_RATED)] + [f"unrated-{n}" for n in range(N_UNRATED)]
    service.store.ratings.record(incoming(*[("eager", item_id, 4, NOW) for item_id in everything]))
    assert ids(recommended(service, "eager")) == []


def test_pages_neither_repeat_nor_skip(service: Service, tmp_path: Path) -> None:
    """While ratings arrive and a snapshot is swapped in, a sequence of pages shows everything once."""
    train(service.store, tmp_path, seed=1)
    service.serving.poll()
    shown: list[str] = []
    rated: set[str] = set()
    returned, page = None, 0
    while True:
        answer = recommended(service, limit=6, returned_keys=returned)
        shown += ids(answer)
        if answer.next_cursor is None:
            break
        returned = service.tokens.read_cursor("user-0", answer.next_cursor)
        rated.add(shown[-1])
        service.store.ratings.record(incoming(("user-0", shown[-1], 4, NOW + page)))
        if page == 1:
            service.store.snapshots.activate(1)
            service.serving.poll()
        page += 1
    assert len(shown) == len(set(shown))
    everything = {f"item-{n}" for n in range(N_RATED)} | {f"unrated-{n}" for n in range(N_UNRATED)}
    assert set(shown) == everything - (rated_by(service, "user-0") - rated)


def test_swap_is_followed(service: Service, tmp_path: Path) -> None:
    train(service.store, tmp_path, seed=1)
    assert recommended(service).snapshot_version == 1
    service.serving.poll()
    assert recommended(service).snapshot_version == 2
    service.store.snapshots.activate(1)
    service.serving.poll()
    assert recommended(service).snapshot_version == 1


def test_damaged_live_snapshot(service: Service, tmp_path: Path) -> None:
    """The one served before goes on being served."""
    version = train(service.store, tmp_path, seed=1)
    folder = tmp_path / service.store.snapshots.get(version).path
    (folder / "user_vectors.npy").unlink()
    service.serving.poll()
    assert recommended(service).snapshot_version == 1


def test_predictions_on_the_scale(service: Service) -> None:
    for user in ("user-0", "user-1", "newcomer"):
        assert all(1 <= (item.predicted_rating or 0) <= 5 for item in recommended(service, user).items)


def test_recommendation_id_says_what(service: Service) -> None:
    token = service.tokens.read_recommendation_id(recommended(service).recommendation_id)
    assert token.owner == service.tokens.owner("user-0")
    assert (token.snapshot_version, token.placement) == (1, "home")
    assert abs(token.at / 1e6 - time.time()) < 60


def test_more_unavailable_than_not(service: Service) -> None:
    """The short list is the ranking without what is gone."""
    whole = ids(recommended(service))
    gone = {f"item-{n}" for n in range(45)}
    service.store.items.patch([Patch(item_id, {"is_available": False}) for item_id in gone])
    assert ids(recommended(service, limit=5)) == [item_id for item_id in whole if item_id not in gone][:5]


def test_before_a_snapshot(store: Store, settings: Settings) -> None:
    """Popularity alone, whatever the user rated; equal likes by row, and items newer than the count last."""
    store.items.record([Item(f"i{n}", categories=("x",)) for n in range(6)])
    store.ratings.record(incoming(("a", "i4", 4), ("b", "i4", 4), ("a", "i2", 5), ("b", "i3", 5), ("b", "i0", 3)))
    service = Service.build(settings)
    service.store.items.record([Item("newer")])
    for user_id, consumed in (("nobody", set()), ("a", {"i4", "i2"})):
        answer = recommended(service, user_id)
        assert (answer.strategy, answer.snapshot_version) == ("popular", None)
        assert ids(answer) == [each for each in ("i4", "i2", "i3", "i0", "i1", "i5", "newer") if each not in consumed]
        n_likes = {"i4": 2, "i2": 1, "i3": 1}
        scores = [round(float(np.log1p(np.float32(n_likes.get(item_id, 0)))), 5) for item_id in ids(answer)]
        assert [item.score for item in answer.items] == scores
        assert {item.predicted_rating for item in answer.items} == {None}
        assert {item.sources[0] for item in answer.items} == {"popular"}
    reasons = recommended(service, "a", explain=True).items[0].reasons  # type: ignore[attr-defined]
    assert (reasons.segments, reasons.because) == ([], [])
    service.serving.poll()  # nothing was rated: nothing is counted anew
    assert len(service.serving.current.popular_rows) == 6
    service.store.ratings.record(incoming(("c", "newer", 5)))
    service.serving.poll()
    assert ids(recommended(service, "nobody"))[3] == "newer"
    service.store.close()


def test_limit_of_a_cursor_is_said(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cursor that can hold no further page is not the end of the list."""
    whole = recommended(service, "nobody", limit=100)
    assert (whole.next_cursor, whole.limit_reached) == (None, False)
    monkeypatch.setattr("app.serving.tokens.MAX_RETURNED", 30)
    first = recommended(service, "nobody", limit=15)
    assert first.next_cursor is not None
    assert not first.limit_reached
    returned = service.tokens.read_cursor("nobody", first.next_cursor)
    second = recommended(service, "nobody", limit=15, returned_keys=returned)
    assert (len(second.items), second.next_cursor, second.limit_reached) == (15, None, True)
