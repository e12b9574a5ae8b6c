"""Users are erased under load: invisible at once in every process, and afterwards in no byte of any file.

Each erased user has an id and an attribute that no other text contains, ratings, events, a merged guest, an item and a
rejected row of an import. Files are searched while the service runs, for both in UTF-8 and UTF-16. On Postgres the
write-ahead log (`pg_wal`) is left out, as the receipt says: the server reuses its segments when it likes.
"""

import csv
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import sqlalchemy as sa

from app.entities import Item, User
from app.erasure.eraser import Eraser
from app.erasure.receipt import is_genuine
from app.snapshots.folders import SnapshotFolders
from app.store import Store, migrate
from app.store.imports import KeptRow
from faults.trial import Figure, Trial
from tests.support.ratings import incoming
from tests.support.service import Instance, RunningService, wait_until, write_ratings

ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be")
N_PROCESSES = 2
Receipt = dict[str, Any]

READS_AFTER = 12
"""After each deletion, over as many connections: both processes answer some of them."""

WAIT_SECONDS = 240.0
SETTINGS = {
    "RECKON_ERASURE_HOURS": "0.002",
    "RECKON_TRAIN_AFTER_PERCENT": "0",
    "RECKON_TRAIN_INTERVAL_SECONDS": "0",
}


@dataclass(frozen=True, slots=True)
class Person:
    user_id: str
    guest_id: str
    canary: str

    @property
    def texts(self) -> tuple[str, ...]:
        return self.user_id, self.guest_id, self.canary


@dataclass(slots=True)
class Seen:
    """What the requests saw: answers after a deletion, those that still knew the user, and acknowledged ratings."""

    n_answers: int = 0
    visible: list[str] = field(default_factory=list)
    acknowledged: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def run(trial: Trial) -> Iterator[Figure]:
    if trial.size == "test":
        yield _in_process(trial)
        return
    n_erased = trial.times(test=0, short=3, long=200)
    yield from _of_service(trial, Instance(trial.fresh_folder("sqlite")), n_erased, None)
    with trial.postgres() as server, server.database() as url:
        cluster = next(path for path in trial.folder.glob("postgres-*"))
        instance = Instance(trial.fresh_folder("on-postgres"), url)
        yield from _of_service(trial, instance, n_erased, cluster)


def _people(trial: Trial, n: int) -> list[Person]:
    def name(kind: str) -> str:
        return f"{kind}-{trial.choose.getrandbits(64):016x}"

    return [Person(name("user"), name("guest"), name("canary")) for _ in range(n)]


