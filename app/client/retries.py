"""When to try again, and when to leave a service in trouble alone."""

import random
import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retries:
    """How calls are tried again.

    `attempts`: of one call, with the first. Before attempt n + 1 it waits a random time up to
    `first_delay_seconds` * 2^(n - 1), at most `longest_delay_seconds` (full jitter: clients that failed together do not
    come back together). `share`: of all calls of a client, how many may be tried again in the long run; `burst`: how
    many at once beyond that.
    """

    attempts: int = 3
    first_delay_seconds: float = 0.1
    longest_delay_seconds: float = 2.0
    share: float = 0.1
    burst: int = 10

    def delay_seconds(self, attempts_made: int, retry_after_seconds: float | None) -> float:
        """At least what the service asks for, and jitter on top."""
        longest = min(self.longest_delay_seconds, self.first_delay_seconds * 2 ** (attempts_made - 1))
        return (retry_after_seconds or 0.0) + random.uniform(0.0, longest)  # noqa: S311  spreads load, hides nothing


NO_RETRIES = Retries(attempts=1)


class RetryBudget:
    """What one client may spend on trying again: a token bucket that its calls fill.

    Without it, a service that answers every call with an error would get `attempts` times its load, just when it can
    bear the least.
    """

    def __init__(self, retries: Retries) -> None:
        self._share = retries.share
        self._most = float(retries.burst)
        self._tokens = self._most
        self._lock = threading.Lock()

    def earn(self) -> None:
        """A call begins."""
        with self._lock:
            self._tokens = min(self._most, self._tokens + self._share)

    def spend(self) -> bool:
        """Whether a call may be tried once more."""
        with self._lock:
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True
