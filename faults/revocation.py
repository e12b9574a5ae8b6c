"""A key is created and revoked while processes answer: each of them must notice within seconds."""

import http.client
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from app.auth.errors import UnauthorizedError
from app.auth.key_ring import KeyRing
from app.store import Store, migrate
from faults.requests_by_credential import address
from faults.trial import Figure, Trial
from tests.support.keys import bearer, stored_key
from tests.support.service import Instance

REACH_SECONDS = 5.0
N_PROCESSES = 3
N_CONNECTIONS = 24
"""Kept alive, so each stays with one process; with 24 of them a process without any is one case in 5,000."""

GIVEN_UP_SECONDS = 30.0

Accepts = Callable[[str | None], bool]
"""Whether one process lets a request with the key in, or one without a key."""

Connect = Callable[[], list[Accepts]]
"""New connections, from addresses that have not failed yet."""


def run(trial: Trial) -> Iterator[Figure]:
    folder = trial.fresh_folder("data")
    migrate("", folder)
    store = Store.open("", folder)
    opened = rings if trial.size == "test" else connections
    try:
        with opened(folder, store) as connect:
            n_times = trial.times(test=1, short=4, long=40)
            processes = connect()
            was_open = accepted_by(processes, None) == {True}
            first = stored_key(store, "console")
            closed = seconds_until(processes, None, {False})
            slowest_new = slowest_revoked = 0.0
            for _ in range(n_times):
                processes = connect()
                text = stored_key(store, "console")
                slowest_new = max(slowest_new, seconds_until(processes, text, {True}))
                store.api_keys.revoke(text[3:15])
                slowest_revoked = max(slowest_revoked, seconds_until(processes, text, {False}))
            still = accepted_by(connect(), first) == {True}
    finally:
        store.close()
    over = f"over {n_times} keys, {len(processes)} connections or processes"
    yield Figure(
        "first key closes an open service everywhere",
        f"<= {REACH_SECONDS:g} s",
        f"{closed:.1f} s",
        is_reached=was_open and still and closed <= REACH_SECONDS,
        is_timed=True,
    )
    for what, seconds in (("a new key is accepted", slowest_new), ("a revoked key is refused", slowest_revoked)):
        yield Figure(
            f"{what} everywhere, slowest",
            f"<= {REACH_SECONDS:g} s",
            f"{seconds:.1f} s {over}",
            seconds <= REACH_SECONDS,
            is_timed=True,
        )


def accepted_by(processes: Sequence[Accepts], text: str | None) -> set[bool]:
    return {accepts(text) for accepts in processes}


def seconds_until(processes: Sequence[Accepts], text: str | None, wanted: set[bool]) -> float:
    """Until all processes answer a request with the key as wanted; infinite if they never do."""
    started = time.monotonic()
    while accepted_by(processes, text) != wanted:
        if time.monotonic() - started > GIVEN_UP_SECONDS:
            return float("inf")
        time.sleep(0.1)
    return time.monotonic() - started


@contextmanager
def rings(_folder: Path, store: Store) -> Iterator[Connect]:
    """What a process knows of keys, several times in this one."""
    opened = [KeyRing(store.api_keys) for _ in range(N_PROCESSES)]
    threads = [ring.follow() for ring in opened]

    def accepts(ring: KeyRing, text: str | None) -> bool:
        if text is None:
            return ring.is_open
        try:
            ring.find_again(text)
        except UnauthorizedError:
            return False
        return True

    try:
        yield lambda: [partial(accepts, ring) for ring in opened]
    finally:
        for ring, thread in zip(opened, threads, strict=True):
            ring.stop()
            thread.join()


@contextmanager
def connections(folder: Path, _store: Store) -> Iterator[Connect]:
    """Connections to the processes of a service on the same database."""
    with Instance(folder).serving("--no-worker", "--processes", str(N_PROCESSES)) as service, ExitStack() as stack:
        host, port = urlsplit(service.address).hostname, urlsplit(service.address).port
        numbers = itertools.count(1)

        def connect() -> list[Accepts]:
            return [partial(accepts, connected()) for _ in range(N_CONNECTIONS)]

        def connected() -> http.client.HTTPConnection:
            made = http.client.HTTPConnection(str(host), port, timeout=30, source_address=(address(next(numbers)), 0))
            stack.callback(made.close)
            return made

        def accepts(connection: http.client.HTTPConnection, text: str | None) -> bool:
            connection.request("GET", "/counts", headers={} if text is None else bearer(text))
            answer = connection.getresponse()
            answer.read()
            return answer.status == 200

        yield connect
