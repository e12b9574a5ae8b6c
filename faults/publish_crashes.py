"""A publisher that is killed at each of its calls to the system, or whose calls fail: old or new, never neither.

Each attempt is a process of its own, forked with everything learned. A shim counts its calls that change the disk, and
acts at one of them.
"""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from structlog.testing import capture_logs

from app.errors import ReckonError
from app.scoring import open_snapshot
from app.snapshots.folders import SnapshotFolders
from app.store import Store
from app.training.publisher import Publisher
from app.training.run import Trainer
from faults.gate import QUICK
from faults.trial import Figure, Trial
from tests.support.published import opened_shop
from tests.support.user_states import tasteful_ratings

CALLS = ("mkdir", "open", "write", "fsync", "close", "rename")

Harm = Literal["kill", "ENOSPC", "EIO", "MemoryError"]
HARMS: tuple[Harm, ...] = ("kill", "ENOSPC", "EIO", "MemoryError")


@dataclass
class Shim:
    """In place of functions of `os`: does harm at call number `step`, and at all later ones if `is_lasting`."""

    step: int
    harm: Harm = "kill"
    is_lasting: bool = False
    n_calls: int = 0
    real: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def install(self) -> None:
        for name in CALLS:
            self.real[name] = getattr(os, name)
            setattr(os, name, self._watched(name))

    def _watched(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self.n_calls += 1
            if self.n_calls == self.step or (self.is_lasting and self.n_calls > self.step):
                self._harm()
            return self.real[name](*arguments, **named)

        return call

    def _harm(self) -> None:
        if self.harm == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.harm == "MemoryError":
            raise MemoryError
        number = errno.ENOSPC if self.harm == "ENOSPC" else errno.EIO
        raise OSError(number, os.strerror(number))


class Recording(Publisher):
    """Keeps what it is given in `GIVEN`, to publish it again."""

    def publish(self, *learned: Any, **options: Any) -> int:
        GIVEN["learned"], GIVEN["options"] = learned, options
        return super().publish(*learned, **options)


GIVEN: dict[str, Any] = {}


def run(trial: Trial) -> Iterator[Figure]:
    folder = trial.fresh_folder("shop")
    with capture_logs(), opened_shop(folder, tasteful_ratings()) as shop:
        shop.train(QUICK)
        learner = Trainer(shop.store, Recording(shop.store, SnapshotFolders(folder)))
        shop.store.jobs.enqueue("request", recipe=QUICK)
        claim = shop.store.jobs.claim("a-worker", lease_seconds=0)
        if claim is None:
            raise LookupError("no job to claim")
        learner.run(claim)
    n_steps = _attempt(folder, Shim(step=0))
    steps = range(1, n_steps + 1)
    attempts = [(step, harm, lasts) for step in steps for harm in HARMS for lasts in (False, True)]
    # A killed process makes no more calls.
    attempts = [(step, harm, lasts) for step, harm, lasts in attempts if not (harm == "kill" and lasts)]
    n = min(trial.times(test=6, short=40, long=len(attempts)), len(attempts))
    wrong: list[str] = []
    for step, harm, lasts in trial.choose.sample(attempts, n):
        before = _live(folder)
        _attempt(folder, Shim(step, harm, lasts))
        after = _live(folder)
        if after is None or before is None or after < before:
            wrong.append(f"{harm} at call {step}: {before} -> {after}")
    seen = f"{n - len(wrong)} of {n}, over {n_steps} calls" + (f"; {wrong[0]}" if wrong else "")
    yield Figure("publishing was killed or failed: old or new is live", "always", seen, is_reached=not wrong)
    _attempt(folder, Shim(step=0))
    last = _live(folder)
    _attempt(folder, Shim(step=0))
    is_better = last is not None and (_live(folder) or 0) > last
    yield Figure("a later run publishes", "yes", "yes" if is_better else "no", is_reached=is_better)


def _attempt(folder: Path, shim: Shim) -> int:
    """Publish in a process of its own; the number of calls it made, 0 if it was killed or failed."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            with capture_logs():
                _publish(folder, shim)
            os.write(writer, str(shim.n_calls).encode())
        except BaseException:  # noqa: BLE001  the process ends, whatever it was
            os._exit(1)
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as told:
        return int(told.read() or 0)


def _publish(folder: Path, shim: Shim) -> None:
    with closing(Store.open("", folder)) as store:
        store.jobs.enqueue("request", recipe=QUICK)
        # Its lease has expired for the next attempt at once.
        claim = store.jobs.claim("a-worker", lease_seconds=0)
        if claim is None:
            raise LookupError("no job to claim")
        publisher = Publisher(store, SnapshotFolders(folder))
        learned, evaluated, dataset, _, *rest = GIVEN["learned"]
        shim.install()
        try:
            publisher.publish(learned, evaluated, dataset, claim, *rest, **GIVEN["options"])
            publisher.tidy()
        finally:
            n_calls = shim.n_calls
            for name, function in shim.real.items():
                setattr(os, name, function)
            shim.n_calls = n_calls


def _live(folder: Path) -> int | None:
    """The version of the live snapshot, if it can be opened."""
    with closing(Store.open("", folder)) as store:
        entry = store.snapshots.live()
        if entry is None:
            return None
        try:
            open_snapshot(folder / entry.path, store.instance.database_id, entry.version, entry.digest)
        except ReckonError:
            return None
        return entry.version
