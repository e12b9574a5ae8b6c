"""Three replicas on data folders of their own: one Postgres, one bucket, a balancer in front.

Ratings through one are asked for at the others; snapshots are published and swapped; replicas are restarted one by one
and killed under load; and one starts with an empty folder. Needs HAProxy and moto.
"""

import http.client
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

from app.snapshots.bucket import SnapshotBucket
from app.snapshots.folders import SnapshotFolders
from app.store import Store, migrate
from faults.api_processes import Connections, Processes
from faults.read_your_writes import write_and_read
from faults.trial import Figure, Trial
from tests.support.object_storage import s3_server
from tests.support.service import Instance, free_port, wait_until
from tests.support.trained import RATED_LIGHTLY, fill, publish

N_REPLICAS = 3
N_CLIENTS = 4
DRAIN_SECONDS = 2.0
"""The balancer takes a replica out after two probes of half a second."""

NOTICED_SECONDS = 1.5
SWAP_SECONDS, READY_SECONDS = 5.0, 20.0
PREFIX = "replicas"
LIST = "/users/user-1/recommendations"

HAPROXY = """
global
    maxconn 1000
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    option redispatch
    retries 2
    retry-on conn-failure empty-response
frontend reckon
    bind 127.0.0.1:{port}
    default_backend replicas
backend replicas
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host localhost
    default-server check inter 500ms fall 2 rise 1
{servers}
"""


@dataclass(slots=True)
class Replica:
    """`reckon serve --no-worker` at `port`."""

    instance: Instance
    port: int
    process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = self.instance.start("serve", "--no-worker", "--port", str(self.port))

    def is_ready(self) -> bool:
        return _status(self.address, "/readyz") == http.client.OK

    def stop(self) -> None:
        """As a platform does: all requests are answered first."""
        self._end([signal.SIGTERM])

    def kill(self) -> None:
        """All processes at once, the one that would start another first."""
        assert self.process is not None
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self.process.kill()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        self._end([])

    def _end(self, signals: list[signal.Signals]) -> None:
        if self.process is None:
            return
        for number in signals:
            self.process.send_signal(number)
        self.process.wait(120)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None


def _status(address: str, path: str) -> int:
    """0 if nothing answers."""
    with closing(http.client.HTTPConnection(address, timeout=10)) as connection:
        try:
            connection.request("GET", path)
            with connection.getresponse() as answer:
                answer.read()
                return answer.status
        except (OSError, http.client.HTTPException):
            return 0


@dataclass(slots=True)
class Load:
    """Clients of the balancer. `lost`: a text for each request that was not answered as it should."""

    address: str
    outcomes: Counter[str] = field(default_factory=Counter)
    stopping: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        clients = [threading.Thread(target=self._ask, args=(number,)) for number in range(N_CLIENTS)]
        for client in clients:
            client.start()
        try:
            yield self
        finally:
            self.stopping.set()
            for client in clients:
                client.join()

    @property
    def n(self) -> int:
        return self.outcomes.total()

    @property
    def n_lost(self) -> int:
        return self.n - sum(self.outcomes[status] for status in ("200", "201"))

    def _ask(self, number: int) -> None:
        """Three clients keep their connection; every tenth request is a rating."""
        is_lasting = number > 0
        with closing(http.client.HTTPConnection(self.address, timeout=60)) as connection:
            n = 0
            while not self.stopping.is_set():
                n += 1
                body = f'{{"user_id": "load-{number}", "item_id": "item-{n % 50}", "value": {1 + n % 5}}}'
                is_write = n % 10 == 0
                try:
                    if is_write:
                        headers = {"content-type": "application/json"}
                        connection.request("POST", "/ratings", body, headers)
                    else:
                        connection.request("GET", f"/users/user-{n % 100}/recommendations")
                    with connection.getresponse() as answer:
                        answer.read()
                        self.outcomes[str(answer.status)] += 1
                except (OSError, http.client.HTTPException) as error:
                    self.outcomes[type(error).__name__] += 1
                    connection.close()
                if not is_lasting:
                    connection.close()


