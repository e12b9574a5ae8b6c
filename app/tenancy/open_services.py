"""The services of the tenants that are in use by this process: opened at the first request, closed when idle.

All of this runs on one event loop, so that it needs no locks. What blocks (opening, closing, looking for another
snapshot) runs in a few threads, which all tenants share. A request leases a service and gives it back: one that is
leased is never closed. Work that a request leaves behind holds the lease as well.
"""

import asyncio
import ctypes
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
from structlog.contextvars import bound_contextvars

from app.errors import OverloadedError
from app.wiring import Service

MOST_OPEN = 32
IDLE_SECONDS = 60.0
N_THREADS = 4
"""A snapshot that takes long to load must not keep other tenants from being opened."""

Made = TypeVar("Made")

log = structlog.get_logger()


def give_back_memory() -> None:
    """Return to the system what was freed, where the C library can.

    It would keep 2 MB of each closed tenant with a snapshot of 1,500 users, instead of 0.6. The call takes about 12 ms
    and does not hold the interpreter lock.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@dataclass(slots=True, eq=False)
class Lease:
    """What the requests of one tenant share, and the work that they leave behind. `n`: of those that hold it.

    `used_at`: by the monotonic clock.
    """

    name: str
    opening: "asyncio.Future[Service]" = field(init=False)
    service: Service | None = None
    n: int = 0
    used_at: float = 0.0
    polling: asyncio.Task[None] | None = None

    def hold_for(self, work: "asyncio.Task[Any]") -> None:
        """Hold it until the work ends, which outlives the request that holds it now."""
        self.n += 1
        work.add_done_callback(lambda _work: self.give_back())

    def give_back(self) -> None:
        self.n -= 1
        self.used_at = time.monotonic()

    @property
    def is_free(self) -> bool:
        return self.n == 0 and self.service is not None and (self.polling is None or self.polling.done())


class OpenServices:
    """`build`: makes the service of a tenant, and blocks. `active`: returns the tenants whose keys are accepted."""

    def __init__(
        self,
        build: Callable[[str], Service],
        active: Callable[[], Collection[str]],
        *,
        most_open: int = MOST_OPEN,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._build = build
        self._active = active
        self.most_open = most_open
        self._idle_seconds = idle_seconds
        self._threads = ThreadPoolExecutor(N_THREADS, thread_name_prefix="tenants")
        self._leases: dict[str, Lease] = {}
        self._closing: dict[str, asyncio.Task[None]] = {}

    @property
    def names(self) -> set[str]:
        """The tenants that are open or being opened."""
        return set(self._leases)

    async def lease(self, name: str) -> tuple[Lease, Service]:
        """Return the service of the tenant, open until `Lease.give_back`.

        Raises the errors of opening it, and `OverloadedError` if too many tenants are in use at the moment.
        """
        lease = self._leases.get(name)
        if lease is None:
            self._make_room()
            lease = self._leases[name] = Lease(name)
            lease.opening = asyncio.ensure_future(self._open(lease))
        lease.n += 1
        try:
            # Shielded: a request that is cancelled does not end the opening, for which others wait.
            return lease, lease.service if lease.service is not None else await asyncio.shield(lease.opening)
        except BaseException:
            lease.give_back()
            raise

    async def follow(self, poll_seconds: float) -> None:
        """Look for other snapshots of the open tenants, and close the idle ones, until cancelled."""
        while True:
            await asyncio.sleep(poll_seconds)
            self.look()

    def look(self) -> None:
        """One turn of `follow`."""
        active, now = self._active(), time.monotonic()
        for lease in list(self._leases.values()):
            is_over = lease.name not in active
            if lease.is_free and (is_over or now - lease.used_at > self._idle_seconds):
                self._close(lease)
            # The database of a tenant that is over may be gone already.
            elif lease.service is not None and not is_over and (lease.polling is None or lease.polling.done()):
                lease.polling = asyncio.ensure_future(self._apart(lease.name, lease.service.look))

    async def close(self) -> None:
        """Close all. No request may come any more."""
        await asyncio.gather(*(lease.opening for lease in self._leases.values()), return_exceptions=True)
        await asyncio.gather(
            *(lease.polling for lease in self._leases.values() if lease.polling is not None), return_exceptions=True
        )
        for lease in list(self._leases.values()):
            self._close(lease)
        await asyncio.gather(*self._closing.values())
        self._threads.shutdown()

    async def _open(self, lease: Lease) -> Service:
        try:
            if (closing := self._closing.get(lease.name)) is not None:
                await closing
            lease.service = await self._apart(lease.name, lambda: self._build(lease.name))
        except BaseException:
            # The next request tries again.
            del self._leases[lease.name]
            raise
        return lease.service

    def _make_room(self) -> None:
        if len(self._leases) < self.most_open:
            return
        free = [lease for lease in self._leases.values() if lease.is_free]
        if not free:
            raise OverloadedError
        self._close(min(free, key=lambda lease: lease.used_at))

    def _close(self, lease: Lease) -> None:
        del self._leases[lease.name]
        self._closing[lease.name] = asyncio.ensure_future(self._close_apart(lease))

    async def _close_apart(self, lease: Lease) -> None:
        service, lease.service = lease.service, None
        try:
            if service is not None:
                await self._apart(lease.name, service.close)
                # Once the thread has let go of the service.
                del service
                await self._apart(lease.name, give_back_memory)
        except Exception:
            # Of a database that is gone. The tenant must be able to be opened again.
            log.exception("tenant not closed", tenant=lease.name)
        finally:
            del self._closing[lease.name]

    async def _apart(self, name: str, work: Callable[[], Made]) -> Made:
        def logged() -> Made:
            with bound_contextvars(tenant=name):
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._threads, logged)
