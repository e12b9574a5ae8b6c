"""Which user has which surrogate key, in memory: the snapshot knows users by key alone, and requests name their ids.

Used while the database does not answer. Ids are kept as hashes of 64 bits, which takes 16 bytes for each user; a text
of a million ids would take 100 MB in every process. Python keys the hash of a text anew in each process, so ids cannot
be chosen to collide, and two of a million users have equal hashes with a chance of 3 in 100 million.

What requests have seen of users comes first. Users that were deleted through another process are found by a counter of
the database, at most once a minute, because all ids are read again then.
"""

import time
from collections.abc import Callable

import numpy as np

from app.serving.rows import NO_ROWS
from app.store.users import Users

MAX_SEEN = 20_000
MAX_NEWER = 20_000
REREAD_SECONDS = 60.0
PAUSE_SECONDS = 0.002


class KnownUsers:
    """`refresh` is for one thread, the rest for any."""

    def __init__(self, users: Users, clock: Callable[[], float] = time.monotonic) -> None:
        self._users = users
        self._clock = clock
        # (n,) hashes in ascending order, and the keys of their users: replaced as a pair.
        self._sorted = NO_ROWS, NO_ROWS
        self._newer: dict[int, int] = {}
        self._last_key = 0
        self._seen: dict[str, int | None] = {}
        self._read_from: tuple[str, int] | None = None
        self._read_at = 0.0

    def note(self, user_id: str, user_key: int | None) -> None:
        """A request found that the user has this key, None: that there is no such user."""
        if len(self._seen) >= MAX_SEEN:
            self._seen = {}
        self._seen[user_id] = user_key

    def forget(self) -> None:
        """Drops the ids that requests named; the rest holds hashes alone."""
        self._seen = {}

    def key_of(self, user_id: str) -> int | None:
        """The key as last known; None for an unknown user."""
        if user_id in self._seen:
            return self._seen[user_id]
        wanted = hash(user_id)
        if wanted in self._newer:
            return self._newer[wanted]
        hashes, keys = self._sorted
        place = int(np.searchsorted(hashes, wanted))
        return int(keys[place]) if place < len(hashes) and hashes[place] == wanted else None

    def refresh(self, generation: str, n_deleted: int) -> None:
        """Read users that were added since the last call, or all if any were deleted.

        `generation`: of the database. `n_deleted`: a number that grows with every deletion of a user.
        """
        state = generation, n_deleted
        if state != self._read_from:
            self._seen = {}
            is_restored = self._read_from is None or self._read_from[0] != generation
            if is_restored or self._clock() - self._read_at > REREAD_SECONDS:
                self._start(state)
        for user_ids, user_keys in self._users.ids_after(self._last_key):
            self._newer.update(zip(map(hash, user_ids), user_keys, strict=True))
            self._last_key = user_keys[-1]
            if len(self._newer) >= MAX_NEWER:
                self._merge()
            time.sleep(PAUSE_SECONDS)  # a million users take seconds; requests are answered meanwhile

    def _start(self, state: tuple[str, int]) -> None:
        self._sorted, self._newer, self._last_key = (NO_ROWS, NO_ROWS), {}, 0
        self._read_from, self._read_at = state, self._clock()

    def _merge(self) -> None:
        newer = np.array(list(self._newer.items()), np.int64).reshape(-1, 2)
        hashes, keys = (np.concatenate(pair) for pair in zip(self._sorted, newer.T, strict=True))
        order = np.argsort(hashes, kind="stable")
        self._sorted = hashes[order], keys[order]
        self._newer = {}