def _in_process(trial: Trial) -> Figure:
    """The database alone. Erased are those of whom pages hold most copies, from before the pages were split."""
    folder = trial.fresh_folder("store")
    migrate("", folder)
    store = Store.open("", folder)
    people = _people(trial, 1_500)
    try:
        for start in range(0, len(people), 50):
            part = people[start : start + 50]
            store.users.record([User(each.user_id, each.canary, {"text": each.canary}) for each in part])
        store.items.record([Item("own", created_by=people[0].user_id)])
        store.ratings.record(incoming(*((each.user_id, "x", 5.0) for each in people)))
        rows = [f"{each.user_id},x,{each.canary}" for each in people[:1_000]]
        import_id = store.imports.begin("ratings.csv")
        store.imports.keep(import_id, [KeptRow(n, "ratings.csv", n, None, row, row) for n, row in enumerate(rows, 1)])
        with closing(sqlite3.connect(folder / "reckon.db")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        content = (folder / "reckon.db").read_bytes()
        people.sort(key=lambda each: -content.count(each.user_id.encode()))
        for each in people[:5]:
            store.users.delete(each.user_id)
        Eraser(store, SnapshotFolders(folder)).proceed()
        return _of_files("sqlite, in process", people[:5], people[5:10], [folder])
    finally:
        store.close()


def _of_service(trial: Trial, instance: Instance, n_erased: int, cluster: Path | None) -> Iterator[Figure]:
    kind = "sqlite" if cluster is None else "postgres"
    people = _people(trial, n_erased + 1)
    erased, kept = people[:n_erased], people[n_erased:]
    _fill(instance, people)
    with patch.dict(os.environ, SETTINGS), instance.serving("--processes", str(N_PROCESSES)) as service:
        for each in people:
            _act(service, each)
        job_id = service.call("POST", "/training-jobs", {})[1]["job_id"]
        wait_until(lambda: service.get(f"/training-jobs/{job_id}")["state"] == "succeeded", WAIT_SECONDS)
        seen, stopping = Seen(), threading.Event()
        load = threading.Thread(target=_load, args=(service, seen, stopping))
        load.start()
        try:
            places = [place for each in erased if (place := _erase(service, each, seen)) is not None]
            receipts = _receipts(service, places)
        finally:
            stopping.set()
            load.join()
        yield Figure(
            f"{kind}: answers of {N_PROCESSES} processes after the 204 that still know the user",
            "0",
            f"{len(seen.visible)} of {seen.n_answers:,} over {len(erased)} users {' '.join(seen.visible[:2])}",
            is_reached=not seen.visible and seen.n_answers > 0,
        )
        completed = [receipt for receipt in receipts if receipt["state"] == "completed"]
        genuine = _genuine(instance, completed)
        n_snapshots = sum(len(receipt["removed_snapshots"]) for receipt in completed)
        yield Figure(
            f"{kind}: receipts that are completed, signed, and name the snapshot that was removed",
            f"{len(erased)} of {len(erased)}",
            f"{len(genuine)} of {len(erased)}, within {_hours(completed):.3f} h, {n_snapshots} snapshots named",
            is_reached=len(genuine) == len(erased) <= n_snapshots,
        )
        stored = {user_id: _rated(service, user_id) for user_id in {user_id for user_id, _ in seen.acknowledged}}
        lost = [pair for pair in seen.acknowledged if pair[1] not in stored[pair[0]]]
        yield Figure(
            f"{kind}: ratings of others lost, acknowledged meanwhile",
            "0",
            f"{len(lost)} of {len(seen.acknowledged):,}; {len(seen.problems)} refused {' '.join(seen.problems[:1])}",
            is_reached=not lost and bool(seen.acknowledged) and not seen.problems,
        )
        folders = [instance.data_dir]
        if cluster is not None:
            _checkpoint(instance.database_url)
            folders.append(cluster)
        yield _of_files(kind, erased, kept, folders)


def _hours(receipts: Sequence[Receipt]) -> float:
    """The longest time from a request to its completion; of those that are completed."""
    times = [
        (datetime.fromisoformat(each["completed_at"]) - datetime.fromisoformat(each["requested_at"])).total_seconds()
        for each in receipts
    ]
    return max(times, default=0.0) / 3_600


def _fill(instance: Instance, people: Sequence[Person]) -> None:
    instance.run("migrate")
    instance.run("import", str(write_ratings(instance.data_dir.parent / f"{instance.data_dir.name}.csv")))
    rejected = instance.data_dir.parent / f"{instance.data_dir.name}-rejected.csv"
    with rejected.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["user_id", "item_id", "rating", "timestamp"])
        rows.writerow(["u0", "i0", "5", "1600000000"])
        rows.writerows([each.user_id, "i1", each.canary, "1600000000"] for each in people)
    instance.run("import", str(rejected))
    assert list((instance.data_dir / "rejected").iterdir())


