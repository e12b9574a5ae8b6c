"""Brings a snapshot from object storage in a thread of its own: while the process goes on answering, or for a request.

The threads are daemons: a read from the storage cannot be interrupted, and the end of the process does not wait for it.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path

import structlog

from app.errors import ReckonError, StorageFullError
from app.snapshots.errors import DownloadStoppedError, ObjectStorageError, SnapshotError, SnapshotForeignError
from app.snapshots.folders import Registered, SnapshotFolders
from app.snapshots.read import VerifiedFiles

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
"""After a failure; the pause doubles each time."""

DAMAGED_PAUSE_SECONDS = 60.0
"""After an object was found damaged, which may be mended by an operator, and not by itself."""

MOST_FAILURES = 100
STOP_SECONDS = 2.0
"""A download is given up after this time at most; its thread then ends by itself."""

LOOK_SECONDS = 0.05
"""How often what waits for a download looks whether the process stops."""

log = structlog.get_logger()


class AwaitedDownloads:
    """Downloads that requests wait for, in all threads of the process, until it stops."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def get(self, folders: SnapshotFolders, entry: Registered, verified: VerifiedFiles | None = None) -> Path:
        """As `SnapshotFolders.get`. Raises `DownloadStoppedError` at once when the process stops."""
        if folders.is_here(entry):
            return folders.local(entry)
        is_left, brought = threading.Event(), Future[Path]()

        def bring() -> None:
            try:
                brought.set_result(folders.get(entry, is_stopped=is_left.is_set, verified=verified))
            except BaseException as error:  # noqa: BLE001  raised again where it is waited for
                brought.set_exception(error)

        threading.Thread(target=bring, name="snapshot-download", daemon=True).start()
        try:
            while not self._stopped.is_set():
                if wait({brought}, LOOK_SECONDS).done:
                    return brought.result()
        finally:
            # Of what is interrupted as well, as a command is.
            is_left.set()
        raise DownloadStoppedError

    def stop(self) -> None:
        """End all downloads, and begin none."""
        self._stopped.set()


@dataclass(frozen=True, slots=True)
class FetchProblem:
    """Why a snapshot is not here. `is_damage`: what object storage has is not what was published."""

    why: str
    advice: str
    is_damage: bool


@dataclass(frozen=True, slots=True)
class _Failure:
    """The last attempt of a version. `not_before`: when the next may begin, by the clock of the fetcher."""

    problem: FetchProblem
    pause_seconds: float
    not_before: float


class SnapshotFetcher:
    """One download at a time. `count` is given each outcome: `fetched`, `failed` or `damaged`.

    Its methods are those of one thread, which polls; the download runs in another.
    """

    def __init__(
        self,
        folders: SnapshotFolders,
        count: Callable[[str], None] = lambda _outcome: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folders = folders
        self._count = count
        self._clock = clock
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._failures: dict[int, _Failure] = {}
        self._brought: tuple[int, VerifiedFiles] | None = None

    def problem(self, version: int) -> FetchProblem | None:
        """Why the last attempt to bring the version failed; None if there was none, or it is not over."""
        failure = self._failures.get(version)
        return None if failure is None else failure.problem

    def take_verified(self, version: int) -> VerifiedFiles | None:
        """The files that were hashed while the version was brought, once: to open it right after that."""
        if self._brought is None or self._brought[0] != version:
            return None
        (_, verified), self._brought = self._brought, None
        return verified

    @property
    def is_fetching(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def want(self, entry: Registered) -> None:
        """Bring the snapshot, unless it is being brought or its pause is not over. Returns at once."""
        if self.is_fetching or self._stopped.is_set():
            return
        failure = self._failures.get(entry.version)
        if failure is not None and self._clock() < failure.not_before:
            return
        self._thread = threading.Thread(target=self._fetch, args=(entry,), name="snapshot-fetch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End a download soon, and begin none."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def _fetch(self, entry: Registered) -> None:
        began_at, verified = time.monotonic(), VerifiedFiles()
        try:
            folder = self._folders.get(entry, is_stopped=self._stopped.is_set, verified=verified)
        except DownloadStoppedError:
            return
        except SnapshotForeignError as error:
            # As of a newer release, which has upgraded its worker first: nothing is wrong with it.
            self._failed(entry, error.detail, "Upgrade this process, or activate another snapshot.")
        except SnapshotError as error:
            advice = "Train again, or activate another snapshot."
            self._failed(entry, error.detail, advice, is_damage=True)
        except ObjectStorageError as error:
            self._failed(entry, error.detail, error.advice)
        except StorageFullError as error:
            self._failed(entry, error.detail, "Make room below RECKON_DATA_DIR.")
        except ReckonError as error:
            self._failed(entry, error.detail, "Look at the log.")
        except OSError as error:
            self._failed(entry, f"{type(error).__name__}: {error.strerror}", "Look at the disk of RECKON_DATA_DIR.")
        except Exception:
            # A defect must not end the polling, and the log tells of it.
            log.exception("snapshot not fetched", version=entry.version)
            self._failed(entry, "an unexpected error, which the log explains", "Look at the log.")
        else:
            self._brought = entry.version, verified
            self._failures.pop(entry.version, None)
            self._count("fetched")
            seconds = round(time.monotonic() - began_at, 3)
            log.info("snapshot fetched", version=entry.version, folder=folder.name, seconds=seconds)

    def _failed(self, entry: Registered, why: str, advice: str, *, is_damage: bool = False) -> None:
        before = self._failures.get(entry.version)
        pause = FIRST_PAUSE_SECONDS if before is None else min(2 * before.pause_seconds, LONGEST_PAUSE_SECONDS)
        if is_damage:
            pause = DAMAGED_PAUSE_SECONDS
        # Those of versions that are live no more are of no use.
        if len(self._failures) >= MOST_FAILURES:
            self._failures.clear()
        problem = FetchProblem(why, advice, is_damage)
        self._failures[entry.version] = _Failure(problem, pause, self._clock() + pause)
        self._count("damaged" if is_damage else "failed")
        log.warning("snapshot not fetched", version=entry.version, why=why, again_in_seconds=pause)
