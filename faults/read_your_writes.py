"""Ratings, and lists asked for after them, over random processes while the live snapshot changes all the time.

A writer takes an item of a user's list, rates it at one process, sometimes as a guest whom it merges into the user at
another, and asks every process: the item must be gone. Every third time it deletes the rating again, after which the
item must be back, since the lists hold all items there are. Each list is asked for with the entity tag of the one
before, which must not be confirmed.
"""

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from faults.api_processes import Connections, Processes, api_processes
from faults.trial import Figure, Trial
from tests.support.trained import N_RATED, RATED_LIGHTLY, fill, train

N_WRITERS = 6
USERS_OF_A_WRITER = 10
TRIALS_WITH_A_USER = 8


@dataclass(slots=True)
class Counted:
    """`n_degraded`: lists that say that they were made from memory, and need not know the write before.

    `stale`: a text for each other list that did not. `failed`: a text for each request that was refused or lost.
    """

    n_writes: int = 0
    n_degraded: int = 0
    strategies: Counter[str] = field(default_factory=Counter)
    versions: Counter[int] = field(default_factory=Counter)
    stale: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def run(trial: Trial) -> Iterator[Figure]:
    for kind in ["sqlite"] if trial.size == "test" else ["sqlite", "postgres"]:
        with api_processes(trial, kind, trial.times(test=2, short=3, long=3)) as processes:
            with processes.store() as store:
                fill(store)
                versions = [train(store, processes.instance.data_dir, seed, RATED_LIGHTLY) for seed in (0, 1)]
            n_writes = trial.times(test=60, short=500, long=5_000)
            with _swapping(processes, versions) as swaps:
                counted = write_and_read(trial, processes, n_writes)
        n = counted.strategies.total()
        seen = (
            f"{len(counted.stale)} of {n} on {kind}: {counted.n_writes} writes, {len(processes.addresses)} processes,"
            f" {len(swaps)} activations, lists of {len(counted.versions)} snapshots, {dict(counted.strategies)}"
        )
        is_reached = not counted.stale and n > n_writes // 2
        yield Figure("lists that do not know the write before", "0", "; ".join([seen, *counted.stale[:3]]), is_reached)
        seen = f"{len(counted.failed)} failed, {counted.n_degraded} lists degraded"
        yield Figure(
            "requests that fail, or are answered from memory, on a busy machine",
            "0",
            "; ".join([seen, *counted.failed[:3]]),
            is_reached=not counted.failed and not counted.n_degraded,
            is_timed=True,
        )


@contextmanager
def _swapping(processes: Processes, versions: list[int]) -> Iterator[list[int]]:
    """Activates one snapshot after the other until the block ends."""
    swaps: list[int] = []
    stopping = threading.Event()

    def swap() -> None:
        with processes.connections() as connections:
            while not stopping.wait(0.15):
                version = versions[len(swaps) % len(versions)]
                answer = connections.send(0, "POST", f"/snapshots/{version}/activate")
                if answer is not None and answer.status == 200:
                    swaps.append(version)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield swaps
    finally:
        stopping.set()
        thread.join()


def write_and_read(trial: Trial, processes: Processes, n_writes: int) -> Counted:
    counted = Counted()
    seeds = [trial.choose.random() for _ in range(N_WRITERS)]

    def work(writer: int) -> None:
        choose = random.Random(seeds[writer])  # noqa: S311  repeatable choices, no secrets
        with processes.connections() as connections:
            for number in range(n_writes // N_WRITERS):
                # Users of the snapshot and new ones; no two writers share one.
                user = writer + N_WRITERS * (number // TRIALS_WITH_A_USER % USERS_OF_A_WRITER)
                user_id = f"user-{user}" if number % 5 else f"new-{user}-{number}"
                Writer(choose, connections, counted, user_id).write_once(number)

    with ThreadPoolExecutor(N_WRITERS) as threads:
        list(threads.map(work, range(N_WRITERS)))
    return counted


@dataclass(slots=True)
class Writer:
    """Writes for one user and reads the lists of that user. `entity_tag`: of the list received last."""

    choose: random.Random
    connections: Connections
    counted: Counted
    user_id: str
    entity_tag: str = ""

    def write_once(self, number: int) -> None:
        items = self._list_at(self._any_place()) or []
        item_id = self.choose.choice(items) if items else f"item-{self.choose.randrange(N_RATED)}"
        if not self._rate(item_id, f"guest-{self.user_id}-{number}"):
            return
        self._check(item_id, is_rated=True)
        # Otherwise the user would soon have rated everything.
        path = f"/users/{self.user_id}/ratings/{item_id}"
        if (len(items) < N_RATED // 2 or self.choose.random() < 1 / 3) and self._sent("DELETE", path):
            self._check(item_id, is_rated=False)

    def _rate(self, item_id: str, guest_id: str) -> bool:
        """Whether the rating is stored; one in ten is that of a guest who becomes the user."""
        is_guest = self.choose.random() < 0.1
        rater_id = guest_id if is_guest else self.user_id
        body = {"user_id": rater_id, "item_id": item_id, "value": self.choose.randint(1, 5)}
        if not self._sent("POST", "/ratings", body):
            return False
        return not is_guest or self._sent("POST", f"/users/{self.user_id}/merge/{guest_id}")

    def _any_place(self) -> int:
        return self.choose.randrange(len(self.connections))

    def _sent(self, method: str, path: str, body: object = None) -> bool:
        answer = self.connections.send(self._any_place(), method, path, body)
        is_done = answer is not None and answer.status in {200, 201, 204}
        if is_done:
            self.counted.n_writes += 1
        else:
            self.counted.failed.append(f"{method} {path}: {answer}")
        return is_done

    def _check(self, item_id: str, *, is_rated: bool) -> None:
        """The lists of all processes, in random order."""
        entity_tag = self.entity_tag
        for place in self.choose.sample(range(len(self.connections)), len(self.connections)):
            items = self._list_at(place, entity_tag)
            if items is not None and (item_id in items) is is_rated:
                done = "rated" if is_rated else "deleted"
                self.counted.stale.append(f"{item_id} of {self.user_id} {done}, {items} at {place}")

    def _list_at(self, place: int, entity_tag: str = "") -> list[str] | None:
        """The ids of all items in the user's list; None where the answer says that it may be old, or is none.

        `entity_tag`: of a list that is no longer current.
        """
        path = f"/users/{self.user_id}/recommendations?limit=100"
        answer = self.connections.send(place, "GET", path, headers={"if-none-match": entity_tag} if entity_tag else {})
        if answer is not None and answer.status == 304:
            self.counted.stale.append(f"{entity_tag} of {self.user_id} confirmed at {place}")
            return None
        if answer is None or answer.status != 200:
            self.counted.failed.append(f"GET {path}: {answer}")
            return None
        described = json.loads(answer.body)
        if described.get("degraded"):
            self.counted.n_degraded += 1
            return None
        self.entity_tag = answer.headers["etag"]
        self.counted.strategies[described["strategy"]] += 1
        self.counted.versions[described["snapshot_version"]] += 1
        return [item["item_id"] for item in described["items"]]
