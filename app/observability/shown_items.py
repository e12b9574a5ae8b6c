"""Which items recommendation lists have shown of late, over all API processes: the coverage of the catalogue."""

import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

N_KEYS = 1 << 20
"""Items with a key from here on are not followed: the first million tells the share well enough."""

HOURS = 24
HOUR_SECONDS = 3_600
FILE = "shown-items"


class ShownItems:
    """For each key of an item the hour in which it was last shown; 0: never.

    `folder`: where the processes of a service share it; None: this process is alone.
    """

    def __init__(self, folder: str | None) -> None:
        self._hours: NDArray[np.uint32]
        if folder is None:
            self._hours = np.zeros(N_KEYS, np.uint32)
        else:
            path = Path(folder) / FILE
            # Opened by several processes at a time: it must not be emptied, and growing it twice does nothing.
            with path.open("ab"):
                os.truncate(path, N_KEYS * np.dtype(np.uint32).itemsize)
            self._hours = np.memmap(path, np.uint32, "r+", shape=(N_KEYS,))

    def note(self, item_keys: NDArray[np.int64], now_microseconds: int) -> None:
        """These items, (n,), are shown now."""
        # No lock: two processes write the same hour, or hours of which either is as good.
        self._hours[item_keys[item_keys < N_KEYS]] = now_microseconds // (HOUR_SECONDS * 1_000_000)

    def counted(self, item_keys: NDArray[np.int64]) -> int:
        """How many of these items, (n,), were shown in this hour or the `HOURS` before it."""
        since = int(time.time()) // HOUR_SECONDS - HOURS
        return int(np.count_nonzero(self._hours[item_keys[item_keys < N_KEYS]] >= since))
