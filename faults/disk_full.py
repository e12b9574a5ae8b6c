"""The disk of the SQLite database fills up: by the service itself, and by another program."""

import itertools
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from app.entities import User
from app.errors import StorageFullError
from app.store import Store, migrate
from faults.trial import Figure, Trial
from faults.write_load import WriteLoad, n_lost, stored_rows
from tests.support.service import Instance, RunningService
from tests.support.volume import fill, small_volume

HEALING_SECONDS = 5.0
ROOM_BYTES = 8 << 20
"""What another program leaves of the disk at first, so that the service fills the rest in seconds."""


def run(trial: Trial) -> Iterator[Figure]:
    for _ in range(trial.times(test=1, short=1, long=10)):
        with small_volume(trial.fresh_folder("disk"), trial.times(test=8, short=24, long=24)) as folder:
            if folder is None:
                yield Figure("full disk", "as below", "not run: only root may mount a file system", is_reached=True)
                return
            yield from _in_process(folder) if trial.size == "test" else _served(folder)


def _served(folder: Path) -> Iterator[Figure]:
    data_dir = folder / "data"
    data_dir.mkdir()
    migrate("", data_dir)
    instance, load = Instance(data_dir), WriteLoad()
    other = folder / "other"
    other.write_bytes(bytes(shutil.disk_usage(folder).free - ROOM_BYTES))
    # No load writes them, so that all that a load has written must be there in the end.
    to_delete = [{"user_id": f"deleted-{n}", "item_id": "i1", "value": 3} for n in range(80)]
    deleted = itertools.count()
    with instance.serving("--no-worker") as service:
        assert service.call("POST", "/ratings/batch", {"ratings": to_delete})[0] == 200
        _write_until_full(service, load)
        yield _figure("full by itself", service, load, deleted)
        filler = fill(folder)
        yield _figure("full by another program", service, load, deleted)
    with instance.serving("--no-worker") as service:
        yield _figure("still full after a restart", service, load, deleted)
        filler.unlink()
        other.unlink()
        yield _healing("room after a restart", service)
        filler = fill(folder)
        yield _figure("full again", service, load, deleted)
        filler.unlink()
        yield _healing("room in the running service", service)
    acknowledged = load.acknowledged()
    lost = n_lost(acknowledged, stored_rows(data_dir / "reckon.db"))
    yield Figure(
        "full disk: acknowledged and lost",
        "0",
        f"{lost} of {sum(len(each.batch.rows) for each in acknowledged)}",
        lost == 0,
    )


def _in_process(folder: Path) -> Iterator[Figure]:
    migrate("", folder)
    store = Store.open("", folder)
    n_stored = sum(_is_stored(store, f"user-{n}") for n in range(5))
    filler = fill(folder)
    is_refused = not _is_stored(store, "late") or (fill(folder) and not _is_stored(store, "late"))
    n_deleted = sum(store.users.delete(f"user-0-{n}") is not None for n in range(50))
    filler.unlink()
    heals = _is_stored(store, "late")
    store.close()
    yield Figure(
        "full disk of one process",
        "writes refused, deletions pass, writes pass when there is room",
        f"{n_stored} of 5 writes before; refused: {is_refused}; {n_deleted} of 50 deletions; pass later: {heals}",
        is_reached=n_stored == 5 and bool(is_refused) and n_deleted == 50 and heals,
    )


def _is_stored(store: Store, name: str) -> bool:
    try:
        store.users.record([User(f"{name}-{n}") for n in range(500)])
    except StorageFullError:
        return False
    return True


def _write_until_full(service: RunningService, load: WriteLoad) -> None:
    deadline = time.monotonic() + 120
    with load.to_service(service.address, n_writers=2, size=500):
        while time.monotonic() < deadline and {each.status for each in load.outcomes[-30:]} != {507}:
            time.sleep(0.02)


def _figure(what: str, service: RunningService, load: WriteLoad, deleted: Iterator[int]) -> Figure:
    n = len(load.outcomes)
    with load.to_service(service.address, n_writers=1, size=500):
        while len(load.outcomes) < n + 40:
            time.sleep(0.02)
    # Some may pass: the first of them empties the log, which makes room.
    writes = Counter(each.status for each in load.outcomes[-30:])
    reads = Counter(service.call("GET", path)[0] for path in ("/users/u1/recommendations", "/items?limit=5") * 20)
    deletions: Counter[int] = Counter()
    for number in itertools.islice(deleted, 10):
        deletions[service.call("DELETE", f"/users/deleted-{number}/ratings/i1")[0]] += 1
        deletions[service.call("DELETE", f"/users/deleted-{number}")[0]] += 1
    broken = "".join(sorted({f" ({each.detail})" for each in load.outcomes[-30:] if each.status == 0}))
    is_reached = set(writes) == {507} and set(reads) == {200} and set(deletions) == {204}
    return Figure(
        f"disk {what}",
        "writes 507, reads 200, deletions 204",
        f"writes {dict(writes)}{broken}, reads {dict(reads)}, deletions {dict(deletions)}",
        is_reached,
    )


def _healing(what: str, service: RunningService) -> Figure:
    since = time.monotonic()
    statuses = []
    while time.monotonic() < since + 2 * HEALING_SECONDS:
        statuses.append(service.call("PUT", "/users/late", {})[0])
        if statuses[-1] in {200, 201}:
            break
        time.sleep(0.05)
    seconds = time.monotonic() - since
    is_reached = statuses[-1] in {200, 201} and seconds <= HEALING_SECONDS
    return Figure(f"disk with {what}", f"writes pass in {HEALING_SECONDS:g} s", f"in {seconds:.1f} s", is_reached)
