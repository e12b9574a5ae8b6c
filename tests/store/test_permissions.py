"""Who may read the files: they hold the data of users, and the key that signs tokens."""

import errno
import os
import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.entities import User
from app.store import Store, migrate
from app.store.backup import backup
from app.store.sqlite_files import DatabaseReplacedError
from tests.support.service import Instance


def modes(folder: Path) -> dict[str, str]:
    """Path -> mode of everything in the folder."""
    return {each.relative_to(folder).as_posix(): f"{stat.S_IMODE(each.stat().st_mode):o}" for each in folder.rglob("*")}


def test_new_files(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    migrate("", folder)
    store = Store.open("", folder)
    store.users.record([User("ann")])
    backup("", folder, folder / "copy")
    store.close()
    assert set(modes(folder).values()) == {"600"}
    assert {stat.S_IMODE(folder.stat().st_mode)} == {0o700}


def test_wider_files_are_narrowed(tmp_path: Path) -> None:
    migrate("", tmp_path)
    (tmp_path / "reckon.db").chmod(0o664)
    with capture_logs() as logged:
        store = Store.open("", tmp_path)
    assert modes(tmp_path)["reckon.db"] == "600"
    store.close()
    assert [(each["file"], each["mode"]) for each in logged] == [("reckon.db", "664")]


def test_file_of_another_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its modes cannot be changed; the database is used nevertheless."""
    migrate("", tmp_path)
    (tmp_path / "reckon.db").chmod(0o644)

    def refuse(*_: object, **_options: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "chmod", refuse)
    with capture_logs() as logged:
        store = Store.open("", tmp_path)
    assert store.users.count() == 0
    store.close()
    assert {(each["event"], each["file"], each["mode"], each["why"]) for each in logged} == {
        ("others can read the database", "reckon.db", "644", "Operation not permitted")
    }


def test_no_empty_database_in_its_place(tmp_path: Path) -> None:
    """A connection that is opened while the file is gone would make one."""
    migrate("", tmp_path)
    store = Store.open("", tmp_path)
    store.database.dialect.engine.dispose()
    (tmp_path / "reckon.db").unlink()
    with pytest.raises(DatabaseReplacedError, match="gone"):
        store.users.count()
    assert not (tmp_path / "reckon.db").exists()
    store.close()


def test_commands(tmp_path: Path) -> None:
    instance = Instance(tmp_path / "data")
    instance.run("migrate")
    instance.run("export", str(tmp_path / "export"))
    assert set(modes(tmp_path / "export").values()) == {"600"}
    assert modes(tmp_path)["export"] == "700"
