"""Which tenants are open, and for how long."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from app.errors import OverloadedError, UnavailableError
from app.tenancy.open_services import OpenServices


class Opened:
    """Stands in for a service, of which only `look` and `close` are called."""

    def __init__(self) -> None:
        self.n_looks = 0
        self.is_closed = False

    def look(self) -> None:
        assert not self.is_closed
        self.n_looks += 1

    def close(self) -> None:
        self.is_closed = True


class Builder:
    def __init__(self) -> None:
        self.built: list[tuple[str, Opened]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.fails = False

    def __call__(self, name: str) -> Any:
        self.may_go_on.wait(60)
        if self.fails:
            raise UnavailableError("not now")
        self.built.append((name, Opened()))
        return self.built[-1][1]


def run(act: Callable[[OpenServices, Builder], Any], active: tuple[str, ...] = ("a", "b", "c"), **options: Any) -> None:
    async def main() -> None:
        builder = Builder()
        services = OpenServices(builder, lambda: active, **options)
        await act(services, builder)
        await services.close()
        assert all(each.is_closed for _, each in builder.built)
        assert services.names == set()

    asyncio.run(main())


def was_closed(opened: Opened) -> bool:
    return opened.is_closed


async def settled(services: OpenServices) -> None:
    """Threads have ended what they were given."""
    looks = [lease.polling for lease in services._leases.values() if lease.polling is not None]
    await asyncio.gather(*looks, *services._closing.values())


def test_one_opening_for_all() -> None:
    async def act(services: OpenServices, builder: Builder) -> None:
        builder.may_go_on.clear()
        waiting = [asyncio.ensure_future(services.lease("a")) for _ in range(5)]
        # The loop is free meanwhile, and one that waits may be cancelled.
        await asyncio.sleep(0.01)
        waiting[0].cancel()
        builder.may_go_on.set()
        leases = await asyncio.gather(*waiting[1:])
        assert len({id(service) for _, service in leases}) == len(builder.built) == 1
        assert leases[0][0].n == 4
        for lease, _ in leases:
            lease.give_back()

    run(act)


def test_failed_opening() -> None:
    """All who wait for it get the error; the next request opens anew."""

    async def act(services: OpenServices, builder: Builder) -> None:
        builder.fails = True
        answers = await asyncio.gather(*(services.lease("a") for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in answers] == [UnavailableError] * 3
        assert services.names == set()
        builder.fails = False
        lease, _ = await services.lease("a")
        lease.give_back()

    run(act)


@pytest.mark.parametrize("reason", ["idle", "suspended"])
def test_closes_what_is_free(reason: str) -> None:
    async def act(services: OpenServices, builder: Builder) -> None:
        lease, _ = await services.lease("a")
        services.look()
        await settled(services)
        services.look()
        await settled(services)
        opened = builder.built[0][1]
        assert not was_closed(opened)  # a request is in progress
        assert opened.n_looks == (2 if reason == "idle" else 0)
        lease.give_back()
        services.look()
        lease, service = await services.lease("a")  # while the first one is being closed
        assert was_closed(opened)
        assert id(service) == id(builder.built[1][1])
        lease.give_back()

    run(act, active=("a",) if reason == "idle" else (), idle_seconds=0 if reason == "idle" else 1_000)


def test_most_open() -> None:
    """The one that was used the longest ago makes room; none that is in use does."""

    async def act(services: OpenServices, _builder: Builder) -> None:
        for name in ("a", "b"):
            lease, _ = await services.lease(name)
            lease.give_back()
            await asyncio.sleep(0.001)
        lease, _ = await services.lease("a")
        lease.give_back()
        of_c, _ = await services.lease("c")
        assert services.names == {"a", "c"}
        of_a, _ = await services.lease("a")
        with pytest.raises(OverloadedError):
            await services.lease("b")
        of_a.give_back()
        of_c.give_back()

    run(act, most_open=2)