def _act(service: RunningService, person: Person) -> None:
    """What a user leaves behind: a profile, ratings, events, a guest, an item, and requests that fail."""
    profile = {"country": person.canary, "attributes": {"text": person.canary, "long": f"{person.canary} " * 400}}
    for user_id in (person.guest_id, person.user_id):
        service.call("PUT", f"/users/{user_id}", profile)
        rows = [{"user_id": user_id, "item_id": f"i{n}", "value": 5 - n % 4} for n in range(12)]
        service.call("POST", "/ratings/batch", {"ratings": rows})
        event = {"event_id": f"e-{user_id}", "type": "clicked", "user_id": user_id, "item_id": "i20"}
        service.call("POST", "/events", {"events": [event, event | {"event_id": f"gone-{user_id}"}]})
        service.call("DELETE", f"/events/gone-{user_id}")
    service.call("PUT", f"/items/of-{person.canary[-8:]}", {"title": "Own", "created_by": person.guest_id})
    service.call("POST", f"/users/{person.user_id}/merge/{person.guest_id}")
    service.call("POST", "/ratings", {"user_id": person.user_id, "item_id": "i1", "value": person.canary})
    service.call("GET", f"/users/{person.user_id}/nothing/{person.canary}")
    for _ in range(2 * N_PROCESSES):
        service.get(f"/users/{person.user_id}/recommendations")


def _erase(service: RunningService, person: Person, seen: Seen) -> str | None:
    """Delete the user, and ask every process; returns the path of the receipt."""
    status, _ = service.call("DELETE", f"/users/{person.user_id}")
    assert status == 204
    for n in range(READS_AFTER):
        seen.n_answers += 1
        if n % 3 == 0:
            known = service.call("GET", f"/users/{person.user_id}")[0] != 404
        elif n % 3 == 1:
            known = service.get(f"/users/{person.user_id}/recommendations")["strategy"] != "popular"
        else:
            known = service.call("GET", f"/users/{person.user_id}/ratings")[0] != 404
        if known:
            seen.visible.append(person.user_id)
    return f"/erasures/{service.get('/erasures/latest')['erasure_id']}"


def _load(service: RunningService, seen: Seen, stopping: threading.Event) -> None:
    n = 0
    while not stopping.is_set():
        user_id, item_id = f"u{n % 60}", f"new-{n}"
        status, problem = service.call("POST", "/ratings", {"user_id": user_id, "item_id": item_id, "value": 4})
        if status == 201:
            seen.acknowledged.append((user_id, item_id))
        else:
            seen.problems.append(f"{status} {problem}")
        service.call("GET", f"/users/{user_id}/recommendations")
        n += 1
        stopping.wait(0.02)


def _receipts(service: RunningService, places: Sequence[str]) -> list[Receipt]:
    def are_completed() -> bool:
        return all(service.get(place)["state"] == "completed" for place in places)

    with suppress(AssertionError):  # the figures tell how many are not
        wait_until(are_completed, WAIT_SECONDS)
    return [service.get(place) for place in places]


def _genuine(instance: Instance, receipts: Sequence[Receipt]) -> list[Receipt]:
    store = Store.open(instance.database_url, instance.data_dir)
    try:
        return [receipt for receipt in receipts if is_genuine(receipt, store.instance.token_key)]
    finally:
        store.close()


def _rated(service: RunningService, user_id: str) -> set[str]:
    return {each["item_id"] for each in service.get(f"/users/{user_id}/export")["ratings"]}


def _checkpoint(url: str) -> None:
    """Files of tables that were written anew are removed by the next checkpoint of the server."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("CHECKPOINT")
    engine.dispose()


def _of_files(kind: str, erased: Sequence[Person], kept: Sequence[Person], folders: Sequence[Path]) -> Figure:
    contents = {
        path: path.read_bytes()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "pg_wal" not in path.parts
    }
    found = {path.name for path, content in contents.items() if _holds(content, erased)}
    # A search that finds nothing must be one that can find something.
    n_found_kept = sum(_holds(content, kept) for content in contents.values())
    n_bytes = sum(map(len, contents.values()))
    return Figure(
        f"{kind}: files with bytes of erased users (ids, guests, attributes; UTF-8 and UTF-16)",
        "0",
        f"{len(found)} of {len(contents)} files, {n_bytes / 1e6:.0f} MB, for {len(erased)} users"
        f" {' '.join(sorted(found)[:4])}; {n_found_kept} with bytes of one who stays",
        is_reached=not found and n_found_kept > 0,
    )


def _holds(content: bytes, people: Sequence[Person]) -> bool:
    return any(text.encode(encoding) in content for each in people for text in each.texts for encoding in ENCODINGS)
