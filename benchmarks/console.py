"""The console of a large catalogue: how long its pages take, how much they send, and what they cost the answers."""

import http.client
import re
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np

from app.store import Store
from benchmarks.load import has_generator, measure, reckon_server
from benchmarks.made_up import fill, publish
from benchmarks.serving_data import DAY, FIRST_DAY, opened, record_ratings
from benchmarks.serving_rates import RECOMMENDATIONS
from benchmarks.table import Row

N_ITEMS, N_USERS, RATINGS_PER_USER = 1_000_000, 100_000, 100
CHUNK = 2_000
ROUNDS = 5
CLICK_SECONDS = 3.0
"""A person who looks at each page for no longer than that."""

WATCHED_ROUNDS, WATCHED_SECONDS = 6, 10.0
LIMIT_SECONDS = 0.2

PAGES = {
    "Home": "/",
    "Try it": "/console/try?user=u77",
    "Try it, search": "/console/try?user=u77&q=title+number+77",
    "Users": "/console/users",
    "Users, whole id": "/console/users?q=u99999",
    "Users, rare part of an id": "/console/users?q=9999",
    "Users, nothing found": "/console/users?q=nobody",
    "User": "/console/users/u77",
    "User, lists": "/console/users/u77/lists",
    "User, taste": "/console/users/u77/taste",
    "Items": "/console/items",
    "Items, search": "/console/items?q=number+7777",
    "Items, search with a typo": "/console/items?q=numbre+7777",
    "Items, filter": "/console/items?filter=year+%3E+1990+and+categories+contains+%22C3%22",
    "Item": "/console/items/i77",
    "Item, lists": "/console/items/i77?lists=home",
    "Placements": "/console/placements",
    "Placement": "/console/placements/home",
    "Learning": "/console/learning",
    "Snapshot": "/console/learning/snapshots/2",
    "Snapshot, map": "/console/learning/snapshots/2/map",
    "Snapshot that is not live": "/console/learning/snapshots/1",
    "Snapshot that is not live, map": "/console/learning/snapshots/1/map",
    "Compared snapshots": "/console/learning/compare?a=1&b=2",
    "Compared snapshots, lists": "/console/learning/compare/lists?a=1&b=2",
    "Data": "/console/data",
    "Data quality": "/console/data/quality",
    "Operations": "/console/operations",
    "API keys": "/console/operations/keys",
    "Audit log": "/console/operations/audit",
}
BESIDE = re.compile(r'(?:src|href)="(/console/static/(?!vendor/vega)[^"]+)"')
"""The files of a page that are no part of plots."""

BEING_MADE = 'hx-trigger="load delay'
"""Of a page that asks again for what is being made; see `app.console.prepared`."""

ASKED_AGAIN_SECONDS = 0.1
PLOT = re.compile(r'<figure class="plot">.*?</figure>', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Timed:
    """`seconds`: the median; `first`: of the first request. `n_bytes`: of the page and its files, without plots'.

    `made`: the median of the seconds until the page no longer says that it is being made; that of `seconds` for a page
    that never does. `made_first`: of the first request.
    """

    name: str
    seconds: float
    first: float
    n_bytes: int
    made: float
    made_first: float


def rows(_parts: Sequence[str] = ()) -> list[Row]:
    if not has_generator():
        return [Row("pages of the console", "", "not measured", "needs the load generator wrk on the PATH")]
    with tempfile.TemporaryDirectory() as folder:
        store = opened(Path(folder))
        fill(store, N_ITEMS, N_USERS)
        _rate(store)
        publish(store, Path(folder))
        publish(store, Path(folder))
        store.close()
        with reckon_server(Path(folder)) as address:
            timed = [_timed(address, name, path) for name, path in PAGES.items()]
            ratio, note = _beside(address)
    slowest = sorted(timed, key=lambda each: -each.seconds)
    n_slow = sum(each.seconds > LIMIT_SECONDS for each in timed)
    largest = max(timed, key=lambda each: each.n_bytes)
    data = f"{N_ITEMS:,} items, {N_USERS * RATINGS_PER_USER:,} ratings"
    return [
        Row(
            f"slowest page of the console, {data}",
            "<= 200 ms",
            f"{1e3 * slowest[0].seconds:.0f} ms",
            f"{slowest[0].name}; {n_slow} of {len(timed)} above the limit; median of all"
            f" {1e3 * statistics.median(each.seconds for each in timed):.0f} ms",
        ),
        *(Row(f"page: {each.name}", "<= 200 ms", f"{1e3 * each.seconds:.0f} ms", _note(each)) for each in slowest),
        Row("largest page with its files, but plots", "<= 150 KB", f"{largest.n_bytes / 1e3:.0f} KB", largest.name),
        Row(f"p99 of answers while a person clicks every {CLICK_SECONDS:g} s", "<= 1.1 x", f"{ratio:.2f} x", note),
    ]


def _rate(store: Store) -> None:
    """Ratings of users for random items, some of which are rated far more than others."""
    rng = np.random.default_rng(1)
    for start in range(0, N_USERS, CHUNK):
        users = np.repeat(np.arange(start, start + CHUNK), RATINGS_PER_USER)
        items = (rng.pareto(1.0, len(users)) * 50).astype(np.int64) % N_ITEMS
        times = FIRST_DAY + rng.integers(0, 365 * DAY, len(users))
        record_ratings(store, users, items, rng.integers(1, 6, len(users)) * 1.0, times)


def _timed(address: str, name: str, path: str) -> Timed:
    seconds, made, text = [], [], ""
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        text = _page(address, path)
        seconds.append(time.perf_counter() - started)
        while BEING_MADE in text:
            time.sleep(ASKED_AGAIN_SECONDS)
            text = _page(address, path)
        made.append(time.perf_counter() - started)
    # The values of a plot are part of it.
    text = PLOT.sub("", text)
    files = sum(len(_page(address, each)) for each in set(BESIDE.findall(text)))
    n_bytes = len(text.encode()) + files
    return Timed(name, statistics.median(seconds[1:]), seconds[0], n_bytes, statistics.median(made[1:]), made[0])


def _note(timed: Timed) -> str:
    note = f"first {1e3 * timed.first:.0f} ms"
    if timed.made_first > timed.first:
        note += f"; its content after {1e3 * timed.made:.0f} ms, first {1e3 * timed.made_first:.0f} ms"
    return note


def _page(address: str, path: str) -> str:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise RuntimeError(f"{path}: {answer.status}")
    return text


def _beside(address: str) -> tuple[float, str]:
    """The p99 of answers while a person clicks through all pages, divided by that of the rounds between."""
    once = partial(measure, address, RECOMMENDATIONS, 1, N_USERS, seconds=WATCHED_SECONDS, connections=1)
    once()
    quiet, watched = [], []
    for _ in range(WATCHED_ROUNDS):
        quiet.append(once())
        with _clicking(address):
            watched.append(once())
    before, during = (statistics.median(each.p99_milliseconds for each in loads) for loads in (quiet, watched))
    n_errors = sum(each.errors for each in watched)
    return during / before, f"p99 {during:.2f} ms, without {before:.2f} ms; one connection, {n_errors} errors"


@contextmanager
def _clicking(address: str) -> Iterator[None]:
    stopped = threading.Event()
    paths = cycle(PAGES.values())

    def click() -> None:
        while not stopped.wait(CLICK_SECONDS):
            _page(address, next(paths))

    person = threading.Thread(target=click)
    person.start()
    try:
        yield
    finally:
        stopped.set()
        person.join()
