"""The limit of a key holds for the sum of all processes, however the requests are spread over them."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from app.auth.errors import RateLimitedError
from app.auth.rate_limits import RateLimits, stored_limit
from app.store import Store, migrate
from faults.trial import Figure, Trial
from tests.support.keys import bearer, stored_key
from tests.support.service import Instance

TOLERANCE = 0.2
N_PROCESSES = 3
ASKED_TIMES = 4
"""Requests that are sent, as a multiple of the limit."""

Ask = Callable[[int], bool]
"""Sends one request over one of the connections, by its number; whether it was allowed."""


def run(trial: Trial) -> Iterator[Figure]:
    limit = trial.times(test=50, short=30, long=100)
    seconds = trial.times(test=1, short=5, long=30)
    for n_connections in (24,) if trial.size == "test" else (1, 24):
        with (counted if trial.size == "test" else served)(trial, limit, n_connections) as ask:
            n_asked, n_allowed = ask_for(ask, limit, seconds, n_connections)
        rate = n_allowed / seconds / limit
        yield Figure(
            f"allowed of a limit of {limit}/second, {n_connections} kept connections",
            "80-120 %",
            f"{rate:.0%}: {n_allowed:,} of {n_asked:,} requests in {seconds} s",
            is_reached=abs(rate - 1) <= TOLERANCE and n_asked > 1.5 * limit * seconds,
            is_timed=True,
        )


def ask_for(ask: Ask, limit: int, seconds: int, n_connections: int) -> tuple[int, int]:
    """Send steadily, and count what is allowed in whole windows after the first."""
    # The first window has no window before it, so a burst at its start would count twice as much.
    start = float(int(time.time()) + 2)
    counts = [0, 0]
    lock = threading.Lock()
    pause = n_connections / (limit * ASKED_TIMES)

    def keep_asking(number: int) -> None:
        due = start - 1.0
        while due < start + seconds:
            time.sleep(max(0.0, due - time.time()))
            asked_at = time.time()
            is_allowed = ask(number)
            if start <= asked_at < start + seconds:
                with lock:
                    counts[0] += 1
                    counts[1] += is_allowed
            # A sender that is late goes on from now: it never makes up for it in a burst.
            due = max(due + pause, time.time() - pause)

    threads = [threading.Thread(target=keep_asking, args=(number,)) for number in range(n_connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts[0], counts[1]


@contextmanager
def counted(trial: Trial, limit: int, _n_connections: int) -> Iterator[Ask]:
    """The counts of several processes, in this one."""
    file = trial.fresh_folder("counts") / "counts"
    processes = [RateLimits(file) for _ in range(N_PROCESSES)]
    item = stored_limit(f"{limit}/second")

    def ask(number: int) -> bool:
        try:
            processes[min(number, N_PROCESSES - 1)].count_request(item, "key")
        except RateLimitedError:
            return False
        return True

    yield ask


@contextmanager
def served(trial: Trial, limit: int, n_connections: int) -> Iterator[Ask]:
    folder = trial.fresh_folder("data")
    migrate("", folder)
    store = Store.open("", folder)
    key = bearer(stored_key(store, "recommendations:read", rate_limit=f"{limit}/second"))
    store.close()
    with Instance(folder).serving("--no-worker", "--processes", str(N_PROCESSES)) as service:
        host, port = urlsplit(service.address).hostname, urlsplit(service.address).port
        opened = [http.client.HTTPConnection(str(host), port, timeout=30) for _ in range(n_connections)]

        def ask(number: int) -> bool:
            opened[number].request("GET", "/charts/popular", headers=key)
            answer = opened[number].getresponse()
            answer.read()
            return answer.status == 200

        yield ask
        for each in opened:
            each.close()
