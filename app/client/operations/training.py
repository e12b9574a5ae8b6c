"""Training runs, published snapshots, and the probes of the service."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ..call import Request, operation


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """A request to train.

    `reason`: why the job was rejected, failed, was cancelled, or used a fallback; `advice`: what to do about the first
    two.
    `accept`: whether the snapshot is published even if the gate rejects it.
    `progress`: from 0 to 1.
    `snapshot_version`: what the run published; None while it has not.
    `cancel_requested_at`: when it was cancelled; a job that is still running stops soon.
    """

    job_id: str
    state: Literal["queued", "running", "succeeded", "rejected", "failed", "cancelled"]
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
    accept: bool = False
    advice: str | None = None
    cancel_requested_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a training run published.

    `is_live`: answers come from it.
    `is_pinned`: it stays live until `latest` is activated.
    `problem`: why it cannot be served; None where nothing is known against it.
    `card`: its data, recipe and metrics; `accepted` there says when and why it was published against the gate.
    """

    version: int
    created_at: datetime
    is_live: bool
    is_pinned: bool
    card: Mapping[str, Any]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Newest first."""

    snapshots: tuple[Snapshot, ...]

    def __iter__(self) -> Iterator[Snapshot]:
        return iter(self.snapshots)


@dataclass(frozen=True, slots=True)
class Health:
    """The answer of the liveness probe."""

    status: str


@dataclass(frozen=True, slots=True)
class ReadinessWarning:
    """The service answers, and an operator should act nevertheless; `advice`: what to do about the `reason`."""

    reason: str
    advice: str


@dataclass(frozen=True, slots=True)
class DegradedPart:
    """What does not work, and why, without which the service goes on; `part`: `database`."""

    part: str
    since: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class ProcessState:
    """`state`: running or restarting; `last_exit`: how it ended last, None if it has run for a minute since."""

    name: str
    state: str
    since: datetime
    last_exit: str | None


@dataclass(frozen=True, slots=True)
class Readiness:
    """The answer of the readiness probe. Without a key that has the scope `console` or `admin`, it is `status` alone.

    `status`: `ready`, or `degraded` while lists are made of what is remembered; `degraded`: what does not work then.
    `snapshot_version`: None before anything is learned. `fallback_reason`: why the snapshot holds popular items alone,
    None if it does not; `fallback_advice`: what to do about it. `warnings`: such as training runs rejected in a row.
    `processes`: those of `reckon serve`.
    """

    status: str
    snapshot_version: int | None = None
    fallback_reason: str | None = None
    fallback_advice: str | None = None
    warnings: tuple[ReadinessWarning, ...] = ()
    degraded: tuple[DegradedPart, ...] = ()
    processes: tuple[ProcessState, ...] = ()


class TrainingOperations:
    # Not repeatable: the first request may have been queued, and a second one could queue a second run.
    @operation("POST", "/training-jobs")
    def train(
        self, *, seed: int | None = None, recipe: Mapping[str, Any] | None = None, accept: bool | None = None
    ) -> Request[TrainingJob]:
        """Queue a training run. While the same request waits in the queue, its job is answered.

        `accept`: publish what was learned even if the gate rejects it.
        """
        return Request(TrainingJob, body={"seed": seed, "recipe": recipe, "accept": accept})

    @operation("GET", "/training-jobs/{job_id}")
    def training_job(self, job_id: str) -> Request[TrainingJob]:
        """The state of a job. Raises `NotFoundError` where there is none."""
        return Request(TrainingJob, path={"job_id": job_id})

    # Repeatable: a job that is cancelled stays so.
    @operation("POST", "/training-jobs/{job_id}/cancel")
    def cancel_training_job(self, job_id: str) -> Request[TrainingJob]:
        """End a job that is queued or runs; a running one stops soon after.

        Raises `NotFoundError` where there is none, and `ConflictError` where it has ended otherwise.
        """
        return Request(TrainingJob, path={"job_id": job_id})

    @operation("GET", "/snapshots")
    def snapshots(self) -> Request[Snapshots]:
        """All published snapshots, newest first."""
        return Request(Snapshots)

    @operation("GET", "/snapshots/{version}")
    def snapshot(self, version: int) -> Request[Snapshot]:
        """A snapshot with its card. Raises `NotFoundError` where there is none."""
        return Request(Snapshot, path={"version": str(version)})

    # Repeatable: a snapshot that is live and pinned stays so.
    @operation("POST", "/snapshots/{version}/activate")
    def activate_snapshot(self, version: int | Literal["latest"]) -> Request[Snapshot]:
        """Answer from this snapshot and pin it; `latest` unpins and returns to the newest one."""
        return Request(Snapshot, path={"version": str(version)})

    @operation("GET", "/livez")
    def livez(self) -> Request[Health]:
        """Answers while the process runs."""
        return Request(Health)

    @operation("GET", "/readyz")
    def readyz(self) -> Request[Readiness]:
        """Answers while requests can be served. Raises `UnavailableError` while the database is away."""
        return Request(Readiness)
