"""What a process counts for the pages of operators, and what several processes did together."""

import math
from datetime import UTC, datetime

import pytest

from app.observability.activity import Activity, Minute, last_hour
from app.observability.metrics import Metrics
from tests.support.states import unknown_states

NOON = 1_700_000_040.0
"""The time at which a minute begins."""


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_requests() -> None:
    activity = Activity(Clock())
    for status, seconds in ((200, 0.002), (404, 0.002), (500, 6.0)):
        activity.count_request("/items/{item_id}", status, seconds)
    activity.count_request("/items", 429, 0.0001)
    activity.count_request("refused", 503, 0.0001)
    for path in ("/livez", "/readyz", "/metrics"):
        activity.count_request(path, 500, 0.0001)
    total = last_hour([activity.as_json()], moment(NOON)).total
    assert (total.requests, total.server_errors, total.refused) == (5, 1, 2)
    # Neither refusals nor probes say how long an answer takes.
    assert total.latency == [0, 2, *[0] * 10, 1]


def test_by_minute() -> None:
    """Minutes in which nothing happened are there as well; what is older than an hour is forgotten."""
    clock = Clock()
    activity = Activity(clock)
    for _ in range(62):
        activity.count_ratings("stored", 1)
        clock.now += 60.0
    done = last_hour([activity.as_json()], moment(clock.now))
    assert [at for at, _ in done.minutes] == [moment(clock.now - 60 * n) for n in range(59, -1, -1)]
    assert [minute.ratings for _, minute in done.minutes] == [1] * 59 + [0]
    assert done.total.ratings == 59


def test_only_what_is_written() -> None:
    activity = Activity(Clock())
    for status in ("stored", "replaced", "unchanged", "rejected"):
        activity.count_ratings(status, 2)
        activity.count_events(status, 3)
    total = last_hour([activity.as_json()], moment(NOON)).total
    assert (total.ratings, total.events) == (4, 6)


def test_several_processes() -> None:
    one, other = Activity(Clock()), Activity(Clock())
    for activity, strategy, n in ((one, "popular", 1), (one, "personalized", 2), (other, "personalized", 1)):
        for _ in range(n):
            activity.count_list(strategy)
    done = last_hour([one.as_json(), other.as_json(), {}], moment(NOON + 59))
    assert done.total.shares == {"personalized": 0.75, "popular": 0.25}
    assert dict(done.minutes[-1][1].lists) == {"personalized": 3, "popular": 1}


def test_latency() -> None:
    minute = Minute()
    assert minute.latency_seconds(0.5) is None
    minute.latency[3] = 100  # above 5 ms, at most 10 ms
    assert minute.latency_seconds(0.5) == pytest.approx(0.0075)
    assert minute.latency_seconds(1.0) == pytest.approx(0.01)
    minute.latency[-1] = 100
    assert minute.latency_seconds(0.99) == math.inf


def test_histogram_of_another_version() -> None:
    read = Minute.from_json({"requests": 3, "latency": [1, 2], "unknown": 7})
    assert (read.requests, sum(read.latency)) == (3, 0)


def test_metrics_count_both() -> None:
    """What metrics count, tenants' requests included, is in the activity."""
    metrics = Metrics(unknown_states())
    metrics.count_request("GET", "/items", 200, 0.01)
    metrics.count_recommendations("popular", is_known=False)
    metrics.without_names().count_ratings("stored", 2)
    metrics.without_names().count_events("clicked", "stored", 3)
    (counts,) = metrics.activity.as_json().values()
    assert (counts["requests"], counts["ratings"], counts["events"], counts["lists"]) == (1, 2, 3, {"popular": 1})


def test_lags() -> None:
    """By kind, over several processes; those of a build with other buckets are left out."""
    one, other = Activity(Clock()), Activity(Clock())
    one.count_lag("ratings", 0.04)
    other.count_lag("ratings", 7_200.0)
    other.count_lag("events", 0.005)
    total = last_hour(
        [one.as_json(), other.as_json(), {str(int(NOON // 60)): {"lags": {"x": [1]}}}], moment(NOON)
    ).total
    assert total.lags.keys() == {"ratings", "events"}
    assert sum(total.lags["ratings"]) == 2
    assert total.lag_seconds("ratings", 0.5) == 0.05
    assert total.lag_seconds("ratings", 0.99) == math.inf
    assert total.lag_seconds("events", 0.5) == 0.005
    assert total.lag_seconds("snapshot", 0.5) is None
