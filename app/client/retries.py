"""When a failed call is sent again, and when not, so that a service in trouble is not overloaded."""

import random
import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retries:
    """How failed calls are repeated.

    `attempts`: the largest number for one call, the first included.
    `first_delay_seconds`, `longest_delay_seconds`: bound the random delay before the next attempt, see `delay_seconds`.
    `share`: the largest fraction of all calls of a client that is repeated in the long run.
    `burst`: how many calls may be repeated at once beyond that.
    """

    attempts: int = 3
    first_delay_seconds: float = 0.1
    longest_delay_seconds: float = 2.0
    share: float = 0.1
    burst: int = 10

    def delay_seconds(self, attempts_made: int, retry_after_seconds: float | None) -> float:
        """The delay after `attempts_made` attempts: what the service asks for, if anything, plus a random time."""
        # Full jitter: clients that failed together do not return together. After attempt n, the delay is
        # retry_after + U(0, min(longest_delay, first_delay * 2^(n - 1))), U being the uniform distribution.
        longest = min(self.longest_delay_seconds, self.first_delay_seconds * 2 ** (attempts_made - 1))
        return (retry_after_seconds or 0.0) + random.uniform(0.0, longest)  # noqa: S311  spreads load, is no secret


NO_RETRIES = Retries(attempts=1)


class RetryBudget:
    """How many calls a client may still repeat: a token bucket that its calls fill.

    Without it, a service that answers every call with an error would get `attempts` times its usual load.
    """

    def __init__(self, retries: Retries) -> None:
        self._share = retries.share
        self._most = float(retries.burst)
        self._tokens = self._most
        self._lock = threading.Lock()

    def earn(self) -> None:
        """Counts a new call."""
        with self._lock:
            self._tokens = min(self._most, self._tokens + self._share)

    def spend(self) -> bool:
        """Takes one repetition from the budget; False where it is used up."""
        with self._lock:
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True
