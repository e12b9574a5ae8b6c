"""Ratings, and lists asked for after them, over random processes while the live snapshot changes all the time.

A writer takes an item of a user's list, rates it at one process, and asks another one: the item must be gone. Every
third time it deletes the rating again, after which the item must be back, since the lists hold all items there are.
"""

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from faults.api_processes import Connections, Processes, api_processes
from faults.trial import Figure, Trial
from tests.support.trained import N_RATED, RATED_LIGHTLY, fill, train

N_WRITERS = 6
USERS_OF_A_WRITER = 10
TRIALS_WITH_A_USER = 8


@dataclass(slots=True)
class Counted:
    """`stale`: a text for each list that did not know the write before it."""

    strategies: Counter[str] = field(default_factory=Counter)
    versions: Counter[int] = field(default_factory=Counter)
    stale: list[str] = field(default_factory=list)


def run(trial: Trial) -> Iterator[Figure]:
    for kind in ["sqlite"] if trial.size == "test" else ["sqlite", "postgres"]:
        with api_processes(trial, kind, trial.times(test=2, short=3, long=3)) as processes:
            with processes.store() as store:
                fill(store)
                versions = [train(store, processes.instance.data_dir, seed, RATED_LIGHTLY) for seed in (0, 1)]
            n_writes = trial.times(test=60, short=1_200, long=10_400)
            with _swapping(processes, versions) as swaps:
                counted = _write_and_read(trial, processes, n_writes)
        seen = (
            f"{len(counted.stale)} of {counted.strategies.total()} on {kind}: {len(processes.addresses)} processes,"
            f" {len(swaps)} activations, lists of {len(counted.versions)} snapshots, {dict(counted.strategies)}"
        )
        is_reached = not counted.stale and counted.strategies.total() >= n_writes
        yield Figure("lists that do not know the write before", "0", "; ".join([seen, *counted.stale[:3]]), is_reached)


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


def _write_and_read(trial: Trial, processes: Processes, n_writes: int) -> Counted:
    counted = Counted()
    seeds = [trial.choose.random() for _ in range(N_WRITERS)]

    def work(writer: int) -> None:
        choose = random.Random(seeds[writer])  # noqa: S311  repeatable choices, no secrets
        with processes.connections() as connections:
            for number in range(n_writes // N_WRITERS):
                # Users of the snapshot and new ones; no two writers share one.
                user = writer + N_WRITERS * (number // TRIALS_WITH_A_USER % USERS_OF_A_WRITER)
                _write_once(choose, connections, f"user-{user}" if number % 5 else f"new-{user}-{number}", counted)

    with ThreadPoolExecutor(N_WRITERS) as threads:
        list(threads.map(work, range(N_WRITERS)))
    return counted


def _write_once(choose: random.Random, connections: Connections, user_id: str, counted: Counted) -> None:
    items, _ = _list_of(choose, connections, user_id, counted)
    item_id = choose.choice(items) if items else f"item-{choose.randrange(N_RATED)}"
    _check(choose, connections, user_id, item_id, counted, is_rated=True)
    # Otherwise the user would soon have rated everything.
    if len(items) < N_RATED // 2 or choose.random() < 1 / 3:
        _check(choose, connections, user_id, item_id, counted, is_rated=False)


def _check(
    choose: random.Random, connections: Connections, user_id: str, item_id: str, counted: Counted, *, is_rated: bool
) -> None:
    writer = choose.randrange(len(connections))
    if is_rated:
        body = {"user_id": user_id, "item_id": item_id, "value": choose.randint(1, 5)}
        answer = connections.send(writer, "POST", "/ratings", body)
    else:
        answer = connections.send(writer, "DELETE", f"/users/{user_id}/ratings/{item_id}")
    if answer is None or answer.status not in {200, 201, 204}:
        counted.stale.append(f"the write failed: {answer}")
        return
    items, described = _list_of(choose, connections, user_id, counted)
    counted.strategies[described["strategy"]] += 1
    counted.versions[described["snapshot_version"]] += 1
    if (item_id in items) is is_rated:
        done = "rated" if is_rated else "deleted"
        counted.stale.append(f"{user_id}, {item_id} {done} at {writer}: {answer.body[:120]!r} {described}")


def _list_of(
    choose: random.Random, connections: Connections, user_id: str, counted: Counted
) -> tuple[list[str], dict[str, Any]]:
    """The ids of all items in the user's list, and the rest of the answer with the place that gave it."""
    place = choose.randrange(len(connections))
    answer = connections.send(place, "GET", f"/users/{user_id}/recommendations?limit=100")
    if answer is None or answer.status != 200:
        counted.stale.append(f"the list failed: {answer}")
        return [], {"strategy": "none", "snapshot_version": 0}
    described = json.loads(answer.body)
    items = described.pop("items")
    return [item["item_id"] for item in items], described | {"place": place}
