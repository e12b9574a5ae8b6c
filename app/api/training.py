"""Training jobs and published snapshots."""

from typing import Annotated

from fastapi import APIRouter, Path, Request

from app.api.access import needs
from app.api.idempotency import acts_once
from app.api.problems import responses
from app.api.routing import StrictRoute, service_of
from app.api.schemas.training import SnapshotOut, SnapshotsOut, TrainingJobIn, TrainingJobOut
from app.intake.value_types import Id
from app.serving.published import ActivationRefusedError
from app.store.jobs import Job, JobEndedError, Jobs
from app.store.snapshots import ErasedSinceError
from app.training.recipe import check_source, parse_recipe

LATEST = "latest"
JobId = Annotated[Id, Path(description="The `job_id` of an answer; `latest`: the newest job")]
Version = Annotated[int, Path(ge=1, lt=2**63)]
# The pattern stays below 2^63, the largest version that the database can hold.
VersionOrLatest = Annotated[str, Path(pattern=rf"^({LATEST}|[1-9][0-9]{{0,17}})$", examples=[LATEST])]

router = APIRouter(tags=["training"], route_class=StrictRoute)


@router.post(
    "/training-jobs",
    summary="Request a training run",
    status_code=202,
    responses=responses(400, 413, 422, 503, 507),
    openapi_extra=needs("training", audit="training.request"),
)
@acts_once
def post_training_job(request: Request, body: TrainingJobIn | None = None) -> TrainingJobOut:
    """Queues a training run for the worker. While an equal request waits in the queue, its job is returned."""
    wanted = body or TrainingJobIn()
    # Parsed here, so that a wrong recipe is a 422 and not a failed job; the document has the current names.
    recipe = None if wanted.recipe is None else parse_recipe(wanted.recipe)
    store = service_of(request).store
    if recipe is not None:
        check_source(recipe, store)
    document = None if recipe is None else recipe.document
    job = store.jobs.enqueue("request", seed=wanted.seed, recipe=document, accept=wanted.accept)
    request.state.audited = job.job_id
    return TrainingJobOut.from_job(job)


@router.get(
    "/training-jobs/{job_id}",
    summary="Get a training job",
    responses=responses(404, 422, 503),
    openapi_extra=needs("training", "console"),
)
def get_training_job(request: Request, job_id: JobId) -> TrainingJobOut:
    return TrainingJobOut.from_job(_job(service_of(request).store.jobs, job_id))


@router.post(
    "/training-jobs/{job_id}/cancel",
    summary="Cancel a training job",
    responses=responses(
        *(404, 409, 422, 503, 507),
        errors={"it has ended": JobEndedError("9b2f6c0d4e7a41b38c5d1f0a6e2b7c94", "succeeded")},
    ),
    openapi_extra=needs("training", audit="training.cancel"),
)
@acts_once
def cancel_training_job(request: Request, job_id: JobId) -> TrainingJobOut:
    """A queued job is `cancelled` at once. A running one stops when its run reports progress next, which is a matter of
    seconds, and is `cancelled` then; until then it has `cancel_requested_at`. Either publishes nothing. A job that is
    cancelled already stays as it is.

    Automatic training waits for an hour, unless a run succeeds before. A new request for training does not wait.
    """
    jobs = service_of(request).store.jobs
    job = jobs.cancel(_job(jobs, job_id).job_id)
    request.state.audited = job.job_id
    return TrainingJobOut.from_job(job)


@router.get(
    "/snapshots",
    summary="List the published snapshots",
    responses=responses(422, 503),
    openapi_extra=needs("training", "console"),
)
def get_snapshots(request: Request) -> SnapshotsOut:
    service = service_of(request)
    entries = service.store.snapshots.entries()
    return SnapshotsOut(
        snapshots=[SnapshotOut.from_entry(entry, service.published.problem(entry)) for entry in entries]
    )


@router.get(
    "/snapshots/{version}",
    summary="Get a snapshot's card",
    responses=responses(404, 422, 503),
    openapi_extra=needs("training", "console"),
)
def get_snapshot(request: Request, version: Version) -> SnapshotOut:
    service = service_of(request)
    entry = service.store.snapshots.get(version)
    return SnapshotOut.from_entry(entry, service.published.problem(entry))


@router.post(
    "/snapshots/{version}/activate",
    summary="Activate a snapshot",
    responses=responses(
        *(404, 409, 422, 503, 507),
        errors={
            "its folder is damaged": ActivationRefusedError(1, "item_vectors.npy is not what was written"),
            "a user in it was erased": ErasedSinceError(1),
        },
    ),
    openapi_extra=needs("training", audit="snapshots.activate"),
)
@acts_once
def activate_snapshot(request: Request, version: VersionOrLatest) -> SnapshotOut:
    """Makes the snapshot live in all processes and pins it: later runs publish snapshots that do not go live, until
    `latest` is activated. Refused where the snapshot is missing or damaged, or holds users who were erased since.
    """
    entry = service_of(request).published.activate(None if version == LATEST else int(version))
    return SnapshotOut.from_entry(entry, problem=None)


def _job(jobs: Jobs, job_id: str) -> Job:
    # Ids of jobs are hexadecimal, so none of them is `latest`.
    newest = jobs.latest(limit=1) if job_id == LATEST else []
    return newest[0] if newest else jobs.get(job_id)
