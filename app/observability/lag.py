"""How long what was written takes until an answer knows it, seen by the process that gives the answer."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

Observe = Callable[[str, float], None]

LONGEST_SECONDS = 3_600.0
"""What is older was not waiting for us: ratings of long ago that are imported now, users who were away."""

N_REMEMBERED = 10_000


class Lag:
    """Tells `observe` of each write once, when it first takes effect here: what kind it was, and how long ago."""

    def __init__(self, observe: Observe) -> None:
        self._observe = observe
        self._seen: OrderedDict[Hashable, None] = OrderedDict()

    def took_effect(self, kind: str, write: Hashable, written_at: int) -> None:
        """`write`: what tells it from all others of the kind; `written_at`: microseconds UTC."""
        key = kind, write
        if key in self._seen:
            return
        self._seen[key] = None
        if len(self._seen) > N_REMEMBERED:
            self._seen.popitem(last=False)
        seconds = time.time() - written_at / 1e6
        if 0 <= seconds <= LONGEST_SECONDS:
            self._observe(kind, seconds)
