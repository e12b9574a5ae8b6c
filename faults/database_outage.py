"""The database stops, freezes, crashes, restarts, slows down or is locked, under an open load of reads and writes.

Reads must go on from memory. Writes must be refused in time or be stored: every acknowledged rating is read back.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from app.entities import IncomingRatings
from app.main import create_app
from app.settings import Settings
from app.store import Store, migrate
from faults.load import Answers, Request, load
from faults.proxy import Proxy, proxy_of
from faults.trial import Figure, Trial
from tests.support.live_app import serving
from tests.support.postgres import Postgres
from tests.support.service import Instance
from tests.support.trained import fill, train

READS_PER_SECOND, WRITES_PER_SECOND, PROBES_PER_SECOND = 40.0, 8.0, 2.0
STEADY_SECONDS = 1.0
RECOVERY_SECONDS = 5.0
SLOW_SECONDS = 5.0
N_USERS = 120
DEGRADED = b'"degraded":true'

GUEST = json.dumps({"ratings": [{"item_id": "item-1", "value": 5}]}).encode()
RANKED = json.dumps({"user_id": "user-3", "item_ids": ["item-1", "item-2", "item-3"]}).encode()
READS = (
    *(("GET", f"/users/user-{n}/recommendations", b"") for n in range(0, N_USERS, 10)),
    ("GET", "/users/late/recommendations?fields=title,description", b""),
    ("GET", "/users/unknown/recommendations", b""),
    ("GET", "/items/item-1/similar", b""),
    ("GET", "/charts/popular", b""),
    ("GET", "/charts/trending", b""),
    ("GET", "/charts/newest", b""),
    ("GET", "/users/user-1/home", b""),
    ("GET", "/users/user-2/mixes", b""),
    ("POST", "/recommendations", GUEST),
    ("POST", "/rankings", RANKED),
    ("POST", "/placements/home/preview", b'{"user_id":"user-4"}'),
)


def read(number: int) -> Request:
    method, path, body = READS[number % len(READS)]
    return Request(method, path, body, "read")


def write(number: int) -> Request:
    """Every fourth one is an event; each has a user or an id of its own, so that it can be looked for."""
    name = f"{time.monotonic_ns()}-{number}"
    if number % 4 == 3:
        event = {"event_id": name, "type": "clicked", "user_id": "user-5", "item_id": "item-2"}
        return Request("POST", "/events", json.dumps({"events": [event]}).encode(), "write")
    rating = {"user_id": name, "item_id": "item-2", "value": 3}
    return Request("POST", "/ratings", json.dumps(rating).encode(), "write")


def probe(number: int) -> Request:
    return Request("GET", ("/livez", "/readyz")[number % 2], kind="probe")


@dataclass(slots=True)
class Seen:
    """What the load saw; `began`, `ended`: when the outage did, in seconds of `time.monotonic()`."""

    began: float = 0.0
    ended: float = 0.0
    reads: Answers = field(default_factory=Answers)
    writes: Answers = field(default_factory=Answers)
    probes: Answers = field(default_factory=Answers)

    def figures(self, name: str, n_lost: int) -> Iterator[Figure]:
        during = self.reads.of("read", self.began, self.ended)
        n_degraded = sum(DEGRADED in each.body for each in during.all)
        reads, share = self.reads, self.reads.share(200)
        yield Figure(
            f"{name}: reads answered",
            ">= 99.9 % 200",
            f"{100 * share:.2f} % of {len(reads):,} ({reads.statuses}), {n_degraded:,} of {len(during):,} degraded,"
            f" slowest {reads.slowest():.2f} s",
            share >= 0.999 and len(during) > 0,
            is_timed=True,
        )
        # A write that was to start just before the outage is held up by it as well.
        writes = self.writes.of("write", self.began - 1, self.ended)
        n_known = self.writes.count(200, 201, 503)
        yield Figure(
            f"{name}: writes answered",
            "200, 201 or 503 in <= 2 s",
            f"slowest {writes.slowest():.2f} s of {len(writes):,} ({writes.statuses})",
            writes.slowest() <= 2 and n_known == len(self.writes) > 0,
            is_timed=True,
        )
        n_acknowledged = self.writes.count(200, 201)
        yield Figure(f"{name}: acknowledged writes lost", "0", f"{n_lost} of {n_acknowledged:,}", n_lost == 0)
        yield Figure(
            f"{name}: /livez and /readyz",
            "200 in <= 2 s",
            f"{self.probes.statuses}, slowest {self.probes.slowest():.2f} s",
            self.probes.share(200) == 1 and self.probes.slowest() <= 2,
            is_timed=True,
        )
        late = [each.at for each in self.reads.all if DEGRADED in each.body]
        late += [each.at for each in self.writes.all if each.status == 503]
        seconds = max(0.0, max(late, default=0.0) - self.ended)
        yield Figure(
            f"{name}: back to normal", "<= 5 s", f"{seconds:.1f} s", seconds <= RECOVERY_SECONDS, is_timed=True
        )


def observe(address: str, outage: AbstractContextManager[None], seconds: float, after_seconds: float) -> Seen:
    seen = Seen()
    with (
        load(address, read, per_second=READS_PER_SECOND, keeps_bodies=True) as seen.reads,
        load(address, write, per_second=WRITES_PER_SECOND) as seen.writes,
        load(address, probe, per_second=PROBES_PER_SECOND) as seen.probes,
    ):
        time.sleep(STEADY_SECONDS)
        seen.began = time.monotonic()
        with outage:
            time.sleep(seconds)
        seen.ended = time.monotonic()
        time.sleep(after_seconds)
    return seen


def n_lost(writes: Answers, url: str, data_dir: Path) -> int:
    """How many acknowledged ratings and events the database does not have."""
    store = Store.open(url, data_dir)
    try:
        with store.database.reading() as connection:
            users = {row[0] for row in connection.exec_driver_sql("SELECT user_id FROM users")}
            events = {row[0] for row in connection.exec_driver_sql("SELECT event_id FROM events")}
    finally:
        store.close()
    stored = [json.loads(each.request.body) for each in writes.all if each.status in {200, 201}]
    return sum(
        body["events"][0]["event_id"] not in events if "events" in body else body["user_id"] not in users
        for body in stored
    )


def prepare(url: str, data_dir: Path) -> None:
    """Users and items, a snapshot learned from them, and a user who came later."""
    migrate(url, data_dir)
    store = Store.open(url, data_dir)
    fill(store)
    train(store, data_dir)
    rows = [f"item-{n}" for n in range(5)]
    store.ratings.record(IncomingRatings(["late"] * 5, rows, np.full(5, 5.0), np.arange(5)))
    store.close()


def run(trial: Trial) -> Iterator[Figure]:
    if trial.size == "test":
        yield from sqlite_in_process(trial)
        return
    seconds = trial.times(test=0, short=2, long=60)
    after_seconds = trial.times(test=0, short=2, long=6)  # recovery is judged in long runs alone
    yield from sqlite(trial, seconds, after_seconds)
    yield from postgres(trial, seconds, after_seconds)


def sqlite_in_process(trial: Trial) -> Iterator[Figure]:
    url, folder = "", trial.fresh_folder("sqlite")
    prepare(url, folder)
    with serving(create_app(Settings(data_dir=folder, snapshot_poll_seconds=0.1))) as address:
        seen = observe(address, locked_writers(folder / "reckon.db"), 0.5, 0.0)
    yield from seen.figures("SQLite, locked by another writer", n_lost(seen.writes, url, folder))


def sqlite(trial: Trial, seconds: float, after_seconds: float) -> Iterator[Figure]:
    folder = trial.fresh_folder("sqlite")
    prepare("", folder)
    file = folder / "reckon.db"
    outages: Sequence[tuple[str, Callable[[], AbstractContextManager[None]]]] = (
        ("locked by another writer", lambda: locked_writers(file)),
        ("a frozen writer of Reckon", lambda: frozen_writer(file)),
    )
    with Instance(folder).serving("--no-worker") as service:
        for name, outage in outages:
            seen = observe(service.address, outage(), seconds, after_seconds)
            yield from seen.figures(f"SQLite, {name}", n_lost(seen.writes, "", folder))


def postgres(trial: Trial, seconds: float, after_seconds: float) -> Iterator[Figure]:
    folder = trial.fresh_folder("data")
    with ExitStack() as stack:
        server = stack.enter_context(trial.postgres())
        url = stack.enter_context(server.database())
        proxy = stack.enter_context(proxy_of(server.socket_path))
        prepare(url, folder)
        through = server.url_of_socket(url, "127.0.0.1", proxy.port)
        service = stack.enter_context(Instance(folder, through).serving("--no-worker", "--processes", "2"))
        outages: Sequence[tuple[str, Callable[[], AbstractContextManager[None]]]] = (
            ("frozen", lambda: frozen(server)),
            ("stopped", lambda: stopped(server)),
            ("crashed", lambda: crashed(server)),
            ("slow by 5 s", lambda: slow(proxy)),
            ("users locked", lambda: locked_users(url)),
        )
        for name, outage in outages:
            seen = observe(service.address, outage(), seconds, after_seconds)
            yield from seen.figures(f"Postgres, {name}", n_lost(seen.writes, url, folder))


@contextmanager
def frozen(server: Postgres) -> Iterator[None]:
    server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)


@contextmanager
def stopped(server: Postgres) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextmanager
def crashed(server: Postgres) -> Iterator[None]:
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextmanager
def slow(proxy: Proxy) -> Iterator[None]:
    proxy.delay_seconds = SLOW_SECONDS
    try:
        yield
    finally:
        proxy.delay_seconds = 0.0


@contextmanager
def locked_users(url: str) -> Iterator[None]:
    """The server answers, but not what a list needs: another program has locked a table."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        connection.exec_driver_sql("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        yield
    engine.dispose()


def locked_writers(file: Path) -> AbstractContextManager[None]:
    """Another program is in the middle of a write transaction."""
    return held(
        f"import sqlite3; it = sqlite3.connect({str(file)!r}, isolation_level=None, timeout=20);"
        " it.execute('BEGIN IMMEDIATE')"
    )


def frozen_writer(file: Path) -> AbstractContextManager[None]:
    """A process of Reckon, such as the worker, is stopped while it holds the lock of writers."""
    return held(f"import fcntl; it = open({str(file) + '.lock'!r}, 'ab'); fcntl.flock(it, fcntl.LOCK_EX)")


@contextmanager
def held(program: str) -> Iterator[None]:
    """A process that has run `program`, and keeps what it holds until the end of the block."""
    command = [sys.executable, "-c", f"{program}; print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdout is not None:
            process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()
