"""Answers a second, as shares of what a bare endpoint of the same framework gives in the same run."""

import importlib.util
import json
import os
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.load import CONNECTIONS, LOAD_CORE, Beside, Load, beside, measure, reckon_server, uvicorn_server
from benchmarks.serving_data import N_ITEMS, N_USERS, fill, rate_once_each, served_data, train
from benchmarks.table import Row

RECKON, BARE = "app.main:create_app", "benchmarks.peers:bare"
RECOMMENDATIONS = "/users/u%d/recommendations?limit=20"
N_ASKED_AGAIN = 1_000
N_ON_POSTGRES = 5_000
GET = "GET recommendations, 20 of 10k items"


def peer_rows() -> list[Row]:
    """Bare, and what one would write by hand; no claim of ours among them."""
    with served_data() as data_dir, uvicorn_server(BARE, data_dir) as bare:
        alone = measure(bare, RECOMMENDATIONS, 1, N_USERS)
        note = f"p50 {alone.p50_milliseconds:.1f} ms, p99 {alone.p99_milliseconds:.1f} ms"
        rows = [Row("bare FastAPI endpoint, 20 prebuilt items", "= 1", f"{alone.requests_per_second:,.0f}/s", note)]
        peers = {"FastAPI + numpy + SQLAlchemy by hand": ("0.14 x", "benchmarks.peers:handwritten")}
        if importlib.util.find_spec("implicit"):
            peers["FastAPI + implicit recommend by hand"] = ("0.23 x", "benchmarks.peers:handwritten_implicit")
        for what, (target, application) in peers.items():
            with uvicorn_server(application, data_dir) as address:
                measure(address, RECOMMENDATIONS, 1, N_USERS, seconds=1)
                rows.append(_row(what, target, _beside(bare, partial(measure, address, RECOMMENDATIONS, 1, N_USERS))))
    return rows


def sqlite_rows() -> list[Row]:
    with served_data() as data_dir:
        return recommendation_rows("SQLite", (">= 0.22 x, p99 <= 6 x", ">= 0.6 x", ">= 0.15 x"), data_dir)


def postgres_rows() -> list[Row]:
    """The database on the core of the load generator."""
    with tempfile.TemporaryDirectory() as folder, throwaway_postgres(Path(folder)) as url:
        data_dir = Path(folder) / "data"
        fill(data_dir, url, N_ON_POSTGRES)
        train(data_dir, url)
        targets = (">= 0.15 x", ">= 0.35 x", ">= 0.10 x")
        return recommendation_rows("Postgres", targets, data_dir, url, N_ON_POSTGRES)


def recommendation_rows(
    database: str, targets: tuple[str, str, str], data_dir: Path, database_url: str = "", n_users: int = N_USERS
) -> list[Row]:
    """A different user in each request; the same 1,000 users repeatedly; a different user after all rated again."""
    with uvicorn_server(BARE, data_dir) as bare, reckon_server(data_dir, database_url=database_url) as address:
        another = partial(_after_a_change, address, n_users)
        another()
        unchanged = _beside(bare, another)
        again = _beside(bare, partial(_again, address))
        rate_once_each(data_dir, database_url, n_users)
        another()
        changed = _beside(bare, another)
    return [
        _row(f"{GET}, {database}: unchanged history", targets[0], unchanged),
        _row(f"{GET}, {database}: every user rated since", targets[2], changed),
        _row(f"{GET}, {database}: repeated requests, nothing changed", targets[1], again),
    ]


def similar_rows() -> list[Row]:
    with served_data() as data_dir, uvicorn_server(BARE, data_dir) as bare, reckon_server(data_dir) as address:
        similar = partial(measure, address, "/items/i%d/similar?limit=20", 1, N_ITEMS, seconds=1)
        similar()
        return [_row("GET similar, another item each time", ">= 0.6 x", _beside(bare, similar))]


def latency_rows() -> list[Row]:
    """`reckon serve` and `uvicorn --port` on the same data, in pairs: what the way of starting costs."""
    with (
        served_data() as data_dir,
        uvicorn_server(RECKON, data_dir) as under_uvicorn,
        reckon_server(data_dir) as address,
    ):
        # Answers from the cache, so that little else than the way through the server is measured.
        compared = beside(partial(_again, under_uvicorn, 1), partial(_again, address, 1))
    note = f"p50 {compared.load.p50_milliseconds:.2f} ms, {compared.bare.p50_milliseconds:.2f} ms under uvicorn"
    return [
        Row("reckon serve beside uvicorn --port, one connection", "p50 <= 1.1 x", f"{compared.p50_ratio:.2f} x", note)
    ]


def _beside(bare: str, contestant: Callable[[], Load]) -> Beside:
    return beside(partial(measure, bare, RECOMMENDATIONS, 1, N_USERS), contestant)


def _row(what: str, target: str, result: Beside) -> Row:
    return Row(what, target, result.measured, result.note)


def _after_a_change(address: str, n_users: int) -> Load:
    """Each user once, none of whose answers of an earlier round can hold: the catalogue has changed since."""
    body = json.dumps({"title": "Another Title", "categories": ["C1"], "year": 1951 + os.urandom(1)[0]}).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{address}/items/i{N_ITEMS}", body, headers, method="PUT")  # noqa: S310  our own
    urllib.request.urlopen(request).close()  # noqa: S310  our own
    return measure(address, RECOMMENDATIONS, 1, n_users)


def _again(address: str, connections: int = CONNECTIONS) -> Load:
    measure(address, RECOMMENDATIONS, 1, N_ASKED_AGAIN, seconds=1, connections=connections)
    return measure(address, RECOMMENDATIONS, 1, N_ASKED_AGAIN, connections=connections)


@contextmanager
def throwaway_postgres(folder: Path) -> Iterator[str]:
    """The URL of a database of its own, whose processes all run on the core of the load generator."""
    from tests.support.postgres import Postgres  # noqa: PLC0415  of the development dependencies

    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {int(LOAD_CORE)})  # what is started now inherits it
    try:
        postgres = Postgres(folder / "postgres", is_durable=True)
    finally:
        os.sched_setaffinity(0, cores)
    try:
        with postgres.database() as url:
            yield url
    finally:
        postgres.close()
