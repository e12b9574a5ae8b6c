"""Someone does something to the files of the SQLite database while the service writes to them.

After each fault the file is put right: by the file itself where it still exists, else by a backup made before.
"""

import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from app.errors import ReckonError
from app.store import Store, migrate
from faults.trial import Figure, Trial
from faults.write_load import WriteLoad, n_lost, stored_rows
from tests.support.service import Instance

VISIBLE_SECONDS = 1.0
RECOVERY_SECONDS = 5.0
REFUSAL_SECONDS = 2.0
STEADY_SECONDS = 0.7
"""The service is normal again once it has refused nothing for this time."""


@dataclass(frozen=True, slots=True)
class Files:
    """The database and its log, and a backup of the database made before the fault."""

    database: Path
    backup: Path

    @property
    def log(self) -> Path:
        return self.database.with_name(self.database.name + "-wal")

    @property
    def index(self) -> Path:
        return self.database.with_name(self.database.name + "-shm")

    @property
    def aside(self) -> Path:
        return self.database.with_name("aside.db")


Act = Callable[[Files], object]
Holding = Callable[[Files], AbstractContextManager[None]]


def delete(files: Files) -> None:
    files.database.unlink()


def delete_all(files: Files) -> None:
    for each in (files.database, files.log, files.index):
        each.unlink(missing_ok=True)


def delete_log(files: Files) -> None:
    files.log.unlink(missing_ok=True)


def delete_index(files: Files) -> None:
    files.index.unlink(missing_ok=True)


def move_away(files: Files) -> None:
    files.database.rename(files.aside)


def move_back(files: Files) -> None:
    files.aside.rename(files.database)


def move_folder_away(files: Files) -> None:
    folder = files.database.parent
    folder.rename(folder.with_name("moved"))


def move_folder_back(files: Files) -> None:
    folder = files.database.parent
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)  # the service may have made it anew
    folder.with_name("moved").rename(folder)


