"""Training on request, and what was published."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ..call import Request, operation


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """`reason`: of a rejection, a failure or a fallback. `progress`: 0 to 1."""

    job_id: str
    state: Literal["queued", "running", "succeeded", "rejected", "failed"]
    trigger: str
    reason: str | None
    stage: str | None
    progress: float
    snapshot_version: int | None
    attempts: int
    seed: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`is_live`: answers come from it. `is_pinned`: it stays live until `latest` is activated.

    `card`: what it was made from, how, and how good it is.
    """

    version: int
    created_at: datetime
    is_live: bool
    is_pinned: bool
    card: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Newest first."""

    snapshots: tuple[Snapshot, ...]

    def __iter__(self) -> Iterator[Snapshot]:
        return iter(self.snapshots)


class TrainingOperations:
    @operation("POST", "/training-jobs")
    def train(self, *, seed: int | None = None, recipe: Mapping[str, Any] | None = None) -> Request[TrainingJob]:
        """Queue a training run. While the same request waits in the queue, that job is answered."""
        return Request(TrainingJob, body={"seed": seed, "recipe": recipe})

    @operation("GET", "/training-jobs/{job_id}")
    def training_job(self, job_id: str) -> Request[TrainingJob]:
        """How far a run is."""
        return Request(TrainingJob, path={"job_id": job_id})

    @operation("GET", "/snapshots")
    def snapshots(self) -> Request[Snapshots]:
        """What was published."""
        return Request(Snapshots)

    @operation("GET", "/snapshots/{version}")
    def snapshot(self, version: int) -> Request[Snapshot]:
        """A snapshot's card."""
        return Request(Snapshot, path={"version": str(version)})

    @operation("POST", "/snapshots/{version}/activate", is_repeatable=True)
    def activate_snapshot(self, version: int | Literal["latest"]) -> Request[Snapshot]:
        """Answer from this one and pin it; `latest` ends that."""
        return Request(Snapshot, path={"version": str(version)})