@dataclass(slots=True)
class Fleet:
    """What runs: `publish` trains and returns the version."""

    replicas: list[Replica]
    balancer: str
    store: Store
    publish: Callable[[int], int]

    def versions(self) -> list[int | None]:
        """The snapshots by which the replicas answer now; None if one does not answer."""
        connections = Connections([each.address for each in self.replicas])
        with closing(connections):
            answers = [connections.send(place, "GET", LIST) for place in range(len(self.replicas))]
        return [
            None if answer is None or answer.status != http.client.OK else _version_in(answer.body)
            for answer in answers
        ]

    def seconds_until_all_serve(self, version: int) -> float:
        since = time.monotonic()
        wait_until(lambda: self.versions() == [version] * len(self.replicas), 60)
        return time.monotonic() - since


def _version_in(body: bytes) -> int | None:

    version: int | None = json.loads(body)["snapshot_version"]
    return version


def missing() -> str | None:
    """What this machine lacks, None if it has all."""
    if find_spec("moto") is None:
        return "moto is not installed"
    return None if shutil.which("haproxy") else "haproxy is not installed"


@contextmanager
def fleet(trial: Trial) -> Iterator[Fleet]:
    with ExitStack() as stack:
        url = stack.enter_context(stack.enter_context(trial.postgres()).database())
        server = stack.enter_context(s3_server(trial.fresh_folder("s3")))
        environment = server.environment(PREFIX)
        stack.enter_context(mock.patch.dict(os.environ, environment))
        trainer = Instance(trial.fresh_folder("trainer"), url)
        migrate(url, trainer.data_dir)
        store = stack.enter_context(closing(Store.open(url, trainer.data_dir)))
        fill(store)
        folders = SnapshotFolders(trainer.data_dir, SnapshotBucket.at(environment["RECKON_SNAPSHOT_URL"]))

        def train(seed: int) -> int:
            return publish(store, folders, seed, RATED_LIGHTLY)

        train(0)
        settings = environment | {
            "RECKON_SNAPSHOT_POLL_SECONDS": "0.5",
            "RECKON_DRAIN_SECONDS": str(DRAIN_SECONDS),
            "RECKON_REQUIRE_KEYS": "false",
        }
        replicas = []
        for number in range(N_REPLICAS):
            instance = Instance(trial.fresh_folder(f"replica-{number}"), url, settings=settings)
            replicas.append(Replica(instance, free_port()))
            replicas[-1].start()
            stack.callback(replicas[-1].stop)
        for each in replicas:
            wait_until(each.is_ready, 180)
        balancer = stack.enter_context(_balancer(trial, replicas))
        yield Fleet(replicas, balancer, store, train)


@contextmanager
def _balancer(trial: Trial, replicas: list[Replica]) -> Iterator[str]:
    port = free_port()
    servers = "\n".join(f"    server r{number} {each.address}" for number, each in enumerate(replicas))
    file = trial.fresh_folder("haproxy") / "haproxy.cfg"
    file.write_text(HAPROXY.format(port=port, servers=servers))
    with (file.parent / "haproxy.log").open("ab") as log:
        process = subprocess.Popen(["haproxy", "-f", str(file), "-db"], stdout=log, stderr=log)  # noqa: S607
    try:
        wait_until(lambda: _status(f"127.0.0.1:{port}", LIST) == http.client.OK, 60)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def run(trial: Trial) -> Iterator[Figure]:
    if (lack := missing()) is not None:
        yield Figure("replicas", "tried", f"skipped: {lack}", is_reached=True)
        return
    with fleet(trial) as running:
        yield _swaps(trial, running)  # first: of the random ratings of the next one, training may refuse to learn
        yield _fresh(trial, running)
        yield _rolling_restart(trial, running)
        yield _killed(trial, running)
        yield from _empty_folder(running)


