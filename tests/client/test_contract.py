"""Both kinds of clients on the real service: ratings, items, users, errors."""

import math
import pickle
from datetime import UTC, datetime, timedelta

import pytest

from app.client import InvalidInputError, NotFoundError, Rating, Reckon
from app.client.errors import ProblemError

HOUR = timedelta(hours=1)


def fill(reckon: Reckon) -> None:
    """a, b and c, rated by one, two and three users."""
    for n, item_id in enumerate("abc"):
        reckon.put_item(item_id, title=item_id.upper(), categories=["Even" if n % 2 else "Odd"])
    rows = [Rating(f"u{user}", item_id, 4) for n, item_id in enumerate("abc") for user in range(n + 1)]
    assert reckon.rate_many(rows).stored == 6


def test_rating_is_an_upsert(reckon: Reckon) -> None:
    first = reckon.rate("ann", "x", 4)
    assert reckon.rate("ann", "x", 4) == first
    assert reckon.rate("ann", "x", 2).value == 2
    assert reckon.rate("ann", "x", 5, datetime.now(UTC) - HOUR).value == 2
    assert [(each.item_id, each.value) for each in reckon.ratings("ann").ratings] == [("x", 2)]


def test_deleted_rating(reckon: Reckon) -> None:
    earlier = datetime.now(UTC) - HOUR
    reckon.rate("ann", "x", 4, earlier)
    for _ in range(2):
        reckon.delete_rating("ann", "x")
    assert reckon.rate("ann", "x", 4, earlier).value is None
    assert reckon.ratings("ann").ratings == ()
    assert reckon.rate("ann", "x", 3).value == 3


def test_times_are_exact(reckon: Reckon) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    assert reckon.rate("ann", "x", 4, moment).rated_at == moment
    until = reckon.put_item("x", available_until=moment).available_until
    assert until == reckon.item("x").available_until == moment


@pytest.mark.parametrize("value", [0, 6, -1e300, math.nan, math.inf])
def test_bad_value(reckon: Reckon, value: float) -> None:
    with pytest.raises(InvalidInputError) as caught:
        reckon.rate("ann", "x", value)
    assert (caught.value.status, caught.value.field) == (422, "body.value")
    assert caught.value.type == "urn:reckon:problem:invalid-input"
    assert caught.value.request_id


def test_rating_of_tomorrow(reckon: Reckon) -> None:
    with pytest.raises(InvalidInputError, match="ahead"):
        reckon.rate("ann", "x", 4, datetime.now(UTC) + HOUR)


def test_rows_rejected(reckon: Reckon) -> None:
    """By their index in the whole, over the borders of batches; the good ones are stored."""
    rows = [Rating("ann", f"i{n}", 9 if n in {3, 999, 1_000, 2_100} else 4) for n in range(2_150)]
    sent = reckon.rate_many(iter(rows))
    assert (sent.stored, sent.replaced, sent.unchanged) == (2_146, 0, 0)
    assert [rejected.index for rejected in sent.rejected] == [3, 999, 1_000, 2_100]
    assert all(rejected.row == rows[rejected.index] for rejected in sent.rejected)
    assert "not on the rating scale" in sent.rejected[0].problem
    assert reckon.rate_many(rows[:3]).unchanged == 3
    assert sum(1 for _ in reckon.iter_ratings("ann")) == 2_146


def test_nothing_to_send(reckon: Reckon) -> None:
    assert reckon.rate_many([]).stored == 0


def test_item_round_trip(reckon: Reckon) -> None:
    made = reckon.put_item(
        "Łódź %/?#".replace("/", ""),
        title="A title",
        categories=["Drama", "Film, noir"],
        year=1905,
        attributes={"minutes": 12.5, "languages": ["pl"], "is_color": False},
        is_available=False,
        created_by="ann",
    )
    assert made == reckon.item(made.item_id)
    assert (made.year, made.attributes["languages"], made.added_at) == (1905, ["pl"], None)
    emptied = reckon.put_item(made.item_id)
    assert (emptied.title, emptied.categories, dict(emptied.attributes)) == (None, (), {})
    for _ in range(2):
        reckon.delete_item(made.item_id)
    with pytest.raises(NotFoundError):
        reckon.item(made.item_id)


