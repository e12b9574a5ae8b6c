"""`reckon backup` and `reckon restore` of both databases."""

import errno
import os
import secrets
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import NoSuchTableError

from app.auth.keys import KEY_ID
from app.entities import User
from app.errors import ConflictError, InvalidInputError, UnavailableError
from app.settings import Settings
from app.store import Store, migrate
from app.store.backup import backup, restore
from app.store.erasures import erasure_records
from app.tenancy.lifecycle import TenantLifecycle
from tests.support.keys import stored_key
from tests.support.old_schema import take_back
from tests.support.postgres import PROGRAMS
from tests.support.service import wait_until
from tests.support.statements import Statements

pytestmark = pytest.mark.usefixtures("postgres_programs")
on_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


def filled(folder: Path, *user_ids: str) -> Store:
    folder.mkdir(exist_ok=True)
    migrate("", folder)
    store = Store.open("", folder)
    store.users.record([User(each) for each in user_ids])
    return store


def test_restore_under_an_open_store(tmp_path: Path) -> None:
    store = filled(tmp_path, "ann")
    first = store.generation.check()
    backup("", tmp_path, tmp_path / "copy")
    store.users.record([User("bob")])
    key = store.users.freshness("bob").user_key
    restore("", tmp_path, tmp_path / "copy")
    # At once, without a check: the generation comes with the versions of a request.
    assert store.users.freshness("bob").user_key is None
    assert store.users.freshness("").generation != first
    store.users.record([User("eve")])
    assert store.users.freshness("eve").user_key == key  # which is why there are generations
    assert store.generation.check() == store.users.freshness("").generation
    store.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "copy",
        "reckon.db",
        "reckon.db.lock",
        "reckon.db.reserve",
    ]


def test_restore_to_an_empty_folder(tmp_path: Path) -> None:
    filled(tmp_path / "old", "ann").close()
    backup("", tmp_path / "old", tmp_path / "copy")
    restore("", tmp_path / "new", tmp_path / "copy")
    store = Store.open("", tmp_path / "new")
    assert store.users.get("ann") == User("ann")
    store.close()


def break_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100_000])


@pytest.mark.parametrize(
    ("breaking", "missing"),
    [(break_off, "damaged"), (Path.unlink, "empty"), (lambda file: take_back_in(file, "0016"), "older version")],
)
def test_restore_over_an_unknown_state(breaking: Callable[[Path], object], missing: str, tmp_path: Path) -> None:
    """What was erased and revoked since the backup is not known, which the caller is told."""
    filled(tmp_path, "ann").close()
    backup("", tmp_path, tmp_path / "copy")
    breaking(tmp_path / "reckon.db")
    assert missing in str(restore("", tmp_path, tmp_path / "copy"))
    store = Store.open("", tmp_path)
    assert store.users.get("ann") == User("ann")
    store.close()


def test_damaged_under_an_open_store(tmp_path: Path) -> None:
    store = filled(tmp_path, "ann")
    backup("", tmp_path, tmp_path / "copy")
    store.users.record([User("bob")])
    break_off(tmp_path / "reckon.db")
    restore("", tmp_path, tmp_path / "copy")
    wait_until(lambda: is_open_again(store))
    assert [user.user_id for user in store.users.stream()] == ["ann"]
    store.close()


def is_open_again(store: Store) -> bool:
    try:
        return store.generation.check() != ""
    except UnavailableError:
        return False


