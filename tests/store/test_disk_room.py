"""A full disk under a SQLite database: what passes, what is refused, and that it heals."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from app.entities import User
from app.errors import StorageFullError
from app.store import Store, migrate
from app.store.disk_room import RESERVE_SHARE
from tests.support.ratings import incoming
from tests.support.volume import fill, small_volume

pytestmark = pytest.mark.slow

MEBIBYTES = 16


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with small_volume(tmp_path, MEBIBYTES) as volume:
        if volume is None:
            pytest.skip("only root may mount a file system")
        migrate("", tmp_path)
        yield tmp_path


def write_until_full(store: Store) -> int:
    """Ratings of new users with long ids; returns how many batches were stored."""
    for n in range(10_000):
        rows = [(f"user-{n}-{m}" + "x" * 100, f"i{m}", 3.0) for m in range(500)]
        try:
            store.ratings.record(incoming(*rows))
        except StorageFullError:
            return n
    raise AssertionError("the disk does not fill up")


def filled(store: Store, folder: Path) -> Path:
    """Another program takes all room, also that of the log, which is emptied by the first write."""
    filler = fill(folder)
    with suppress(StorageFullError):
        store.users.record([User("ann")])
    fill(folder)
    return filler


def test_room_to_write_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known before VACUUM begins. There is room for the database twice, but not three times."""
    file = folder / "reckon.db"
    n = 0
    while file.stat().st_size < MEBIBYTES * 3 // 8 << 20:
        n += 1
        store = Store.open("", folder)
        store.ratings.record(incoming(*[(f"user-{n}-{m}" + "x" * 100, f"i{m}", 3.0) for m in range(500)]))
        store.close()  # which copies the log into the file
    store = Store.open("", folder)
    monkeypatch.setenv("SQLITE_TMPDIR", str(folder))
    with pytest.raises(StorageFullError, match=rf"MiB of the disk of {folder}.*SQLITE_TMPDIR"):
        store.database.purge(also=())
    assert store.ratings.count() == n * 500
    monkeypatch.delenv("SQLITE_TMPDIR")
    store.database.purge(also=())
    assert store.ratings.count() == n * 500
    store.close()


def test_filled_by_its_own_log(folder: Path) -> None:
    """The log is emptied before the disk is full; what is refused in the end is refused by the room that is left."""
    store = Store.open("", folder)
    n = write_until_full(store)
    assert store.ratings.count() == n * 500
    assert (folder / "reckon.db").stat().st_size > MEBIBYTES // 2 << 20
    assert (folder / "reckon.db-wal").stat().st_size < (MEBIBYTES << 20) // RESERVE_SHARE
    for m in range(50):
        assert store.ratings.remove(f"user-0-{m}" + "x" * 100, f"i{m}", at=1)
    store.close()


def test_filled_by_another_program(folder: Path) -> None:
    """Deletions pass, also after a restart; writes pass again when there is room."""
    store = Store.open("", folder)
    store.ratings.record(incoming(*[(f"u{n}", "x", 3.0) for n in range(300)]))
    filler = filled(store, folder)
    with pytest.raises(StorageFullError, match="deletions still pass"):
        store.users.record([User("ann")])
    for n in range(100):
        assert store.users.delete(f"u{n}")
    store.close()
    store = Store.open("", folder)
    with pytest.raises(StorageFullError):
        store.users.record([User("ann")])
    for n in range(100, 200):
        assert store.ratings.remove(f"u{n}", "x", at=1)
    filler.unlink()
    store.users.record([User("ann")])
    assert (store.users.count(), store.ratings.count()) == (201, 100)
    assert (folder / "reckon.db.reserve").stat().st_size == (MEBIBYTES << 20) // RESERVE_SHARE
    store.close()


def test_no_stop_and_go(folder: Path) -> None:
    """Writes wait for a quarter more room than they are refused below."""
    store = Store.open("", folder)
    filler = filled(store, folder)
    with pytest.raises(StorageFullError):
        store.users.record([User("bob")])
    reserve = (MEBIBYTES << 20) // RESERVE_SHARE
    with filler.open("r+b") as file:
        file.truncate(filler.stat().st_size - reserve - (reserve >> 3))
    with pytest.raises(StorageFullError):
        store.users.record([User("ann")])
    with filler.open("r+b") as file:
        file.truncate(filler.stat().st_size - (reserve >> 2))
    store.users.record([User("ann")])
    store.close()