def test_user_round_trip(reckon: Reckon) -> None:
    made = reckon.put_user("ann", country="FI", attributes={"age": 31})
    assert made == reckon.user("ann")
    reckon.rate("ann", "x", 4)
    reckon.delete_user("ann")
    for call in (reckon.user, reckon.ratings):
        with pytest.raises(NotFoundError) as caught:
            call("ann")
        assert caught.value.type == "urn:reckon:problem:not-found"


def test_rating_makes_both(reckon: Reckon) -> None:
    reckon.rate("ann", "x", 4)
    assert reckon.user("ann").country is None
    assert reckon.item("x").title is None


@pytest.mark.parametrize("item_id", ["", ".", "..", "a/b", "/", "\ud800"])
def test_id_that_no_path_holds(reckon: Reckon, item_id: str) -> None:
    """Deleting item '..' must not become deleting something else."""
    with pytest.raises(InvalidInputError) as caught:
        reckon.delete_item(item_id)
    assert caught.value.field == "path.item_id"


def test_search_and_pages(reckon: Reckon) -> None:
    for n in range(5):
        reckon.put_item(f"i{n}", title=f"Star {n}")
    reckon.put_item("other", title="Moon")
    page = reckon.items(q="sTAR", limit=3)
    assert len(page.items) == 3
    assert page.next_cursor
    rest = reckon.items(q="sTAR", limit=3, cursor=page.next_cursor)
    assert [item.item_id for item in (*page, *rest)] == [f"i{n}" for n in range(5)]
    assert rest.next_cursor is None
    assert len(list(reckon.iter_items(page_size=4))) == 6


def test_popular_for_new_user(reckon: Reckon) -> None:
    fill(reckon)
    answer = reckon.recommendations("new", limit=2)
    assert (answer.strategy, len({item.item_id for item in answer})) == ("popular", 2)
    assert all(item.title == item.item_id.upper() for item in answer)
    assert answer.recommendation_id
    assert answer.next_cursor


def test_rated_is_not_recommended(reckon: Reckon) -> None:
    fill(reckon)
    assert [item.item_id for item in reckon.recommendations("u1")] == ["a"]
    reckon.rate("u1", "a", 2)
    assert reckon.recommendations("u1").items == ()


def test_pages_do_not_repeat(reckon: Reckon) -> None:
    fill(reckon)
    seen = []
    for item in reckon.iter_recommendations("ann", page_size=1):
        seen.append(item.item_id)
        reckon.rate("ann", item.item_id, 5)
    assert sorted(seen) == ["a", "b", "c"]


def test_what_is_left_out(reckon: Reckon) -> None:
    fill(reckon)
    assert {item.item_id for item in reckon.recommendations("ann", exclude={"c", "unknown"})} == {"a", "b"}
    assert {item.item_id for item in reckon.recommendations("ann", category="Even")} == {"b"}
    reckon.put_item("c", is_available=False)
    assert {item.item_id for item in reckon.recommendations("ann")} == {"a", "b"}


def test_forged_cursor(reckon: Reckon) -> None:
    with pytest.raises(InvalidInputError) as caught:
        reckon.recommendations("ann", cursor="x")
    assert caught.value.field == "cursor"


def test_similar_to_nothing(reckon: Reckon) -> None:
    with pytest.raises(NotFoundError):
        reckon.similar_items("nope")
    reckon.put_item("x")
    assert reckon.similar_items("x", limit=3).items == ()


def test_training(reckon: Reckon) -> None:
    job = reckon.train(seed=5)
    assert (reckon.training_job(job.job_id), job.seed) == (job, 5)
    ended = reckon.cancel_training_job(job.job_id)
    assert (ended.state, ended.cancel_requested_at) == ("cancelled", ended.finished_at)
    assert reckon.cancel_training_job(job.job_id) == ended
    with pytest.raises(NotFoundError):
        reckon.snapshot(99)
    with pytest.raises(NotFoundError):
        reckon.activate_snapshot(99)
    assert list(reckon.snapshots()) == [reckon.snapshot(each.version) for each in reckon.snapshots()]


def test_probes(reckon: Reckon) -> None:
    assert reckon.livez().status == "ok"
    assert reckon.readyz().status == "ready"


def test_errors_are_pickled(reckon: Reckon) -> None:
    with pytest.raises(ProblemError) as caught:
        reckon.item("nope")
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301  our own bytes
    assert (str(again), again.problem) == (str(caught.value), caught.value.problem)
