"""Training on request, and what was published."""

from typing import Annotated

from fastapi import APIRouter, Path

from app.api.problems import responses
from app.api.schemas.training import SnapshotOut, SnapshotsOut, TrainingJobIn, TrainingJobOut
from app.api.strict_route import StrictRoute
from app.api.types import Id
from app.store.jobs import Jobs
from app.store.snapshots import SnapshotRegister
from app.training.recipe import parse_recipe

LATEST = "latest"
Version = Annotated[int, Path(ge=1, lt=2**63)]
VersionOrLatest = Annotated[str, Path(pattern=rf"^({LATEST}|[1-9][0-9]{{0,17}})$", examples=[LATEST])]


def training_router(jobs: Jobs, snapshots: SnapshotRegister) -> APIRouter:
    router = APIRouter(tags=["training"], route_class=StrictRoute)

    @router.post("/training-jobs", summary="Train", status_code=202, responses=responses(400, 413, 422, 503, 507))
    def post_training_job(body: TrainingJobIn | None = None) -> TrainingJobOut:
        """Queues a run for the worker. While the same request waits in the queue, that job is answered."""
        asked = body or TrainingJobIn()
        recipe = None if asked.recipe is None else parse_recipe(asked.recipe).document
        return TrainingJobOut.of(jobs.enqueue("request", seed=asked.seed, recipe=recipe))

    @router.get("/training-jobs/{job_id}", summary="How far a run is", responses=responses(404, 422, 503))
    def get_training_job(job_id: Id) -> TrainingJobOut:
        return TrainingJobOut.of(jobs.get(job_id))

    @router.get("/snapshots", summary="What was published", responses=responses(422, 503))
    def get_snapshots() -> SnapshotsOut:
        return SnapshotsOut(snapshots=[SnapshotOut.of(entry) for entry in snapshots.entries()])

    @router.get("/snapshots/{version}", summary="A snapshot's card", responses=responses(404, 422, 503))
    def get_snapshot(version: Version) -> SnapshotOut:
        return SnapshotOut.of(snapshots.get(version))

    @router.post("/snapshots/{version}/activate", summary="Answer from this one", responses=responses(404, 422, 503))
    def activate_snapshot(version: VersionOrLatest) -> SnapshotOut:
        """Pins it: later runs publish without going live, until `latest` is activated. All processes follow at once."""
        return SnapshotOut.of(snapshots.activate(None if version == LATEST else int(version)))

    return router
