"""Entity tags: the same while the answer is, in every process; another as soon as it may be another."""

import asyncio
from typing import Any

import pytest

from app.serving.situation import Situation
from app.wiring import Service
from tests.support.asking import place, query_of

NOW = 2_000_000_000_000_000
MINUTE = 60_000_000


def situation_of(service: Service, user_id: str = "user-0") -> Situation:
    return asyncio.run(service.situations.of(user_id))


def tag(service: Service, user_id: str = "user-0", now: int = NOW, **wishes: Any) -> str:
    query = query_of(user_id, **wishes)
    return situation_of(service, user_id).entity_tag(b"the question", query.wishes, now)


@pytest.mark.parametrize(
    ("expression", "looks_at_clock"),
    [
        ("added_at > now", True),
        ("not (year > 1990 or available_until < NOW + 3 days)", True),
        ("added_at between Now - 3 days and now", True),
        ('title contains "now"', False),
        ("user.country in categories", False),
        ("is_available", False),
    ],
)
def test_wishes_that_look_at_the_clock(expression: str, looks_at_clock: bool, service: Service) -> None:
    asked: list[dict[str, Any]] = [{"filter": expression}, {"boost": f'"odd" in categories -> 2; {expression} -> 3'}]
    for wishes in asked:
        assert (tag(service, **wishes) != tag(service, now=NOW + MINUTE, **wishes)) == looks_at_clock
        place(service, **wishes)
        assert (tag(service) != tag(service, now=NOW + MINUTE)) == looks_at_clock
        place(service)
