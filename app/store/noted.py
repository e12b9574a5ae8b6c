"""What the writes of a process have stored and removed, until `Arrivals.flush` adds it to the database."""

import threading
import time
from collections.abc import Mapping
from typing import Literal

Kind = Literal["ratings", "events", "users", "items"]

Change = tuple[int, int]
"""Numbers of rows that were stored and removed."""


class Noted:
    """By the time at which it was noted, microseconds UTC by the clock of this host, and by kind."""

    def __init__(self) -> None:
        self._noting = threading.Lock()
        self._changes: dict[tuple[int, Kind], Change] = {}

    def add(self, changes: Mapping[Kind, Change]) -> None:
        """Notes what a transaction has changed that was committed just now."""
        now = time.time_ns() // 1_000
        self.put_back({(now, kind): change for kind, change in changes.items()})

    def take(self) -> Mapping[tuple[int, Kind], Change]:
        """Returns everything and forgets it."""
        with self._noting:
            taken, self._changes = self._changes, {}
        return taken

    def put_back(self, taken: Mapping[tuple[int, Kind], Change]) -> None:
        with self._noting:
            for key, (n_stored, n_removed) in taken.items():
                stored, removed = self._changes.get(key, (0, 0))
                self._changes[key] = stored + n_stored, removed + n_removed
