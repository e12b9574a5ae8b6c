"""Training in memory: every run succeeds at once, and learns nothing."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ..operations.health import Health, Readiness
from ..operations.training import Snapshot, Snapshots, TrainingJob
from .memory import Memory
from .paging import found


class TrainingAnswers:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def train(self, seed: int | None = None, recipe: dict[str, Any] | None = None) -> TrainingJob:
        now = datetime.now(UTC)
        version = len(self._memory.snapshots) + 1
        snapshot = Snapshot(version, now, is_live=False, is_pinned=False, card={"recipe": recipe})
        self._memory.snapshots[str(version)] = snapshot
        if not any(each.is_pinned for each in self._memory.snapshots.values()):
            self._make_live(str(version), is_pinned=False)
        job = TrainingJob(
            job_id=f"fake-{version}",
            state="succeeded",
            trigger="request",
            reason=None,
            stage=None,
            progress=1.0,
            snapshot_version=version,
            attempts=1,
            seed=seed,
            created_at=now,
            started_at=now,
            finished_at=now,
        )
        self._memory.jobs[job.job_id] = job
        return job

    def training_job(self, job_id: str) -> TrainingJob:
        return found(self._memory.jobs, "training job", job_id)

    def snapshots(self) -> Snapshots:
        return Snapshots(tuple(reversed(self._memory.snapshots.values())))

    def snapshot(self, version: str) -> Snapshot:
        return found(self._memory.snapshots, "snapshot", version)

    def activate_snapshot(self, version: str) -> Snapshot:
        chosen = str(len(self._memory.snapshots)) if version == "latest" else version
        found(self._memory.snapshots, "snapshot", chosen)
        return self._make_live(chosen, is_pinned=version != "latest")

    def livez(self) -> Health:
        return Health("ok")

    def readyz(self) -> Readiness:
        live = (each.version for each in self._memory.snapshots.values() if each.is_live)
        return Readiness("ready", next(live, None))

    def _make_live(self, chosen: str, *, is_pinned: bool) -> Snapshot:
        for version, snapshot in self._memory.snapshots.items():
            is_live = version == chosen
            self._memory.snapshots[version] = replace(snapshot, is_live=is_live, is_pinned=is_live and is_pinned)
        return self._memory.snapshots[chosen]
