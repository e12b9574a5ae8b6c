"""How many connections to a server the pools of several databases may hold together.

Each tenant has a pool, and a server accepts some hundred connections in all. A pool by itself could hold fifty.
"""

import threading
from collections.abc import Callable
from typing import Protocol, TypeVar
from weakref import WeakSet

from app.errors import UnavailableError


class Closable(Protocol):
    @property
    def closed(self) -> bool: ...


Opened = TypeVar("Opened", bound=Closable)


class ConnectionBudget:
    """For the threads of one process. `most`: at least the number of pools, each of which keeps one idle connection."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._n_connecting = 0
        # Weak: one that was dropped without being closed is not open either.
        self._opened: WeakSet[Closable] = WeakSet()
        self._changed = threading.Condition()

    def connect(self, connect: Callable[[], Opened], wait_seconds: float) -> Opened:
        """Return `connect()` once there is room. Raises `UnavailableError` if there is none within `wait_seconds`."""
        with self._changed:
            if not self._changed.wait_for(self._has_room, wait_seconds):
                raise UnavailableError("the tenants use all connections to the database; try again")
            self._n_connecting += 1
        try:
            connection = connect()
            self._opened.add(connection)
            return connection
        finally:
            with self._changed:
                self._n_connecting -= 1
                self._changed.notify_all()

    def give_back(self, connection: Closable) -> None:
        """It is being closed."""
        with self._changed:
            self._opened.discard(connection)
            self._changed.notify_all()

    def _has_room(self) -> bool:
        n_open = sum(not connection.closed for connection in self._opened)
        return n_open + self._n_connecting < self._most
