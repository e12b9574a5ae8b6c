"""A database put back to an earlier state under an open store."""

import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.entities import Item, User
from app.errors import UnavailableError
from app.store import LeaseLostError, Store, migrate
from app.store.generation import renew_generation
from app.store.overwriting import Overwriting
from app.store.sqlite import SqliteDialect
from app.store.sqlite_files import DatabaseDamagedError, DatabaseReplacedError, restored_copy
from tests.support.ratings import incoming
from tests.support.service import wait_until


@pytest.fixture
def file(tmp_path: Path) -> Path:
    migrate("", tmp_path)
    return tmp_path / "reckon.db"


@pytest.fixture
def open_store(file: Path) -> Iterator[Store]:
    store = Store.open("", file.parent, wait_seconds=0.5)
    yield store
    store.close()


def copied(file: Path, name: str) -> Path:
    """A whole copy, what is in the log included, that is not fresh any more."""
    copy = file.with_name(name)
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def checked(store: Store) -> str:
    """The generation after the next check that does not find the file being copied."""
    got: list[str] = []

    def succeeds() -> bool:
        try:
            got.append(store.generation.check())
        except DatabaseReplacedError:
            return False
        return True

    wait_until(succeeds)
    return got[-1]


def test_generation_stays(store: Store) -> None:
    first = store.generation.check()
    store.ratings.record(incoming(("ann", "x", 4, 1)))
    store.items.record([Item("y")])
    assert store.generation.check() == first == store.users.freshness("ann").generation


def test_generation_is_renewed_once(store: Store) -> None:
    """Of several processes that notice a restore, the first renews the generation."""
    first = store.generation.check()
    with store.database.writing() as connection:
        renew_generation(connection, first)
        renew_generation(connection, first)
    second = store.generation.check()
    assert second != first
    assert store.generation.check() == second


def test_lower_counter(store: Store) -> None:
    """The counters of a state that is older than one seen before."""
    store.items.record([Item("x")])
    first = store.generation.check()
    with store.database.writing() as connection:
        connection.execute(sa.text("UPDATE counters SET value = 0 WHERE name = 'catalogue'"))
    second = store.generation.check()
    assert second != first
    assert store.users.freshness("").generation == second == store.generation.check()


def test_tables_made_anew(store: Store) -> None:
    """As `pg_restore --clean` does, with counters that are the same."""
    if store.database.dialect.engine.dialect.name == "sqlite":
        pytest.skip("a dump of SQLite is restored to a file")
    first = store.generation.check()
    with store.database.writing() as connection:
        connection.execute(sa.text("CREATE TABLE kept AS SELECT * FROM users"))
        connection.execute(sa.text("TRUNCATE users, ratings"))
        connection.execute(sa.text("DROP TABLE kept"))
    assert store.generation.check() != first


def test_run_before_a_restore(store: Store) -> None:
    """A worker that learned from data that are gone publishes nothing."""
    store.jobs.enqueue("request")
    claim = store.jobs.claim("worker", lease_seconds=60)
    assert claim is not None
    with store.database.writing() as connection:
        renew_generation(connection)
    with pytest.raises(LeaseLostError):
        store.snapshots.register(claim, version=1, path="snapshots/000001", card={})
    again = store.jobs.claim("worker", lease_seconds=60)
    assert again is not None
    assert again.job.job_id == claim.job.job_id


def renamed(copy: Path, file: Path) -> None:
    copy.replace(file)


def removed_and_copied(copy: Path, file: Path) -> None:
    for each in (file, file.with_name("reckon.db-wal"), file.with_name("reckon.db-shm")):
        each.unlink()
    shutil.copy2(copy, file)


def overwritten(copy: Path, file: Path) -> None:
    """Into the same file, whose log is removed: the inode stays."""
    for suffix in ("-wal", "-shm"):
        file.with_name(f"reckon.db{suffix}").unlink()
    shutil.copyfile(copy, file)


def overwritten_beside_its_log(copy: Path, file: Path) -> None:
    """As `cp` does."""
    shutil.copyfile(copy, file)


