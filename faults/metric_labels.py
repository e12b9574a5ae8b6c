"""Callers send methods, paths, hosts and names of their own: the number of time series stays bounded."""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.client import HTTPConnection
from urllib.parse import urlsplit

from app.cli.connection import BoundedConnection
from app.cli.connections import Connections
from app.main import create_app
from app.settings import Settings
from app.store import migrate
from faults.trial import Figure, Trial
from tests.support.live_app import serving
from tests.support.service import Instance

METHODS = ("PROPFIND", "MKCOL", "LOCK", "REPORT", "PURGE", "SUBSCRIBE", "M-SEARCH", "TRACE", "LINK", "OPTIONS")
"""Of those that the parser of HTTP knows; any other is a bad request."""

MAX_NEW_SERIES = 450
"""100 event types and `other`, stored; and for the few new pairs of method and path, a count and a histogram."""


def run(trial: Trial) -> Iterator[Figure]:
    n_names = trial.times(test=104, short=300, long=10_000)
    with _address(trial) as address:
        before = _n_series(address)
        with closing(HTTPConnection(str(urlsplit(address).netloc), timeout=20)) as connection:
            for number in range(n_names):
                name = f"name-{trial.seed}-{number}"
                _ask(connection, METHODS[number % len(METHODS)], f"/{name}/{number}")
                _ask(connection, METHODS[number % len(METHODS)], "/livez")
                _ask(connection, "GET", f"/items/{name}?{name}=1")
                _ask(connection, "PUT", f"/event-types/{name}", b'{"weight": 1}')
                event = f'{{"event_id": "{name}", "type": "{name}", "user_id": "{name}", "item_id": "x"}}'
                _ask(connection, "POST", "/events", f'{{"events": [{event}]}}'.encode())
                # There may be 100 types at a time, and a type without events may be deleted.
                _ask(connection, "DELETE", f"/users/{name}")
                _ask(connection, "DELETE", f"/event-types/{name}")
        grown = _n_series(address) - before
    seen = f"+{grown} after {n_names:,} of each: methods, paths, event types"
    yield Figure("time series", f"+<= {MAX_NEW_SERIES}", seen, is_reached=grown <= MAX_NEW_SERIES)


@contextmanager
def _address(trial: Trial) -> Iterator[str]:
    folder = trial.fresh_folder("data")
    if trial.size == "test":
        migrate("", folder)
        protocol = partial(BoundedConnection, connections_of_all=Connections(0))
        with serving(create_app(Settings(data_dir=folder)), http=protocol, loop="uvloop") as address:
            yield address
        return
    instance = Instance(folder)
    instance.run("migrate")
    with instance.serving("--no-worker") as service:
        yield service.address


def _ask(connection: HTTPConnection, method: str, path: str, body: bytes | None = None) -> bytes:
    headers = {} if body is None else {"content-type": "application/json"}
    connection.request(method, path, body, headers)
    return connection.getresponse().read()


def _n_series(address: str) -> int:
    with closing(HTTPConnection(str(urlsplit(address).netloc), timeout=20)) as connection:
        text = _ask(connection, "GET", "/metrics").decode()
    return len(re.findall(r"^[a-z]", text, re.MULTILINE))
