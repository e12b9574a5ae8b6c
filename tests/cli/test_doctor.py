import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.store import Store, migrate
from app.store.checkup import is_free_of_race
from tests.support.commands import Finished, reckon


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECKON_DATA_DIR", str(tmp_path))
    migrate("", tmp_path)
    return tmp_path


def findings() -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and check -> finding."""
    done: Finished = reckon("doctor", "--json")
    return done.exit_code, {each["check"]: each for each in json.loads(done.output)}


def test_healthy(trained_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECKON_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("RECKON_DATABASE_URL", trained_url)
    exit_code, found = findings()
    assert exit_code == 0
    states = {check: each["state"] for check, each in found.items() if check != "disk"}
    assert states.pop("Postgres", "warning") == "warning"  # the server of tests is not durable
    assert set(states.values()) == {"ok"}, found
    assert reckon("doctor").output.startswith("ok       configuration  no contradictions")


def test_damaged_snapshot(trained_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not trained_url.startswith("sqlite"):
        return
    monkeypatch.setenv("RECKON_DATA_DIR", str(tmp_path))
    index = next(tmp_path.glob("snapshots/*/*.npy"))
    index.unlink()
    index.write_bytes(b"damaged")
    exit_code, found = findings()
    assert (exit_code, found["snapshot"]["state"]) == (1, "problem")
    assert "reckon train" in found["snapshot"]["advice"]


def test_damaged_database(folder: Path) -> None:
    file = folder / "reckon.db"
    content = file.read_bytes()
    file.write_bytes(content[:20_000] + b"\xa5" * (len(content) - 20_000))
    exit_code, found = findings()
    assert exit_code == 1
    assert any("reckon restore" in each["advice"] for each in found.values())


def test_no_database(folder: Path) -> None:
    (folder / "reckon.db").unlink()
    exit_code, found = findings()
    assert (exit_code, found["database"]["detail"]) == (1, "there is no database file")
    assert not (folder / "reckon.db").exists()


def test_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECKON_DATA_DIR", str(tmp_path / "none"))
    exit_code, found = findings()
    assert (exit_code, found["data folder"]["state"]) == (1, "problem")


@pytest.mark.parametrize(
    ("free", "state"), [(1 << 20, "problem"), (500 << 20, "warning"), (50 << 30, "ok")], ids=["full", "low", "roomy"]
)
def test_room_on_the_disk(folder: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str) -> None:
    usage = shutil.disk_usage(folder)._replace(total=100 << 30, free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    exit_code, found = findings()
    assert (exit_code, found["disk"]["state"]) == (int(state == "problem"), state)
    assert ("make room" in found["disk"]["advice"]) == (state != "ok")


def test_open_to_others(folder: Path) -> None:
    (folder / "reckon.db").chmod(0o644)
    exit_code, found = findings()
    assert (exit_code, found["permissions"]["state"]) == (0, "warning")
    folder.chmod(0o777)
    exit_code, found = findings()
    assert (exit_code, found["permissions"]["state"]) == (1, "problem")


@pytest.mark.parametrize(("seconds", "check"), [(3_600, "clock"), (-3_600, "worker")])
def test_times_of_jobs(folder: Path, seconds: int, check: str) -> None:
    """A job of the future tells of a clock that was set back, an old one of a worker that is missing."""
    store = Store.open("", folder)
    store.jobs.enqueue("request")
    with store.database.writing() as connection:
        connection.execute(sa.text("UPDATE training_jobs SET created_at = created_at + :n"), {"n": seconds * 10**6})
    store.close()
    exit_code, found = findings()
    assert exit_code == 1
    assert [each["check"] for each in found.values() if each["state"] == "problem"] == [check]


@pytest.mark.parametrize(("seconds", "state"), [(0, "ok"), (90, "problem")])
def test_lease_of_a_run(folder: Path, seconds: int, state: str) -> None:
    """A worker that is gone does not renew it."""
    store = Store.open("", folder)
    store.jobs.enqueue("request")
    assert store.jobs.claim("gone", lease_seconds=60) is not None
    with store.database.writing() as connection:
        connection.execute(sa.text("UPDATE training_jobs SET lease_until = lease_until - :n"), {"n": seconds * 10**6})
    store.close()
    exit_code, found = findings()
    assert (exit_code == 1, found["worker"]["state"]) == (state == "problem", state)
    assert ("no worker runs" in found["worker"]["detail"]) == (state == "problem")


def test_contradicting_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert folder.exists()
    for name in ("AFTER_CHANGES", "AFTER_PERCENT", "INTERVAL_SECONDS"):
        monkeypatch.setenv(f"RECKON_TRAIN_{name}", "0")
    exit_code, found = findings()
    assert (exit_code, found["configuration"]["state"]) == (0, "warning")
    monkeypatch.setenv("RECKON_HOST", "192.0.2.1")  # of no machine (RFC 5737)
    lines = reckon("doctor").output.splitlines()
    assert lines[0].startswith("problem  configuration  cannot listen on 192.0.2.1")


@pytest.mark.parametrize(
    ("version", "is_free"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 3), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 53, 4), True),
    ],
)
def test_race_of_sqlite(version: tuple[int, int, int], *, is_free: bool) -> None:
    assert is_free_of_race(version) is is_free
