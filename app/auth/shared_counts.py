"""Counts of requests that the API processes of one `reckon serve` share, as a storage of the library `limits`.

The counts lie in a mapped file, so a limit holds for the sum of all processes however unevenly the connections are
spread over them. Each identity has a slot with the number of requests in the current and in the previous window.

There is no lock, so no process ever waits for another. Two processes that count at the same moment may lose one of the
two; at 5,000 requests per second that is one in a thousand.

Refused: a share of the limit for each process (a client that keeps one connection open reaches one process alone); a
table of the database (a write for each request); Redis (a service more to run).
"""

import hashlib
import mmap
import os
import struct
import time
from math import floor
from pathlib import Path

from limits.storage import SlidingWindowCounterSupport, Storage

SLOT = struct.Struct("<QddQQ")  # fingerprint of the identity (0: empty), start and seconds of the window, counts
N_SLOTS = 4_096
PROBED = 8
"""Slots that an identity may have. If all are in use, it takes the one whose window began first."""

SKEW_SECONDS = 1.0
"""A window that begins later than this after now was begun before the clock of the host was set back."""

REGION_BYTES = -(-N_SLOTS * SLOT.size // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY


class SharedCounts(Storage, SlidingWindowCounterSupport):
    """`file`: shared by the processes; None: this process counts alone. `region`: which part of the file."""

    STORAGE_SCHEME = None  # made here alone, never by an address

    def __init__(self, file: Path | None, region: int) -> None:
        super().__init__()
        if file is None:
            self._memory = mmap.mmap(-1, REGION_BYTES)
            return
        start = region * REGION_BYTES
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(descriptor).st_size < start + REGION_BYTES:
                os.ftruncate(descriptor, start + REGION_BYTES)
            self._memory = mmap.mmap(descriptor, REGION_BYTES, offset=start)
        finally:
            os.close(descriptor)

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        now = time.time()
        place, fingerprint, start, current, previous = self._window(key, expiry, now)
        # previous (1 - elapsed) + current, with the fraction of the current window that has elapsed
        if floor(previous * (1 - (now - start) / expiry) + current) + amount > limit:
            return False
        SLOT.pack_into(self._memory, place, fingerprint, start, expiry, current + amount, previous)
        return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        now = time.time()
        _, _, start, current, previous = self._window(key, expiry, now)
        left = start + expiry - now
        return previous, left, current, left + expiry

    def _window(self, key: str, expiry: int, now: float) -> tuple[int, int, float, int, int]:
        """Return place, fingerprint, window start and both counts of an identity, moved on to the window of `now`."""
        fingerprint = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") or 1
        start = now - now % expiry
        oldest = (float("inf"), 0)
        for n in range(PROBED):
            place = (fingerprint + n) % N_SLOTS * SLOT.size
            holder, began, seconds, current, previous = SLOT.unpack_from(self._memory, place)
            is_ahead = began > now + SKEW_SECONDS
            if holder == fingerprint:
                # Its counts are of no use: the weight of the window before would grow with the step of the clock.
                if is_ahead:
                    return place, fingerprint, start, 0, 0
                if began >= start:
                    return place, fingerprint, began, current, previous
                return place, fingerprint, start, 0, current if began >= start - expiry else 0
            # A slot whose two windows are over is as good as empty.
            oldest = min(oldest, (0.0 if is_ahead or now >= began + 2 * seconds else began, place))
        return oldest[1], fingerprint, start, 0, 0

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        place, fingerprint, start, _, _ = self._window(key, expiry, time.time())
        SLOT.pack_into(self._memory, place, fingerprint, start, expiry, 0, 0)

    # The library asks every storage for simple counters as well. They are of no use here.
    @property
    def base_exceptions(self) -> type[Exception]:
        return OSError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise NotImplementedError

    def get(self, key: str) -> int:
        raise NotImplementedError

    def get_expiry(self, key: str) -> float:
        raise NotImplementedError

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        self._memory[:] = bytes(REGION_BYTES)
        return None

    def clear(self, key: str) -> None:
        raise NotImplementedError
