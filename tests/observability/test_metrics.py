"""From a write to its effect: observed once for each write, and only for writes that waited."""

import time

from app.observability.metrics import Lag, Metrics
from tests.support.states import unknown_states


def test_lag_once_a_write() -> None:
    seen: list[tuple[str, float]] = []
    lag = Lag(lambda kind, seconds: seen.append((kind, seconds)))
    now = time.time_ns() // 1_000
    for _ in range(3):
        lag.took_effect("ratings", ("ann", 1), now - 2_000_000)
    lag.took_effect("ratings", ("ann", 2), now - 1_000_000)
    lag.took_effect("events", ("ann", 2), now)
    assert [(kind, round(seconds)) for kind, seconds in seen] == [("ratings", 2), ("ratings", 1), ("events", 0)]


def test_no_lag_of_old_and_future_writes() -> None:
    seen: list[float] = []
    lag = Lag(lambda _kind, seconds: seen.append(seconds))
    now = time.time_ns() // 1_000
    lag.took_effect("ratings", 1, now - 3_601_000_000)
    lag.took_effect("ratings", 2, now + 60_000_000)
    lag.took_effect("ratings", 3, -(2**63))
    assert seen == []


def test_few_series() -> None:
    """Whatever callers send and declare."""
    metrics = Metrics(unknown_states())
    for number in range(300):
        metrics.count_request(f"METHOD{number}", "unmatched", 405, 0.1)
        metrics.count_events(f"type-{number}", "stored")
        metrics.count_placement_problem(f"placement-{number}", "empty_list")
    metrics.count_request("GET", "/livez", 200, 0.1)
    metrics.count_events("type-0", "stored")
    text = metrics.render().decode()
    assert 'reckon_requests_total{method="other",path="unmatched",status="405"} 300.0' in text
    assert 'reckon_requests_total{method="GET",path="/livez",status="200"} 1.0' in text
    assert 'reckon_events_total{status="stored",type="type-0"} 2.0' in text
    assert 'reckon_events_total{status="stored",type="other"} 200.0' in text
    assert text.count("reckon_events_total{") == text.count("reckon_placement_problems_total{") == 101


def test_unknown_states_are_left_out() -> None:
    text = Metrics(unknown_states()).render().decode()
    assert "reckon_database_up 0.0" in text
    assert not any(
        name in text for name in ("reckon_snapshot_version", "reckon_training_", "reckon_erasures_", "reckon_disk_")
    )
