"""Training jobs and snapshots."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from app.intake.rows import Body
from app.intake.value_types import Integral
from app.store import Job, SnapshotEntry


class TrainingJobIn(Body):
    # As filled in by `/docs`, a job that learns what the service learns anyway.
    model_config = ConfigDict(json_schema_extra={"examples": [{"seed": 0}]})

    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63), Integral] | None = Field(
        None, description="Seed of the random generator; the same data and seed give the same snapshot"
    )
    recipe: dict[str, Any] | None = Field(
        None,
        description="What to learn, as in a snapshot's card; the recipe of the service if absent",
        examples=[
            {
                "segments": [
                    {"name": "rating", "algorithm": "funk_svd"},
                    {"name": "popularity", "algorithm": "popularity"},
                ]
            }
        ],
    )

    accept: Annotated[bool, Field(strict=True)] = Field(
        False,
        description="Publish even if the gate rejects what was learned; the card of the snapshot says when and why",
        examples=[False],
    )


class TrainingJobOut(BaseModel):
    job_id: str
    state: Literal["queued", "running", "succeeded", "rejected", "failed", "cancelled"]
    trigger: str = Field(description="Why the job was queued: `request`, `command`, `changes`, `interval`, ...")
    accept: bool = Field(description="The snapshot is published even if the gate rejects it")
    reason: str | None = Field(description="Reason for a rejection, a failure, a cancellation or a fallback")
    advice: str | None = Field(description="What to do about a rejection or a failure")
    stage: str | None
    progress: float = Field(description="Fraction done, 0 to 1")
    snapshot_version: int | None
    attempts: int
    seed: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None = Field(
        description="When it was cancelled; a job that is still `running` stops soon", examples=[None]
    )

    @classmethod
    def from_job(cls, job: Job) -> Self:
        return cls(**{name: getattr(job, name) for name in cls.model_fields})


class SnapshotOut(BaseModel):
    version: int
    created_at: datetime
    is_live: bool = Field(description="This snapshot answers requests")
    is_pinned: bool = Field(description="Activated by hand: stays live until `latest` is activated")
    problem: str | None = Field(
        description="Why it cannot be served; null if nothing is wrong as far as is seen without reading all of it",
        examples=[None],
    )
    card: dict[str, Any] = Field(
        description="Data and recipe that it was made from, and its metrics. `accepted` is null, or has `at`, "
        "`reason` and `kinds`, the checks that it failed, if the snapshot was published although the gate rejected it"
    )

    @classmethod
    def from_entry(cls, entry: SnapshotEntry, problem: str | None) -> Self:
        return cls(
            version=entry.version,
            created_at=entry.created_at,
            is_live=entry.is_live,
            is_pinned=entry.is_pinned,
            problem=problem,
            card=entry.card,
        )


class SnapshotsOut(BaseModel):
    snapshots: list[SnapshotOut] = Field(description="Newest first")
