"""The worker of one catalogue: claims and runs jobs, and checks between them whether training is due."""

import os
import secrets
import socket
import threading
import time
from dataclasses import dataclass, field

import structlog

from app.erasure.eraser import Eraser
from app.erasure.overdue import overdue_warning
from app.errors import ReckonError
from app.intake.uploads import KEPT_SECONDS, Uploads
from app.serving.retrieval import sources_of
from app.settings import Settings
from app.store.store import Store
from app.training.publisher import Publisher
from app.training.rejections import rejection_warning
from app.training.run import Trainer
from app.training.spark_errors import SparkOptions
from app.wiring import snapshot_folders
from app.worker import check_can_train
from app.worker.attempt import attempt
from app.worker.triggers import Triggers

TIDY_SECONDS = 3600.0
ERASER_PAUSE_SECONDS = 60.0
"""After an attempt to complete erasures that failed, as while a long read needs the files of the database."""

log = structlog.get_logger()


def new_worker_id() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def build_trainer(settings: Settings, store: Store) -> Trainer:
    """Raises `UnavailableError` in an API-only install, before any job is claimed."""
    check_can_train()
    folders = snapshot_folders(settings)
    publisher = Publisher(store, folders, settings.snapshots_kept, settings.snapshot_users, sources_of)
    return Trainer(
        store, publisher, settings.training_bytes, SparkOptions(settings.spark_master, settings.spark_folder)
    )


@dataclass(slots=True)
class Chores:
    """When a worker may do again what is not done in every step, by the monotonic clock."""

    erases_from: float = 0.0
    tidied_at: float = -TIDY_SECONDS


@dataclass
class Worker:
    """The worker of one catalogue; see `rounds.py` for those of tenants."""

    store: Store
    trainer: Trainer
    triggers: Triggers
    lease_seconds: float
    worker_id: str = field(default_factory=new_worker_id)
    chores: Chores = field(default_factory=Chores)

    @classmethod
    def build(cls, settings: Settings, store: Store, *, chores: Chores | None = None) -> "Worker":
        """`chores`: of an earlier worker of the same catalogue."""
        return cls(
            store=store,
            trainer=build_trainer(settings, store),
            triggers=Triggers(
                store,
                after_changes=settings.train_after_changes,
                after_percent=settings.train_after_percent,
                interval_seconds=settings.train_interval_seconds,
                erasure_hours=settings.erasure_hours,
            ),
            lease_seconds=settings.worker_lease_seconds,
            chores=chores or Chores(),
        )

    def step(self, stopping: threading.Event) -> bool:
        """Runs one job if there is one; returns whether there was."""
        self.store.generation.check()  # after a restore, the file of the database is opened again
        # A claim takes the write lock even if no job is queued, so an idle worker reads first.
        is_idle = all(job.finished_at is not None for job in self.store.jobs.latest())
        claim = None if is_idle else self.store.jobs.claim(self.worker_id, lease_seconds=self.lease_seconds)
        if claim is None:
            self.triggers.fire()
            self.store.events.finish_recount()
            self.complete_erasures()
            self.tidy_sometimes()
            return False
        attempt(claim, self.trainer, self.store.jobs, stopping=stopping)
        self.warn_of_rejections()
        # A run may have published, so the next idle moment removes the snapshots beyond those kept.
        self.chores.tidied_at = -TIDY_SECONDS
        return True

    def warn_of_rejections(self) -> None:
        """Logs a warning where the gate has rejected one run after the other."""
        if (warning := rejection_warning(self.store)) is not None:
            log.warning("training runs are rejected", reason=warning.reason, advice=warning.advice)

    def complete_erasures(self) -> None:
        """Removes what is left of erased users, as soon as a snapshot without them is live."""
        if time.monotonic() < self.chores.erases_from:
            return
        try:
            Eraser(self.store, self.trainer.publisher.folders).proceed()
        except (ReckonError, OSError):
            # The caller logs it and goes on.
            self.chores.erases_from = time.monotonic() + ERASER_PAUSE_SECONDS
            raise

    def tidy_sometimes(self) -> None:
        """After every run and every hour: removes old snapshots, tombstones, redirects, kept answers, arrivals,
        rejected rows, files that were not imported and remains of killed runs.
        """
        if time.monotonic() - self.chores.tidied_at < TIDY_SECONDS:
            return
        self.chores.tidied_at = time.monotonic()
        if (warning := overdue_warning(self.store)) is not None:
            log.warning("erasures are overdue", reason=warning.reason, advice=warning.advice)
        self.trainer.publisher.tidy()
        # By the clock of the database, which gave the rows their times.
        now = self.store.database.now()
        self.store.ratings.purge_tombstones(now=now)
        self.store.events.purge_tombstones(now=now)
        self.store.users.purge_redirects(now=now)
        self.store.kept_answers.purge()
        self.store.arrivals.purge(now=now)
        self.store.imports.purge(now=now)
        Uploads(self.trainer.publisher.data_dir).purge(time.time() - KEPT_SECONDS)
