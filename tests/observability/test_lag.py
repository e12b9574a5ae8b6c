"""From a write to its effect: told once a write, and never of what was not waiting for us."""

import time

from app.observability.lag import Lag


def test_once_a_write() -> None:
    seen: list[tuple[str, float]] = []
    lag = Lag(lambda kind, seconds: seen.append((kind, seconds)))
    now = time.time_ns() // 1_000
    for _ in range(3):
        lag.took_effect("ratings", ("ann", 1), now - 2_000_000)
    lag.took_effect("ratings", ("ann", 2), now - 1_000_000)
    lag.took_effect("events", ("ann", 2), now)
    assert [(kind, round(seconds)) for kind, seconds in seen] == [("ratings", 2), ("ratings", 1), ("events", 0)]


def test_long_ago_and_to_come() -> None:
    seen: list[float] = []
    lag = Lag(lambda _kind, seconds: seen.append(seconds))
    now = time.time_ns() // 1_000
    lag.took_effect("ratings", 1, now - 3_601_000_000)
    lag.took_effect("ratings", 2, now + 60_000_000)
    lag.took_effect("ratings", 3, -(2**63))
    assert seen == []
