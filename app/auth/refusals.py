"""Which refusals of administrative acts, and of keys that are not valid, get an entry in the audit log.

Anyone can send requests that are refused, so their entries must not fill the disk: like refusals have one entry a
minute, and each process writes at most `MOST_A_MINUTE` of a kind. The next entry of the kind says how many were left
out.

Kinds are counted apart, so that made-up keys, which anyone can send, do not hide the refusals of real ones. The acts in
each catalogue are a kind of their own: a tenant reads how many refusals were left out.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_A_MINUTE = 10
"""Entries of refusals of one kind by one process: less than 3 MB a day."""

MADE_UP = "made-up keys"
"""The kind of keys whose id was never one of this deployment."""

ENDED = "keys that are not valid"
"""The kind of keys with the id of a real one: expired, revoked, or with another secret."""


def acts_in(tenant: str | None) -> str:
    """The kind of acts in the catalogue of a tenant; None: in the main one."""
    return f"acts in {tenant or ''}"


@dataclass(slots=True)
class _Kind:
    """`entered`: the refusals that have an entry of this minute."""

    minute: int
    entered: set[tuple[str, ...]] = field(default_factory=set)
    n_left_out: int = 0


class Refusals:
    """Counts the refusals of one process. For the event loop: without a lock.

    `clock`: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: dict[str, _Kind] = {}

    def left_out_before(self, kind: str, *refusal: str) -> int | None:
        """How many refusals of the kind were left out since its last entry; None if this one is left out as well.

        `refusal`: who was refused, what, and why. Equal ones are alike.
        """
        minute = int(self._clock() // 60)
        counted = self._kinds.setdefault(kind, _Kind(minute))
        if minute != counted.minute:
            counted.minute = minute
            counted.entered.clear()
        if refusal in counted.entered or len(counted.entered) >= MOST_A_MINUTE:
            counted.n_left_out += 1
            return None
        counted.entered.add(refusal)
        n_left_out, counted.n_left_out = counted.n_left_out, 0
        return n_left_out
