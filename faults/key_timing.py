"""How long it takes to refuse a key must not tell what is wrong with it.

After dudect (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant time?", 2017): keys of two kinds are checked in
random order, the slowest tenth of all checks is dropped as noise of the machine, and Welch's t compares the two means.
"""

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import numpy as np
from numpy.typing import NDArray

from app.auth.errors import UnauthorizedError
from app.auth.key_ring import KeyRing
from app.auth.keys import ALPHABET, new_text
from app.store import Store, migrate
from faults.trial import Figure, Trial
from tests.support.keys import made_key, stored_key

REACH = 4.5
KEPT = 0.9

Make = Callable[[], str]


def run(trial: Trial) -> Iterator[Figure]:
    folder = trial.fresh_folder("data")
    migrate("", folder)
    store = Store.open("", folder)
    try:
        makers, ring = kinds(store, trial), KeyRing(store.api_keys)
    finally:
        store.close()
    n = trial.times(test=5_000, short=100_000, long=1_000_000)
    unknown = makers.pop("unknown id")
    for kind, make in makers.items():
        t = welch(*times(ring, unknown, make, n, trial))
        yield Figure(
            f"Welch t, unknown id against {kind}",
            f"< {REACH}",
            f"{abs(t):.2f} over {n:,} checks",
            abs(t) < REACH,
            is_timed=True,
        )


def kinds(store: Store, trial: Trial) -> dict[str, Make]:
    """What makes the text of a key that is refused, by what is wrong with it.

    As many different texts as possible: how long the search for one digest takes depends on those that are stored.
    """
    n = trial.times(test=30, short=300, long=1_000)
    valid = [stored_key(store, "training") for _ in range(n)]
    ended = []
    for _ in range(n):
        text, key = made_key("training")
        now = datetime.now(UTC)
        is_revoked = trial.choose.random() < 0.5
        store.api_keys.add(replace(key, revoked_at=now) if is_revoked else replace(key, expires_at=now))
        ended.append(text)
    choose = trial.choose
    return {
        "unknown id": lambda: new_text("secret"),
        # Of all places of the secret, so that no early end of a comparison hides.
        "wrong secret": lambda: changed(choose.choice(valid), choose.randrange(16, 59), choose),
        "wrong last digits": lambda: changed(changed(choose.choice(valid), 58, choose), 57, choose),
        "wrong check digits": lambda: changed(changed(choose.choice(valid), 64, choose), 63, choose),
        "revoked or expired": lambda: choose.choice(ended),
    }


def changed(text: str, place: int, choose: Random) -> str:
    return text[:place] + choose.choice(ALPHABET.replace(text[place], "")) + text[place + 1 :]


def times(
    ring: KeyRing, first: Make, second: Make, n: int, trial: Trial
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nanoseconds of n checks of either kind in random order, without the slowest."""
    is_second = [trial.choose.random() < 0.5 for _ in range(n)]
    asked = [(second() if each else first()).encode() for each in is_second]
    taken = np.empty(n)
    clock, find = time.perf_counter_ns, ring.find
    gc.disable()
    try:
        for place, sent in enumerate(asked):
            # Made now, as from a header, so that every text is as warm in the caches of the processor as the next one.
            text = sent.decode()
            started = clock()
            try:
                find(text)
            except UnauthorizedError:
                taken[place] = clock() - started
            else:
                raise AssertionError("a key that is not valid was accepted")
    finally:
        gc.enable()
    is_kept = taken <= np.quantile(taken, KEPT)
    chosen = np.array(is_second)
    return taken[is_kept & ~chosen], taken[is_kept & chosen]


def welch(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """t = (mean_1 - mean_2) / sqrt(var_1 / n_1 + var_2 / n_2)"""
    spread = first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second)
    return float((first.mean() - second.mean()) / np.sqrt(spread))
