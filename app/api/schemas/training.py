"""Training jobs and snapshots."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field

from app.api.schemas.body import Body
from app.store import Job, SnapshotEntry


class TrainingJobIn(Body):
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] | None = Field(
        None, description="Of all that is random in the run; the same data and seed give the same snapshot"
    )
    recipe: dict[str, Any] | None = Field(
        None,
        description="What to learn, as in a snapshot's card; the service's own recipe unless said",
        examples=[
            {"segments": [{"name": "rating", "algorithm": "funk_svd"}, {"name": "prior", "algorithm": "popularity"}]}
        ],
    )


class TrainingJobOut(BaseModel):
    job_id: str
    state: Literal["queued", "running", "succeeded", "rejected", "failed"]
    trigger: str = Field(description="Why: `request`, `changes`, `interval`, ...")
    reason: str | None = Field(description="Of a rejection, a failure or a fallback")
    stage: str | None
    progress: float = Field(description="0 to 1")
    snapshot_version: int | None
    attempts: int
    seed: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(**{name: getattr(job, name) for name in cls.model_fields})


class SnapshotOut(BaseModel):
    version: int
    created_at: datetime
    is_live: bool = Field(description="Answers come from this one")
    is_pinned: bool = Field(description="Made live by hand: stays live until `latest` is activated")
    card: dict[str, Any] = Field(description="What it was made from, how, and how good it is")

    @classmethod
    def of(cls, entry: SnapshotEntry) -> Self:
        return cls(
            version=entry.version,
            created_at=entry.created_at,
            is_live=entry.is_live,
            is_pinned=entry.is_pinned,
            card=entry.card,
        )


class SnapshotsOut(BaseModel):
    snapshots: list[SnapshotOut] = Field(description="Newest first")