@pytest.mark.parametrize("put_back", [renamed, removed_and_copied, overwritten, overwritten_beside_its_log])
def test_replaced_file(open_store: Store, file: Path, put_back: object) -> None:
    """The log of the file that is gone is not applied to the one in its place."""
    store = open_store
    store.users.record([User("ann", "FI")])
    backup = copied(file, "backup.db")
    first = store.generation.check()
    store.users.record([User("ann", "SE"), User("bob")])
    put_back(backup, file)  # type: ignore[operator]
    with pytest.raises(DatabaseReplacedError):
        store.users.record([User("cid")])
    second = checked(store)
    assert second != first
    assert store.users.get("ann") == User("ann", "FI")
    assert store.users.freshness("bob").user_key is None
    store.users.record([User("cid")])
    assert store.users.count() == 2
    store.close()
    again = Store.open("", file.parent)
    assert (again.users.count(), again.generation.check()) == (2, second)
    again.close()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def checkpoint(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint")


def test_changes_that_overwrite_nothing(open_store: Store, file: Path) -> None:
    """Checkpoints, also those of other programs, and a new time of modification."""
    store = open_store
    first = store.generation.check()
    for n in range(4):
        store.users.record([User(f"user-{n}")])
        if n % 2:
            checkpoint(file)
        file.touch()
        assert store.generation.check() == first
    assert store.users.count() == 4


def test_overwritten_after_a_checkpoint(open_store: Store, file: Path) -> None:
    """The log holds pages of a later state than that of the file, and would damage it."""
    store = open_store
    store.users.record([User("ann")])
    backup = copied(file, "backup.db")
    for n in range(20):
        store.users.record([User(f"user-{n}-{m}" + "x" * 100) for m in range(100)])
    checkpoint(file)
    store.users.record([User("bob")])
    first = store.generation.check()
    shutil.copyfile(backup, file)
    assert checked(store) != first
    assert (store.users.count(), store.users.get("ann")) == (1, User("ann"))
    store.users.record([User("cid")])
    store.close()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("starts_anew", [True, False])
def test_overwritten_with_its_log(open_store: Store, file: Path, *, starts_anew: bool) -> None:
    """A backup of both files as they are: what its log holds is a part of it."""
    store, second = open_store, Store.open("", file.parent)
    store.users.record([User("ann")])
    checkpoint(file)
    store.users.record([User("bob")])
    names = ["reckon.db", "reckon.db-wal"]
    for name in names:
        shutil.copyfile(file.with_name(name), file.with_name(f"{name}.backup"))
    if starts_anew:
        checkpoint(file)
    store.users.record([User("cid")])
    store.users.record([User("dan")])
    assert second.generation.check() == store.generation.check()
    for name in names:
        shutil.copyfile(file.with_name(f"{name}.backup"), file.with_name(name))
    generation = checked(store)
    assert [store.users.get(each) for each in ("ann", "bob", "cid")] == [User("ann"), User("bob"), None]
    store.users.record([User("eve")])
    assert checked(second) == generation
    assert second.users.get("eve") == User("eve")
    second.close()


def test_two_processes(open_store: Store, file: Path) -> None:
    """The second one to notice keeps what the first has written since."""
    first, second = open_store, Store.open("", file.parent)
    second.users.record([User("ann")])
    backup = copied(file, "backup.db")
    backup.replace(file)
    generation = checked(first)
    first.users.record([User("bob")])
    assert checked(second) == generation
    assert second.users.get("bob") == User("bob")
    second.close()


def test_half_copied(open_store: Store, file: Path) -> None:
    store = open_store
    store.users.record([User("ann")])
    whole = copied(file, "backup.db").read_bytes()
    half = file.with_name("half.db")
    half.write_bytes(whole[: len(whole) // 2])
    long_ago = 1_000_000_000
    os.utime(half, (long_ago, long_ago))
    half.replace(file)
    with pytest.raises(DatabaseReplacedError):
        store.generation.check()
    with pytest.raises(DatabaseReplacedError):
        store.users.record([User("bob")])
    file.unlink()
    with pytest.raises(DatabaseReplacedError, match="gone"):
        store.generation.check()
    file.write_bytes(whole)
    checked(store)
    store.users.record([User("bob")])
    assert store.users.count() == 2


def test_replaced_while_written(open_store: Store, file: Path) -> None:
    """A write that is committed to a file that is gone is not acknowledged."""
    store = open_store
    store.users.record([User("ann")])
    backup = copied(file, "backup.db")

    def write() -> None:
        with store.database.writing() as connection:
            connection.execute(sa.text("UPDATE users SET country = 'FI'"))
            backup.replace(file)

    with pytest.raises(DatabaseReplacedError):
        write()
    checked(store)
    assert store.users.get("ann") == User("ann")


def test_index_of_the_log_removed(open_store: Store, file: Path) -> None:
    """It holds the locks: a process that starts later would use another one for the same log."""
    first, second = open_store, Store.open("", file.parent)
    second.users.record([User("ann")])
    file.with_name("reckon.db-shm").unlink()
    for store in (first, second):
        with pytest.raises(DatabaseReplacedError):
            store.users.record([User("bob")])
    assert checked(first) == checked(second)
    first.users.record([User("bob")])
    third = Store.open("", file.parent)
    third.users.record([User("cid")])
    assert [each.users.count() for each in (first, second, third)] == [3, 3, 3]
    second.close()
    third.close()


@pytest.mark.parametrize("place", [0, -1], ids=["begin", "end"])
def test_log_overwritten(open_store: Store, file: Path, place: int) -> None:
    """What the log still holds is kept; what was acknowledged is never put behind what is broken."""
    store = open_store
    store.users.record([User("ann")])
    checkpoint(file)
    store.users.record([User("bob")])
    store.users.record([User("cid")])
    with file.with_name("reckon.db-wal").open("r+b") as log:
        frame = 4_096 + 24
        n = int.from_bytes(file.with_name("reckon.db-shm").read_bytes()[16:20], sys.byteorder)
        log.seek(0 if place == 0 else 32 + (n - 1) * frame)
        log.write(b"\xa5" * 100)
    with pytest.raises(DatabaseReplacedError):
        store.users.record([User("dan")])
    checked(store)
    store.users.record([User("eve")])
    store.close()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        stored = {user_id for (user_id,) in connection.execute("SELECT user_id FROM users")}
    assert stored in ({"ann", "eve"}, {"ann", "bob", "eve"})


@pytest.mark.parametrize("put", [overwritten_beside_its_log, renamed])
def test_damaged_file_in_its_place(open_store: Store, file: Path, put: object) -> None:
    """Nothing is written or removed until it is put right; the log may be needed for that."""
    store = open_store
    store.users.record([User("ann")])
    checkpoint(file)
    sound = file.read_bytes()
    store.users.record([User("bob")])
    damaged = file.with_name("damaged.db")
    damaged.write_bytes(sound[: len(sound) // 2] + b"\xa5" * (len(sound) - len(sound) // 2))
    log = file.with_name("reckon.db-wal").read_bytes()
    put(damaged, file)  # type: ignore[operator]

    def is_noticed() -> bool:
        with pytest.raises(DatabaseReplacedError):
            store.users.record([User("cid")])
        try:
            store.generation.check()
        except DatabaseReplacedError:
            return False  # while the file may still be being copied
        except DatabaseDamagedError:
            return True
        raise AssertionError("a damaged file is used")

    wait_until(is_noticed)
    assert file.with_name("reckon.db-wal").read_bytes() == log
    if put is overwritten_beside_its_log:
        file.write_bytes(sound)
        store.generation.check()
        assert store.users.get("bob") == User("bob")
        store.users.record([User("cid")])


def damage_a_page(file: Path) -> None:
    """In the middle: header and size are those of a sound file."""
    content = bytearray(file.read_bytes())
    content[8 * 4_096 : 9 * 4_096] = bytes(4_096)
    file.write_bytes(content)


@pytest.mark.parametrize("put", [renamed, removed_and_copied])
def test_damaged_page_in_its_place(open_store: Store, file: Path, put: object) -> None:
    """Whether the log of the file before is still there, which may be needed, or not."""
    store = open_store
    store.users.record([User("ann")])
    first = store.generation.check()
    sound = copied(file, "sound.db")
    damaged = copied(file, "damaged.db")
    damage_a_page(damaged)
    log = file.with_name("reckon.db-wal")
    before = log.read_bytes()
    put(damaged, file)  # type: ignore[operator]
    with pytest.raises(DatabaseDamagedError):
        checked(store)
    assert put is removed_and_copied or log.read_bytes() == before
    with pytest.raises(DatabaseReplacedError):
        store.users.record([User("bob")])
    sound.replace(file)
    assert checked(store) != first
    assert store.users.get("ann") == User("ann")


def test_long_wait_for_a_sound_file(open_store: Store, file: Path) -> None:
    """However often a process looks at a damaged one, it needs no more descriptors."""
    store = open_store
    store.users.record([User("ann")])
    damaged = copied(file, "damaged.db")
    damage_a_page(damaged)
    removed_and_copied(damaged, file)
    with pytest.raises(DatabaseDamagedError):
        checked(store)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(10):
        with pytest.raises(DatabaseDamagedError):
            checked(store)
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208


def test_header_and_log_overwritten(open_store: Store, file: Path) -> None:
    """Nothing can be made of the two; they stay as they are."""
    store = open_store
    store.users.record([User("ann")])
    checkpoint(file)
    store.users.record([User("bob")])
    log = file.with_name("reckon.db-wal")
    with file.open("r+b") as opened:
        opened.seek(18)  # behind the size of a page: the versions of the format and the fractions of a page
        opened.write(b"\xa5" * 6)
    with log.open("r+b") as opened:
        opened.write(b"\xa5" * 100)
    before = file.read_bytes(), log.read_bytes()
    with pytest.raises(DatabaseDamagedError):
        checked(store)
    assert (file.read_bytes(), log.read_bytes()) == before
    with pytest.raises(DatabaseDamagedError):  # although open connections can still read
        store.database.dialect.probe(())
    assert not file.with_name("reckon.db.copy").exists()


def test_log_that_is_gone(file: Path) -> None:
    """There is none then that could be another one."""
    watched = Overwriting(file, file.with_name("reckon.db-wal"), file.with_name("reckon.db-shm"))
    assert not watched.is_log_overwritten()
    watched.close()


def test_folder_replaced(open_store: Store, file: Path) -> None:
    """A writer takes the lock that the processes take that were started since."""
    store, folder = open_store, file.parent
    store.users.record([User("ann")])
    backup = copied(file, "backup.db")
    other = folder.with_name(folder.name + "-other")
    folder.rename(other)
    folder.mkdir()
    with pytest.raises(DatabaseReplacedError):
        store.users.record([User("bob")])
    shutil.copyfile(other / backup.name, file)
    checked(store)
    second = Store.open("", folder)
    with second.database.writing():
        dialect = store.database.dialect
        assert isinstance(dialect, SqliteDialect)
        with pytest.raises(UnavailableError, match="another process is writing"), dialect.write_lock.held():
            pass
    second.close()


def test_restores_one_at_a_time(open_store: Store, file: Path) -> None:
    """Of the copy that one prepares, nothing is removed by another one or by a purge; what a killed one left is."""
    file.with_name("reckon.db.restoring").write_text("left over")
    with restored_copy(file) as copy:
        assert copy.read_bytes() == b""
        with pytest.raises(UnavailableError, match="another restore is in progress"), restored_copy(file):
            pass
        with pytest.raises(UnavailableError, match="a restore is in progress"):
            open_store.database.purge(also=())
        assert copy.exists()
    assert not copy.exists()
    open_store.database.purge(also=())


def test_purge_beside_a_reader(open_store: Store, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log holds the pages from before until the reader is done."""
    monkeypatch.setattr("app.store.sqlite.PATIENT_SECONDS", 0.05)
    open_store.users.record([User("ann")])
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM users").fetchone()
        with pytest.raises(UnavailableError, match="a reader needs the log"):
            open_store.database.purge(also=())
    open_store.database.purge(also=())
    assert file.with_name("reckon.db-wal").stat().st_size == 0
