import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, ENOSPC
from pathlib import Path

import pytest

from app.errors import ConflictError, StorageFullError
from app.snapshots.durable import DurableFile
from app.store.jobs import MAX_ATTEMPTS
from app.training.recipe import rating_recipe
from app.training.run import Trainer
from app.worker.attempt import attempt
from app.worker.system_errors import advice_on, reason_of
from tests.support.user_states import tasteful_ratings

QUICK = rating_recipe("funk_svd").document


@contextmanager
def small_files() -> Iterator[None]:
    """As at a limit of the user: a file cannot grow beyond 1,000 bytes.

    No fixture: the limit would hold for the report of the tests as well, which may be written to a file.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_write_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "snapshots" / "item_keys.npy"
    path.parent.mkdir()
    with pytest.raises(OSError, match="File too large") as caught, small_files(), DurableFile(path) as file:
        file.write(bytes(2_000))
    assert reason_of(caught.value, tmp_path) == "RECKON_DATA_DIR/snapshots/item_keys.npy: File too large"
    assert "RECKON_SNAPSHOTS_KEPT" in str(advice_on(caught.value))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_job_names_the_file(trainer: Trainer, tmp_path: Path) -> None:
    """A file stands where the folder of snapshots belongs."""
    (tmp_path / "snapshots").touch()
    jobs = trainer.store.jobs
    trainer.store.ratings.record(tasteful_ratings(n_users=60))
    job = jobs.enqueue("request", recipe=QUICK)
    claim = jobs.claim("a-worker", lease_seconds=60)
    assert claim is not None
    assert attempt(claim, trainer, jobs, stopping=threading.Event(), n_allowed=1) is None
    ended = jobs.get(job.job_id)
    assert (ended.state, ended.reason) == ("failed", "attempt 1: RECKON_DATA_DIR/snapshots: File exists")
    assert "must be a folder" in str(ended.advice)
    assert MAX_ATTEMPTS > 1


def test_file_elsewhere(tmp_path: Path) -> None:
    assert reason_of(PermissionError(EACCES, "Permission denied", "/elsewhere/x"), tmp_path).startswith("/elsewhere/x:")
    assert reason_of(PermissionError(EACCES, "Permission denied", b"/elsewhere/x"), tmp_path).startswith("/elsewhere/x")


def test_no_file_known(tmp_path: Path) -> None:
    assert reason_of(OSError(ENOSPC, "No space left on device"), tmp_path).startswith(
        "No space left on device; the log"
    )
    assert reason_of(TimeoutError(), tmp_path).startswith("TimeoutError; the log")


def test_relative_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    error = PermissionError(EACCES, "Permission denied", "var/snapshots")
    assert reason_of(error, Path("var")) == "RECKON_DATA_DIR/snapshots: Permission denied"


def test_advice() -> None:
    assert "Free disk space" in str(advice_on(StorageFullError("full")))
    assert "Free disk space" in str(advice_on(OSError(ENOSPC, "full")))
    assert "mount it writable" in str(advice_on(PermissionError(EACCES, "no")))
    assert advice_on(ConflictError("no")) is None
    assert advice_on(ZeroDivisionError()) is None
