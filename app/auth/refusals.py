"""Which refusals of administrative acts, and of keys that are not valid, get an entry in the audit log.

Anyone can send requests that are refused, so their entries must not fill the disk: like refusals have one entry a
minute, and each process writes at most `MOST_A_MINUTE`. The next entry says how many were left out.
"""

import time
from collections.abc import Callable

MOST_A_MINUTE = 10
"""Entries of refusals by one process: less than 3 MB a day."""


class Refusals:
    """Counts the refusals of one process. For the event loop: without a lock.

    `clock`: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._minute = -1
        self._entered: set[tuple[str, ...]] = set()
        self._n_left_out = 0

    def left_out_before(self, *refusal: str) -> int | None:
        """How many refusals were left out since the last entry; None if this one is left out as well.

        `refusal`: who was refused, what, and why. Equal ones are alike.
        """
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._minute = minute
            self._entered.clear()
        if refusal in self._entered or len(self._entered) >= MOST_A_MINUTE:
            self._n_left_out += 1
            return None
        self._entered.add(refusal)
        n_left_out, self._n_left_out = self._n_left_out, 0
        return n_left_out
