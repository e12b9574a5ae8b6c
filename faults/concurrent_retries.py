"""Requests with an Idempotency-Key, each sent by several threads at once to processes that are killed meanwhile.

Two kinds of requests, of which a second effect would show: a batch that rates one item twice, which leaves two changes
each time it is stored; and a merge of a guest, which is answered with 404 where the guest is gone.
"""

import random
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from app.store import Store
from faults.api_processes import Processes, Reply, api_processes, patiently
from faults.trial import Figure, Trial
from tests.support.ratings import incoming

N_THREADS = 16
N_AT_ONCE = 4


@dataclass(slots=True)
class Keyed:
    """One key, its request, and the answers to all posts of it."""

    number: int
    replies: list[Reply] = field(default_factory=list)

    @property
    def is_merge(self) -> bool:
        return self.number % 4 == 0

    @property
    def request(self) -> tuple[str, object]:
        if self.is_merge:
            return f"/users/merged{self.number}/merge/guest{self.number}", None
        row = {"user_id": f"rater{self.number}", "item_id": "alien"}
        return "/ratings/batch", {"ratings": [{**row, "value": 1}, {**row, "value": 5}]}

    @property
    def fault(self) -> str | None:
        """What is wrong with the answers."""
        if any(reply.status != 200 for reply in self.replies):
            return f"status {[reply.status for reply in self.replies]}"
        if len({reply.body for reply in self.replies}) != 1:
            return "different answers"
        # The first answer may be lost with its process.
        n_first = sum(not reply.is_replayed for reply in self.replies)
        return None if n_first <= 1 else f"carried out {n_first} times"


def run(trial: Trial) -> Iterator[Figure]:
    n_processes = trial.times(test=2, short=2, long=3)
    for kind in ["sqlite"] if trial.size == "test" else ["sqlite", "postgres"]:
        keys = [Keyed(number) for number in range(trial.times(test=24, short=60, long=2_400))]
        with api_processes(trial, kind, n_processes) as processes, processes.store() as store:
            guests = [(f"guest{key.number}", "alien", 3) for key in keys if key.is_merge]
            store.ratings.record(incoming(*guests))
            n_kills = _post_all(trial, processes, keys)
            faults = [fault for key in keys if (fault := key.fault)] + _wrong_effects(store, keys)
        n_posts = sum(len(key.replies) for key in keys)
        n_replayed = sum(reply.is_replayed for key in keys for reply in key.replies)
        seen = f"{len(faults)} of {len(keys)} on {kind}: {n_posts} posts, {n_replayed} replayed, {n_kills} kills"
        yield Figure("keys with other than one effect", "0", "; ".join([seen, *faults[:1]]), is_reached=not faults)


def _post_all(trial: Trial, processes: Processes, keys: list[Keyed]) -> int:
    """Posts every key `N_AT_ONCE` times; returns how many processes were killed meanwhile."""
    seeds = [trial.choose.random() for _ in range(N_THREADS)]
    # Interleaved so that posts of one key are made by threads that work at the same time.
    waiting = deque(key for key in keys for _ in range(N_AT_ONCE))

    def work(seed: float) -> None:
        choose = random.Random(seed)  # noqa: S311  repeatable choices, no secrets
        with processes.connections() as connections:
            while True:
                try:
                    key = waiting.popleft()
                except IndexError:
                    return
                path, body = key.request
                key.replies.append(patiently(connections, choose, "POST", path, body, f"key-{key.number}"))

    with processes.being_killed(trial.choose, every_seconds=1.0) as killed, ThreadPoolExecutor(N_THREADS) as threads:
        list(threads.map(work, seeds))
    return len(killed)


def _wrong_effects(store: Store, keys: list[Keyed]) -> list[str]:
    with store.database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT user_id, version FROM users").all()
        versions: dict[str, int] = dict(map(tuple, rows))
    # A batch changes the rating twice, a merge moves one.
    expected = {f"merged{key.number}": 1 for key in keys if key.is_merge}
    expected |= {f"rater{key.number}": 2 for key in keys if not key.is_merge}
    return [
        f"{user_id}: {versions.get(user_id)} changes" for user_id, n in expected.items() if versions.get(user_id) != n
    ]