def take_back_in(file: Path, until: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        take_back(connection.execute, until)


def test_backup_of_a_former_version(tmp_path: Path) -> None:
    filled(tmp_path, "ann").close()
    backup("", tmp_path, tmp_path / "copy")
    take_back_in(tmp_path / "copy", "0008")
    restore("", tmp_path, tmp_path / "copy")
    store = Store.open("", tmp_path)
    assert store.generation.check() != ""
    store.close()


def test_refused(tmp_path: Path) -> None:
    store = filled(tmp_path / "own", "ann")
    filled(tmp_path / "other", "bob").close()
    backup("", tmp_path / "other", tmp_path / "foreign")
    (tmp_path / "text").write_text("no database at all, but long enough to have a header " * 10)
    with closing(sqlite3.connect(tmp_path / "empty")) as connection:
        connection.execute("CREATE TABLE t (a)")
    damaged = (tmp_path / "foreign").read_bytes()
    (tmp_path / "damaged").write_bytes(damaged[: len(damaged) // 2])
    for name in ("text", "empty", "damaged", "missing"):
        with pytest.raises(InvalidInputError):
            restore("", tmp_path / "own", tmp_path / name)
    with pytest.raises(ConflictError, match="another database"):
        restore("", tmp_path / "own", tmp_path / "foreign")
    with pytest.raises(ConflictError, match="exists"):
        backup("", tmp_path / "own", tmp_path / "foreign")
    assert store.users.get("ann") == User("ann")
    store.close()
    assert not list((tmp_path / "own").glob("*.restoring*"))


def test_no_database(tmp_path: Path) -> None:
    with pytest.raises(ConflictError, match="no database at"):
        backup("", tmp_path, tmp_path / "copy")
    assert not list(tmp_path.glob("copy*"))


def damage_a_page(file: Path) -> None:
    """The file keeps its size and its header."""
    content = bytearray(file.read_bytes())
    content[8 * 4_096 : 9 * 4_096] = bytes(4_096)
    file.write_bytes(content)


def test_damaged_page(tmp_path: Path) -> None:
    filled(tmp_path, "ann").close()
    backup("", tmp_path, tmp_path / "copy")
    damage_a_page(tmp_path / "copy")
    with pytest.raises(InvalidInputError, match="copy is damaged: "):
        restore("", tmp_path, tmp_path / "copy")


def fail_to_sync(_descriptor: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup that has got its name may be there after a loss of power, so receipts go on to list it."""
    store = filled(tmp_path, "ann")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail_to_sync)
        with pytest.raises(UnavailableError, match=r"cannot write .*copy: .*Input/output error"):
            backup("", tmp_path, tmp_path / "copy")
    assert [each.file for each in erasure_records(store.database).backups] == ["copy"]
    store.close()
    break_off(tmp_path / "reckon.db")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail_to_sync)
        with pytest.raises(UnavailableError, match=r"cannot restore .*copy: .*Input/output error"):
            restore("", tmp_path, tmp_path / "copy")
    restore("", tmp_path, tmp_path / "copy")
    store = Store.open("", tmp_path)
    assert store.users.get("ann") == User("ann")
    store.close()


def test_without_the_programs_of_postgres(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if database_url.startswith("sqlite"):
        return
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UnavailableError, match="pg_dump is not installed"):
        backup(database_url, tmp_path, tmp_path / "copy")
    assert not list(tmp_path.glob("copy*"))


@on_postgres
def test_one_schema(database_url: str, tmp_path: Path) -> None:
    """Postgres keeps the tenants in one database: a backup of one catalogue holds and replaces nothing of another."""
    settings = {"main": Settings(database_url=database_url, data_dir=tmp_path)}
    main = Store.open(database_url, tmp_path)
    text = stored_key(main, "admin")
    for name in ("shop", "news"):
        TenantLifecycle(settings["main"], main).create(name)
        settings[name] = settings["main"].of_tenant(name)
    main.close()
    for name, own in settings.items():
        record(own, "first")
        backup(own.database_url, own.data_dir, tmp_path / f"{name}.copy")
        record(own, "later")
    found = {name: ["first", "later"] for name in settings}
    for name, own in settings.items():
        restore(own.database_url, own.data_dir, tmp_path / f"{name}.copy")
        found[name] = ["first"]
        assert {each: user_ids(settings[each]) for each in settings} == found
    assert text[KEY_ID] in script_of(tmp_path / "main.copy")
    assert text[KEY_ID] not in script_of(tmp_path / "shop.copy")
    whole = tmp_path / "whole"
    subprocess.run([PROGRAMS / "pg_dump", "--format=custom", f"--file={whole}", plain(database_url)], check=True)
    for name, copy, message in (
        ("main", "shop.copy", "another schema"),
        ("shop", "main.copy", "another schema"),
        ("main", "whole", "other schemas"),
        ("shop", "whole", "other schemas"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            restore(settings[name].database_url, settings[name].data_dir, tmp_path / copy)
    assert {each: user_ids(settings[each]) for each in settings} == found


def record(settings: Settings, user_id: str) -> None:
    store = Store.open(settings.database_url, settings.data_dir)
    store.users.record([User(user_id)])
    store.close()


def user_ids(settings: Settings) -> list[str]:
    store = Store.open(settings.database_url, settings.data_dir)
    found = [user.user_id for user in store.users.stream()]
    store.close()
    return found


def plain(database_url: str) -> str:
    return sa.make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)


def script_of(file: Path) -> str:
    return subprocess.run(
        [PROGRAMS / "pg_restore", "--file=-", file], check=True, capture_output=True, text=True
    ).stdout


@on_postgres
def test_backup_of_a_former_version_on_postgres(database_url: str, tmp_path: Path) -> None:
    """The tables that it has not are in the database already. Where the migration fails, nothing is changed."""
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        take_back(connection.exec_driver_sql, "0013")
    backup(database_url, tmp_path, tmp_path / "copy")
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE events")
    engine.dispose()
    backup(database_url, tmp_path, tmp_path / "broken")
    for _ in range(2):
        restore(database_url, tmp_path, tmp_path / "copy")
    store = Store.open(database_url, tmp_path)
    store.users.record([User("ann")])
    with pytest.raises(NoSuchTableError):
        restore(database_url, tmp_path, tmp_path / "broken")
    assert store.users.get("ann") == User("ann")
    store.close()


@pytest.fixture
def dumped(database_url: str, tmp_path: Path) -> Iterator[sa.Engine]:
    """A database on Postgres with a user and a backup, `copy`."""
    store = Store.open(database_url, tmp_path)
    store.users.record([User("ann")])
    store.close()
    backup(database_url, tmp_path, tmp_path / "copy")
    engine = sa.create_engine(database_url, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


def execute(engine: sa.Engine, *statements: str) -> None:
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def stored_users(database_url: str, folder: Path) -> list[str]:
    store = Store.open(database_url, folder)
    found = [user.user_id for user in store.users.stream()]
    store.close()
    return found


@on_postgres
def test_restore_to_an_empty_schema(dumped: sa.Engine, database_url: str, tmp_path: Path) -> None:
    execute(dumped, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    assert restore(database_url, tmp_path, tmp_path / "copy") == "the database was empty"
    assert stored_users(database_url, tmp_path) == ["ann"]


@on_postgres
def test_other_database_on_postgres(dumped: sa.Engine, database_url: str, tmp_path: Path) -> None:
    execute(dumped, "UPDATE installation SET database_id = 'another'", "INSERT INTO users (user_id) VALUES ('bob')")
    with pytest.raises(ConflictError, match="another database"):
        restore(database_url, tmp_path, tmp_path / "copy")
    assert stored_users(database_url, tmp_path) == ["ann", "bob"]


@on_postgres
def test_tables_that_others_need(dumped: sa.Engine, database_url: str, tmp_path: Path) -> None:
    """A view of an operator keeps a table from being made anew: nothing is changed, and the reason is told."""
    execute(dumped, "CREATE VIEW mine AS SELECT * FROM users", "INSERT INTO users (user_id) VALUES ('bob')")
    with pytest.raises(InvalidInputError, match=r"cannot be restored: (?s:.*)view mine depends on table users"):
        restore(database_url, tmp_path, tmp_path / "copy")
    assert stored_users(database_url, tmp_path) == ["ann", "bob"]


@on_postgres
def test_table_that_stays_locked(
    dumped: sa.Engine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is no deadlock: it is not tried again, and nothing is read without the locks."""
    execute(dumped, f"ALTER DATABASE {dumped.url.database} SET lock_timeout = '10ms'")
    sent = Statements(monkeypatch)
    with dumped.connect() as other, other.execution_options(isolation_level="READ COMMITTED").begin():
        other.exec_driver_sql("LOCK TABLE users IN ACCESS SHARE MODE")
        with sent.of_thread(threading.get_ident()), pytest.raises(UnavailableError, match="other writers are busy"):
            restore(database_url, tmp_path, tmp_path / "copy")
    assert [each.split()[0] for each in sent.through_engine[-3:]] == ["SAVEPOINT", "LOCK", "ROLLBACK"]
    assert restore(database_url, tmp_path, tmp_path / "copy") is None


@on_postgres
def test_dump_without_the_instance(dumped: sa.Engine, database_url: str, tmp_path: Path) -> None:
    """Its table alone is not enough: the row is missing."""
    execute(dumped, "DELETE FROM installation")
    backup(database_url, tmp_path, tmp_path / "hollow")
    with pytest.raises(InvalidInputError, match="no backup of Reckon"):
        restore(database_url, tmp_path, tmp_path / "hollow")


@on_postgres
def test_large_dump(dumped: sa.Engine, database_url: str, tmp_path: Path) -> None:
    """Rows are copied a megabyte at a time; of a dump that breaks off among them, nothing is restored."""
    many = "INSERT INTO users (user_id) SELECT repeat(md5(n::text), 3) || n FROM generate_series(1, 15000) AS n"
    execute(dumped, many)
    backup(database_url, tmp_path, tmp_path / "large")
    whole = (tmp_path / "large").read_bytes()
    (tmp_path / "part").write_bytes(whole[: len(whole) - 20_000])
    execute(dumped, "DELETE FROM users WHERE user_id <> 'ann'")
    with pytest.raises(InvalidInputError, match=r"pg_restore failed: .*end of file"):
        restore(database_url, tmp_path, tmp_path / "part")
    assert stored_users(database_url, tmp_path) == ["ann"]
    restore(database_url, tmp_path, tmp_path / "large")
    assert len(stored_users(database_url, tmp_path)) == 15_001


@on_postgres
def test_missing_schema(database_url: str, tmp_path: Path) -> None:
    """Of a tenant that was never created."""
    own = Settings(database_url=database_url, data_dir=tmp_path).of_tenant("shop")
    with pytest.raises(ConflictError, match="no schema of the catalogue"):
        backup(own.database_url, own.data_dir, tmp_path / "copy")
    assert not list(tmp_path.glob("copy*"))


@on_postgres
def test_password(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the environment of `pg_dump`, which other users of the machine cannot read, and in no argument."""
    called = tmp_path / "called"
    program = tmp_path / "programs" / "pg_dump"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$PGPASSWORD $*" > {called}\nexec {PROGRAMS}/pg_dump "$@"\n')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    given = secrets.token_hex(8)
    url = sa.make_url(database_url).set(password=given).render_as_string(hide_password=False)
    backup(url, tmp_path, tmp_path / "copy")
    password, _, arguments = called.read_text().partition(" ")
    assert password == given
    assert "--format=custom" in arguments
    assert given not in arguments


def test_no_dump(database_url: str, tmp_path: Path) -> None:
    if database_url.startswith("sqlite"):
        return
    (tmp_path / "text").write_text("no dump")
    with pytest.raises(InvalidInputError, match="pg_restore failed"):
        restore(database_url, tmp_path, tmp_path / "text")


@on_postgres
def test_deadlock(database_url: str, tmp_path: Path) -> None:
    """With a transaction that locks the tables in another order; the server ends the one that waited first."""
    backup(database_url, tmp_path, tmp_path / "copy")
    engine = sa.create_engine(database_url)
    restoring = threading.Thread(target=restore, args=(database_url, tmp_path, tmp_path / "copy"))
    with engine.connect() as other, engine.connect() as looking:
        other.exec_driver_sql("SET deadlock_timeout = '1min'")
        other.exec_driver_sql("SELECT 1 FROM users")
        restoring.start()
        wait_until(lambda: locked_by_restore(looking) != [])
        other.exec_driver_sql(f"SELECT 1 FROM {locked_by_restore(looking)[0]}")  # noqa: S608  a table of ours
    restoring.join()
    engine.dispose()
    store = Store.open(database_url, tmp_path)
    assert store.users.count() == 0
    store.close()


def locked_by_restore(connection: sa.Connection) -> list[str]:
    """The tables that a restore has locked while it waits for another lock."""
    connection.rollback()
    statement = """
        SELECT relname FROM pg_locks JOIN pg_class ON pg_class.oid = relation JOIN pg_stat_activity USING (pid)
        WHERE application_name = 'reckon' AND granted AND mode = 'AccessExclusiveLock' AND relkind = 'r'
        AND EXISTS (SELECT 1 FROM pg_locks AS waiting WHERE waiting.pid = pg_locks.pid AND NOT waiting.granted)
    """
    return list(connection.exec_driver_sql(statement).scalars())
