"""Peers that send slowly, too much or nonsense, or do not read, while others ask for lists and rate."""

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from app.cli.connection import BoundedConnection
from app.cli.connections import Connections
from app.main import create_app
from app.settings import Settings
from app.store import migrate
from faults.attacks import FLOODS, attack_in_a_process, flood
from faults.load import Request, load
from faults.trial import Figure, Trial
from tests.support.live_app import serving
from tests.support.service import Instance, write_ratings

PER_SECOND = 100
CUT_SECONDS = 10.5
"""The goal of 10 s, and the time in which the attacker notices."""


def run(trial: Trial) -> Iterator[Figure]:
    if trial.size == "test":
        yield from _floods_in_process(trial)
        return
    n_sockets = trial.times(test=0, short=60, long=500)
    instance = Instance(trial.fresh_folder("data"))
    instance.run("migrate")
    instance.run("import", str(write_ratings(trial.folder / "ratings.csv")))
    with instance.serving("--no-worker") as service:
        url = urlsplit(service.address)
        host, port = str(url.hostname), int(url.port or 0)
        (api,) = service.children()
        # Whatever is loaded at the first use is loaded before the measurement.
        attack_in_a_process(host, port, 0)
        service.get("/openapi.json")
        choose = partial(_good_request, trial.seed)
        with load(service.address, choose, per_second=PER_SECOND) as before:
            time.sleep(trial.times(test=0, short=5, long=30))
        memory = _resident_bytes(api, "VmRSS")
        Path(f"/proc/{api}/clear_refs").write_text("5")  # the peak begins anew
        with load(service.address, choose, per_second=PER_SECOND) as during:
            floods, cut = attack_in_a_process(host, port, n_sockets)
        grown = (_resident_bytes(api, "VmHWM") - memory) / 2**20
    slowest = max(floods, key=lambda name: floods[name].seconds)
    late = [name for name, outcome in floods.items() if outcome.seconds > 1]
    seen = f"{len(floods) - len(late)} of {len(floods)}, slowest: {slowest} {floods[slowest].seconds:.2f} s"
    yield Figure("floods and nonsense refused within 1 s", "all", seen, is_reached=not late, is_timed=True)
    times = [each for of_kind in cut.values() for each in of_kind]
    n_late = {name: sum(each > CUT_SECONDS for each in of_kind) for name, of_kind in cut.items()}
    late_kinds = ", ".join(f"{name}: {n}" for name, n in n_late.items() if n)
    seen = f"{len(times) - sum(n_late.values()):,} of {len(times):,}, slowest {max(times):.1f} s; {late_kinds}"
    yield Figure(
        "slow, silent and unread sockets cut off within 10 s", "all", seen, is_reached=not late_kinds, is_timed=True
    )
    failed = len(during) - during.count(200, 201)
    seen = f"{failed} of {len(during):,} ({during.statuses})"
    yield Figure("good requests meanwhile failed", "0", seen, is_reached=failed == 0)
    ratio = during.percentile(99) / before.percentile(99)
    seen = f"{ratio:.1f} x ({before.percentile(99) * 1e3:.1f} -> {during.percentile(99) * 1e3:.1f} ms)"
    yield Figure("p99 of good requests", "<= 3 x", seen, is_reached=ratio <= 3, is_timed=True)
    yield Figure("peak memory of the API process", "+<= 32 MiB", f"+{grown:.1f} MiB", is_reached=grown <= 32)


def _floods_in_process(trial: Trial) -> Iterator[Figure]:
    """Without a process of its own, in a second; the deadlines are tested in `tests/cli/test_connection.py`."""
    folder = trial.fresh_folder("data")
    migrate("", folder)
    protocol = partial(BoundedConnection, connections_of_all=Connections(512))
    app = create_app(Settings(data_dir=folder))
    with serving(app, http=protocol, ws="none", loop="uvloop") as address:
        url = urlsplit(address)
        where = str(url.hostname), int(url.port or 0)
        outcomes = {
            name: flood(f"127.0.1.{number}", where, parts())
            for number, (name, parts) in enumerate(FLOODS.items(), 1)
            if not name.startswith("50 MiB")
        }
    accepted = [name for name, outcome in outcomes.items() if outcome.seconds > 10]
    seen = f"{len(outcomes) - len(accepted)} of {len(outcomes)}"
    yield Figure("floods and nonsense refused", "all", seen, is_reached=not accepted)


def _good_request(seed: int, number: int) -> Request:
    user = (seed + number) % 60
    if number % 10:
        return Request("GET", f"/users/u{user}/recommendations")
    rating = {"user_id": f"u{user}", "item_id": f"i{number % 40}", "value": 1 + number % 5}
    return Request("POST", "/ratings", json.dumps(rating).encode())


def _resident_bytes(pid: int, field: str) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1_024
