"""Rolling restarts under load, over keep-alive and new connections: every request is answered."""

import http.client
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress

from faults.trial import Figure, Trial
from tests.support.service import Instance, RunningService, wait_until, write_ratings

PAUSE_SECONDS = 0.02
"""Between the requests of one client."""


def run(trial: Trial) -> Iterator[Figure]:
    n_restarts = trial.times(test=1, short=3, long=100)
    instance = Instance(trial.fresh_folder("service"))
    instance.run("migrate")
    instance.run("import", str(write_ratings(instance.data_dir / "ratings.csv")))
    outcomes: Counter[str] = Counter()
    longest = 0.0
    with instance.serving("--no-worker", "--processes", "2") as service:
        stopping = threading.Event()
        clients = [
            threading.Thread(target=_ask, args=(service, stopping, outcomes, is_lasting))
            for is_lasting in (True, True, True, False)
        ]
        for client in clients:
            client.start()
        for _ in range(n_restarts):
            before, started = set(service.children()), time.monotonic()
            service.process.send_signal(signal.SIGUSR2)
            wait_until(lambda before=before: _is_replaced(service, before), 90)  # type: ignore[misc]  # mypy takes no default
            longest = max(longest, time.monotonic() - started)
        stopping.set()
        for client in clients:
            client.join()
    n, failed = sum(outcomes.values()), sum(outcomes.values()) - outcomes["200"]
    seen = f"{failed} of {n} over {n_restarts} restarts of 2 processes, the longest {longest:.1f} s"
    if failed:
        seen += f": {dict(outcomes)}"
    yield Figure("requests failed over rolling restarts", "0", seen, is_reached=failed == 0 and n > 0)


def _is_replaced(service: RunningService, before: set[int]) -> bool:
    now = set(service.children())
    return len(now) == len(before) and not now & before


def _ask(service: RunningService, stopping: threading.Event, outcomes: Counter[str], is_lasting: bool) -> None:
    host = service.address.removeprefix("http://")
    with closing(http.client.HTTPConnection(host, timeout=20)) as connection:
        while not stopping.wait(PAUSE_SECONDS):
            try:
                connection.request("GET", "/users/u1/recommendations")
                with connection.getresponse() as answer:
                    answer.read()
                    outcomes[str(answer.status)] += 1
            except (OSError, http.client.HTTPException) as error:
                outcomes[type(error).__name__] += 1
                with suppress(OSError):
                    connection.close()
            if not is_lasting:
                connection.close()
