"""From a write to its effect: observed once for each write, and only for writes that waited."""

import time

from app.observability.metrics import Lag


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