def truncate(files: Files) -> None:
    with files.database.open("r+b") as file:
        file.truncate(files.database.stat().st_size // 3)


def overwrite_middle(files: Files) -> None:
    with files.database.open("r+b") as file:
        file.seek(files.database.stat().st_size // 2)
        file.write(b"\xa5" * 16_384)


def overwrite_log(files: Files) -> None:
    with files.log.open("r+b") as file:
        file.write(b"\xa5" * max(4_096, files.log.stat().st_size // 2))


def truncate_log(files: Files) -> None:
    with files.log.open("r+b") as file:
        file.truncate(0)


def put_backup(files: Files) -> None:
    """As an operator does: a copy of the backup, moved into place."""
    copy = files.database.with_name("copy.db")
    shutil.copyfile(files.backup, copy)
    copy.replace(files.database)


def copy_backup(files: Files) -> None:
    """As `cp` does: into the same file where there is one."""
    shutil.copyfile(files.backup, files.database)


def nothing(_files: Files) -> None:
    """The fault is over by itself."""


LOCKER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def _locked(files: Files) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-c", LOCKER, files.database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield
    finally:
        process.communicate("")


@contextmanager
def _immutable(files: Files) -> Iterator[None]:
    """Read-only, also for root and for connections that are open. A change of the mode hinders neither."""
    assert all(_chattr("+i", each) for each in (files.database, files.log))
    try:
        yield
    finally:
        assert all(_chattr("-i", each) for each in (files.database, files.log))


def _chattr(change: str, path: Path) -> bool:
    program = shutil.which("chattr")
    return program is not None and not subprocess.call([program, change, path])


def _can_be_immutable(folder: Path) -> bool:
    """Root can, on most file systems."""
    probe = folder / "probe"
    probe.touch()
    return _chattr("+i", probe) and _chattr("-i", probe)


def breaking(break_: Act, mend: Act) -> Holding:
    @contextmanager
    def hold(files: Files) -> Iterator[None]:
        break_(files)
        yield
        mend(files)

    return hold


@dataclass(frozen=True, slots=True)
class FileFault:
    """`holding`: breaks a file, and puts it right at the end of the block.

    `is_kept`: whether all that was acknowledged before the fault must still be there afterwards.
    """

    name: str
    holding: Holding
    is_kept: bool = False


FAULTS = (
    FileFault("deleted", breaking(delete, put_backup)),
    FileFault("deleted with its log", breaking(delete_all, put_backup)),
    FileFault("replaced by `mv`", breaking(put_backup, nothing)),
    FileFault("replaced by `cp`", breaking(copy_backup, nothing)),
    FileFault("truncated", breaking(truncate, copy_backup)),
    FileFault("overwritten in the middle", breaking(overwrite_middle, put_backup)),
    FileFault("moved away and back", breaking(move_away, move_back), is_kept=True),
    FileFault("folder moved away and back", breaking(move_folder_away, move_folder_back), is_kept=True),
    FileFault("log deleted", breaking(delete_log, nothing)),
    FileFault("log truncated", breaking(truncate_log, nothing)),
    FileFault("log overwritten", breaking(overwrite_log, nothing)),
    FileFault("log's index deleted", breaking(delete_index, nothing), is_kept=True),
    FileFault("locked by another program", _locked, is_kept=True),
    FileFault("read-only", _immutable, is_kept=True),
)


def run(trial: Trial) -> Iterator[Figure]:
    is_small = trial.size == "test"
    faults = [each for each in FAULTS if each.holding is not _immutable or _can_be_immutable(trial.folder)]
    chosen = trial.choose.sample(faults, trial.times(test=2, short=4, long=len(faults)))
    for fault in chosen * trial.times(test=1, short=1, long=5):
        with (_store if is_small else _service)(trial) as (files, load):
            yield _suffer(fault, files, load, seconds=0.4 if is_small else 2.5)


@contextmanager
def _store(trial: Trial) -> Iterator[tuple[Files, WriteLoad]]:
    """One process without HTTP, that looks for a replaced file as the poll of the service does."""
    folder = _migrated(trial)
    store, load, stopping = Store.open("", folder), WriteLoad(), threading.Event()

    def poll() -> None:
        while not stopping.wait(0.1):
            with suppress(ReckonError):
                store.generation.check()

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        with load.to_store(store, n_writers=2, pause=0.002):
            yield _with_backup(folder), load
    finally:
        stopping.set()
        thread.join()
        store.close()


@contextmanager
def _service(trial: Trial) -> Iterator[tuple[Files, WriteLoad]]:
    instance, load = Instance(_migrated(trial)), WriteLoad()
    with (
        instance.serving("--processes", "2", "--no-worker") as service,
        load.to_service(service.address, n_writers=4, size=1, pause=0.002),
    ):
        yield _with_backup(instance.data_dir), load


def _migrated(trial: Trial) -> Path:
    folder = trial.fresh_folder("data") / "kept"
    folder.mkdir()
    migrate("", folder)
    return folder


def _with_backup(folder: Path) -> Files:
    """After some writes; more follow, so that the backup is not equal to the database."""
    files = Files(folder / "reckon.db", folder.with_name("backup.db"))
    time.sleep(0.5)
    with closing(sqlite3.connect(files.database)) as source, closing(sqlite3.connect(files.backup)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")
    time.sleep(0.5)
    return files


def _suffer(fault: FileFault, files: Files, load: WriteLoad, seconds: float) -> Figure:
    broken_at = time.monotonic()
    with fault.holding(files):
        time.sleep(seconds)
        mended_at = time.monotonic()
    deadline = time.monotonic() + RECOVERY_SECONDS
    while time.monotonic() < deadline and not _is_normal(load, time.monotonic() - STEADY_SECONDS):
        time.sleep(0.05)
    ended_at = time.monotonic()
    stored = _stored(files)
    visible_at = broken_at + VISIBLE_SECONDS
    after = load.acknowledged(since=0.0 if fault.is_kept else visible_at, until=ended_at)
    lost = n_lost(after, stored)
    in_window = load.acknowledged(since=broken_at, until=visible_at)
    refused = load.refused(since=broken_at, until=ended_at)
    last_refusal = max((each.answered_at for each in refused), default=mended_at)
    is_normal = _is_normal(load, ended_at - STEADY_SECONDS)
    recovery = max(0.0, last_refusal - mended_at) if is_normal else float("inf")
    slowest = max((each.answered_at - each.sent_at for each in refused), default=0.0)
    wrong = {each.status for each in refused} - {503, -1}
    seen = (
        f"{lost} of {len(after)} lost; {n_lost(in_window, stored)} of {len(in_window)} in the first second; "
        f"{len(refused)} refused, the slowest in {slowest:.1f} s; normal after {recovery:.1f} s"
        + (f"; answers {wrong}" if wrong else "")
    )
    is_reached = lost == 0 and recovery <= RECOVERY_SECONDS and slowest <= REFUSAL_SECONDS and not wrong
    return Figure(
        f"database file {fault.name}",
        f"0 lost that were acknowledged {VISIBLE_SECONDS:g} s after the fault; 503 in {REFUSAL_SECONDS:g} s; "
        f"normal {RECOVERY_SECONDS:g} s after it was put right",
        seen,
        is_reached,
    )


def _is_normal(load: WriteLoad, since: float) -> bool:
    return bool(load.acknowledged(since=since)) and not load.refused(since=since)


def _stored(files: Files) -> Counter[str]:
    """Read while the service runs: what it closes last would hide what is missing in the file."""
    stored = stored_rows(files.database)
    with closing(sqlite3.connect(files.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return stored