def _fresh(trial: Trial, fleet: Fleet) -> Figure:
    """As the fault `read_your_writes`, across machines."""
    processes = Processes(fleet.replicas[0].instance, [each.address for each in fleet.replicas], [])
    counted = write_and_read(trial, processes, trial.times(test=60, short=120, long=1_800))
    n = counted.strategies.total()
    seen = f"{len(counted.stale)} of {n} lists after {counted.n_writes} writes, {len(counted.failed)} requests failed"
    is_reached = not counted.stale and not counted.failed and n >= trial.times(test=100, short=300, long=5_000)
    seen = "; ".join([seen, *counted.stale[:3], *counted.failed[:3]])
    return Figure("lists of other replicas that do not know a rating", "0", seen, is_reached)


def _swaps(trial: Trial, fleet: Fleet) -> Figure:
    """From the registration, the download included, and between snapshots that are there already."""
    seeds = range(1, 1 + trial.times(test=1, short=1, long=3))
    seconds = [fleet.seconds_until_all_serve(fleet.publish(seed)) for seed in seeds]
    for version in (1, fleet.store.snapshots.entries()[0].version):
        fleet.store.snapshots.activate(version)
        seconds.append(fleet.seconds_until_all_serve(version))
    fleet.store.snapshots.activate(None)
    shown = ", ".join(f"{each:.1f}" for each in seconds)
    is_reached = max(seconds) <= SWAP_SECONDS
    return Figure("a swap reaches all replicas", f"<= {SWAP_SECONDS:.0f} s", f"{shown} s", is_reached, is_timed=True)


def _rolling_restart(trial: Trial, fleet: Fleet) -> Figure:
    least = trial.times(test=500, short=1_500, long=20_000)
    with Load(fleet.balancer).running() as load:
        for each in fleet.replicas:
            each.stop()
            each.start()
            wait_until(each.is_ready, 120)
            time.sleep(NOTICED_SECONDS)
        wait_until(lambda: load.n >= least, 1_800)
    seen = f"{load.n_lost} of {load.n}" + (f": {dict(load.outcomes)}" if load.n_lost else "")
    what = "requests lost by restarting all replicas in turn"
    return Figure(what, "0", seen, is_reached=load.n_lost == 0 and load.n >= least)


def _killed(trial: Trial, fleet: Fleet) -> Figure:
    """At most what a client had in flight at that replica; the balancer repeats what was not answered at all."""
    n_kills = trial.times(test=1, short=1, long=5)
    with Load(fleet.balancer).running() as load:
        for number in range(n_kills):
            victim = fleet.replicas[number % N_REPLICAS]
            time.sleep(1.0)
            victim.kill()
            time.sleep(3.0)
            victim.start()
            wait_until(victim.is_ready, 120)
            time.sleep(NOTICED_SECONDS)
    most = n_kills * N_CLIENTS
    seen = f"{load.n_lost} of {load.n} over {n_kills} kills, {N_CLIENTS} in flight"
    seen += f": {dict(load.outcomes)}" if load.n_lost else ""
    return Figure("requests lost by SIGKILL of a replica", f"<= {most} in flight", seen, load.n_lost <= most)


def _empty_folder(fleet: Fleet) -> Iterator[Figure]:
    """Ready with the live snapshot, and never without it."""
    live = fleet.store.snapshots.live()
    assert live is not None
    replica = fleet.replicas[0]
    replica.stop()
    shutil.rmtree(replica.instance.data_dir / "snapshots")
    since = time.monotonic()
    replica.start()
    wait_until(replica.is_ready, 120)
    seconds = time.monotonic() - since
    version = fleet.versions()[0]
    what = "from an empty folder to ready, the start included"
    yield Figure(what, f"<= {READY_SECONDS:.0f} s", f"{seconds:.1f} s", seconds <= READY_SECONDS, is_timed=True)
    seen = f"snapshot {version} of {live.version}"
    yield Figure("ready with the live snapshot", "always", seen, is_reached=version == live.version)
