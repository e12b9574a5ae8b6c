"""Entity tags: the same while the answer is, in every process; another as soon as it may be another."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.entities import EPOCH, Item, Patch
from app.serving.request_state import RequestState
from app.settings import Settings
from app.wiring import Service
from tests.support.ratings import incoming
from tests.support.requests import happen, ids, place, query_of

NOW = 2_000_000_000_000_000
MINUTE = 60_000_000


@contextmanager
def another_process(url: str, data_dir: Path) -> Iterator[Service]:
    """On the same store, as `service`."""
    built = Service.build(Settings(database_url=url, data_dir=data_dir))
    try:
        yield built
    finally:
        built.store.close()


def request_state_of(service: Service, user_id: str = "user-0") -> RequestState:
    return asyncio.run(service.request_states.read(user_id))


def tag(service: Service, user_id: str = "user-0", now: int = NOW, **options: Any) -> str:
    query = query_of(user_id, **options)
    return replace(request_state_of(service, user_id), now=now).entity_tag(b"the question", query.options)


@pytest.mark.parametrize(
    ("expression", "depends_on_clock"),
    [
        ("added_at > now", True),
        ("not (year > 1990 or available_until < NOW + 3 days)", True),
        ("added_at between Now - 3 days and now", True),
        ('title contains "now"', False),
        ("user.country in categories", False),
        ("is_available", False),
    ],
)
def test_options_that_depend_on_the_clock(expression: str, depends_on_clock: bool, service: Service) -> None:
    given: list[dict[str, Any]] = [{"filter": expression}, {"boost": f'"odd" in categories -> 2; {expression} -> 3'}]
    for options in given:
        assert (tag(service, **options) != tag(service, now=NOW + MINUTE, **options)) == depends_on_clock
        place(service, **options)
        assert (tag(service) != tag(service, now=NOW + MINUTE)) == depends_on_clock
        place(service)


def test_tags_follow_what_expires(service: Service, trained_url: str, tmp_path: Path) -> None:
    """However often a process has seen items expire: one that began late says the same of a moment as all others."""
    ends = [NOW + MINUTE, NOW + 2 * MINUTE]
    until = [EPOCH + timedelta(microseconds=end) for end in ends]
    service.store.items.patch([Patch(f"item-{n}", {"available_until": end}) for n, end in enumerate(until)])
    with another_process(trained_url, tmp_path) as late:
        moments = [NOW, NOW + MINUTE, NOW + 2 * MINUTE]
        tags = [tag(service, now=now) for now in moments]
        assert len(set(tags)) == 3
        assert tag(late, now=moments[1]) == tags[1]
        service.store.items.patch([Patch("item-2", {"available_until": EPOCH})])
        assert tag(service, now=moments[2]) == tag(late, now=moments[2]) not in tags


def test_tags_follow_the_trends(service: Service, trained_url: str, tmp_path: Path) -> None:
    place(service, sources=["trending", "nearest"])
    with another_process(trained_url, tmp_path) as late:
        before = tag(service)
        assert tag(late) == before
        happen(service, "x", "clicked", ["item-7"], times=3)
        service.serving.poll()
        happen(service, "x", "clicked", ["item-8"], times=30)
        late.serving.poll()
        assert len({before, tag(service), tag(late)}) == 3  # each has seen one change, and not the same
        service.serving.poll()
        assert tag(service) == tag(late)


def test_tags_follow_popularity(database_url: str, tmp_path: Path) -> None:
    """Before anything is learned."""
    with another_process(database_url, tmp_path) as early:
        early.store.ratings.record(incoming(("ann", "x", 3), ("ann", "y", 4)))
        early.serving.poll()
        with another_process(database_url, tmp_path) as late:
            assert tag(early) == tag(late)
            early.store.ratings.record(incoming(("bob", "y", 4)))
            early.serving.poll()
            early.store.ratings.record(incoming(("eve", "x", 4)))
            late.serving.poll()
            assert tag(early) != tag(late)
            early.serving.poll()
            assert tag(early) == tag(late)


def test_trends_where_they_decide(service: Service) -> None:
    """With a rule of order, what trends may enter the list; else it is but named as a source."""

    def follows_trends(**options: Any) -> bool:
        request_state, query = request_state_of(service), query_of("user-0", **options)
        other = replace(request_state, serving=replace(request_state.serving, trends_digest=b"other"))
        return request_state.entity_tag(b"", query.options) != other.entity_tag(b"", query.options)

    assert not follows_trends()
    assert follows_trends(boost='"odd" in categories -> 2')
    place(service, sources=["trending"])
    assert follows_trends()
    place(service, sources=["nearest"], diversity=0.5)
    assert not follows_trends()
    assert not follows_trends(boost='"odd" in categories -> 2')


def test_rules_that_need_events(service: Service) -> None:
    """What is due again, or was just shown, depends on the time for users with events alone."""
    place(service, recurring=0.5)
    assert tag(service) == tag(service, now=NOW + MINUTE)
    happen(service, "user-0", "bought", ["item-7"])
    assert tag(service) != tag(service, now=NOW + MINUTE)
    assert tag(service, "user-1") == tag(service, "user-1", now=NOW + MINUTE)


def test_one_clock(service: Service) -> None:
    """Availability, expressions and the answer's id go by the time of the request state, whatever the time is."""
    moment = EPOCH + timedelta(microseconds=NOW)
    service.store.items.record([Item("ends", available_until=moment), Item("begins", added_at=moment)])
    query = query_of("newcomer", filter="added_at is unknown or added_at < now")
    for now, shown in ((NOW - MINUTE, {"ends"}), (NOW + MINUTE, {"begins"})):
        state = replace(request_state_of(service, "newcomer"), now=now)
        answer = asyncio.run(service.recommender.recommend(query, state))
        assert {"ends", "begins"} & set(ids(answer)) == shown
        assert service.tokens.read_recommendation_id(answer.recommendation_id).at == now
