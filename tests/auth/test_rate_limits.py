"""How often a key may be used, in one process and in several that share a file."""

import time
from pathlib import Path
from unittest.mock import patch

import pytest

from app.auth.errors import RateLimitedError
from app.auth.rate_limits import RateLimits, check_limit, peer_of, stored_limit
from app.auth.shared_counts import N_SLOTS, SharedCounts
from app.errors import InvalidInputError

START = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = START

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "time", made.time)
    return made


def allowed(limits: RateLimits, text: str, whose: str, n: int) -> int:
    done = 0
    for _ in range(n):
        try:
            limits.count_request(stored_limit(text), whose)
        except RateLimitedError:
            continue
        done += 1
    return done


def test_limit(clock: Clock) -> None:
    limits = RateLimits(None)
    assert allowed(limits, "10/second", "a", 25) == 10
    assert allowed(limits, "10/second", "b", 5) == 5
    clock.now += 1.5  # half of the window before still counts
    assert allowed(limits, "10/second", "a", 25) == 5
    clock.now += 10
    assert allowed(limits, "10/second", "a", 25) == 10


def test_steady_rate(clock: Clock) -> None:
    """Under a load of three times the limit, within 20 % of the limit passes."""
    limits = RateLimits(None)
    passed = 0
    for _ in range(3_000):
        clock.now += 1 / 300
        passed += allowed(limits, "100/second", "a", 1)
    assert 800 <= passed <= 1_200


def test_retry_after(clock: Clock) -> None:
    limits = RateLimits(None)
    allowed(limits, "2/minute", "a", 2)
    clock.now += 15
    with pytest.raises(RateLimitedError) as caught:
        limits.count_request(stored_limit("2/minute"), "a")
    assert caught.value.headers == {"Retry-After": "45"}


@pytest.mark.parametrize("seconds", [3_600, 86_400 * 40])
def test_clock_set_back(clock: Clock, seconds: int) -> None:
    """The counts of a window that has not begun yet are left out, and the slots of others are free."""
    limits, counts = RateLimits(None), SharedCounts(None, 0)
    assert allowed(limits, "10/minute", "a", 25) == 10
    clock.now += 60
    allowed(limits, "10/minute", "a", 25)
    for n in range(2 * N_SLOTS):
        counts.acquire_sliding_window_entry(f"user {n}", 10, 60)
    clock.now -= seconds
    assert allowed(limits, "10/minute", "a", 25) == 10
    later = [f"later {n}" for n in range(500)]
    for each in later:
        counts.acquire_sliding_window_entry(each, 10, 60)
    assert [counts.get_sliding_window(each, 60)[2] for each in later] == [1] * 500


def test_race_at_the_end_of_a_window(clock: Clock) -> None:
    """A process that has read the clock just before another one began the next window counts in that."""
    limits = RateLimits(None)
    clock.now += 1
    assert allowed(limits, "10/second", "a", 10) == 10
    clock.now -= 0.001
    assert allowed(limits, "10/second", "a", 1) == 0


@pytest.mark.parametrize(
    "text", ["100/second;1000/hour", "5/month", "10 per second", "1/2/second", " 1/second", "\uff11/day"]
)
def test_one_form(text: str) -> None:
    """The library reads some of these, and of two limits the first."""
    with pytest.raises(InvalidInputError, match="is no limit"):
        check_limit(text)


def test_largest_limit() -> None:
    check_limit("1000000000/day")
    with pytest.raises(InvalidInputError):
        check_limit("1000000001/day")


def test_processes_share(tmp_path: Path) -> None:
    """However unevenly the requests are spread."""
    file = tmp_path / "counts"
    limits = [RateLimits(file) for _ in range(3)]
    assert allowed(limits[0], "50/hour", "a", 40) == 40
    assert sum(allowed(each, "50/hour", "a", 20) for each in limits) == 10


@pytest.mark.usefixtures("clock")
def test_many_identities() -> None:
    """More identities than slots: those that are counted all the time keep their counts."""
    limits = RateLimits(None)
    for n in range(N_SLOTS // 2):
        assert allowed(limits, "3/second", f"user {n}", 5) == 3
    counts = SharedCounts(None, 0)
    with patch.object(time, "time", lambda: START + 100):
        assert counts.acquire_sliding_window_entry("x", 1, 1)
        counts.clear_sliding_window("x", 1)
        assert counts.acquire_sliding_window_entry("x", 1, 1)
        assert counts.reset() is None
        assert counts.get_sliding_window("x", 1)[2] == 0
    assert counts.check()


def test_no_other_counters() -> None:
    """The library asks a storage for these by other strategies alone."""
    counts = SharedCounts(None, 0)
    for ask in (lambda: counts.incr("x", 1), lambda: counts.get("x"), lambda: counts.get_expiry("x")):
        with pytest.raises(NotImplementedError):
            ask()
    with pytest.raises(NotImplementedError):
        counts.clear("x")
    assert counts.base_exceptions is OSError


@pytest.mark.usefixtures("clock")
def test_failed_attempts() -> None:
    """An address that guesses is refused."""
    limits = RateLimits(None)
    limits.check_failures("10.0.0.1")
    for _ in range(30):
        limits.count_failure("10.0.0.1")
    with pytest.raises(RateLimitedError):
        limits.count_failure("10.0.0.1")
    with pytest.raises(RateLimitedError):
        limits.check_failures("10.0.0.1")
    limits.check_failures("10.0.0.2")


def test_peers() -> None:
    assert peer_of("192.0.2.7") == "192.0.2.7"
    assert peer_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert peer_of("2001:db8::1") == peer_of("2001:db8::ffff:1") != peer_of("2001:db8:0:1::1")
    assert peer_of("fe80::1%eth0") == peer_of("fe80::2")
    assert peer_of("a:b") == "a:b"
