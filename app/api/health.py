"""Probes of liveness and readiness, and metrics, for operators."""

from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from app.api.access import OPEN, caller_of, needs
from app.api.probe_thread import ProbeThread
from app.api.problems import responses
from app.api.routing import StrictRoute, control_of, service_of
from app.auth.errors import ForbiddenError
from app.erasure.overdue import OverdueWarning, overdue_warning
from app.errors import ReckonError, StorageUnavailableError, UnavailableError
from app.observability.processes import read_processes
from app.serving.serving_state import Damage
from app.store import Store
from app.training.rejections import RejectionWarning, rejection_warning

router = APIRouter(tags=["operation"], route_class=StrictRoute)


class Health(BaseModel):
    status: Literal["ok"]


class ReadinessWarning(BaseModel):
    """The service answers, and an operator should act nevertheless."""

    reason: str
    advice: str = Field(description="What to do about it")


UNREAD = ReadinessWarning(
    reason="the database was too slow to tell whether training runs were rejected or erasures are overdue",
    advice="If this goes on, look at the load of the database.",
)
WARNINGS_SECONDS = 1.0
METRICS_SECONDS = 5.0
"""Time limits of the reads of the database for the two answers."""


class DegradedPart(BaseModel):
    """Something that does not work, without which the service goes on as well as it can."""

    part: Literal["database"]
    since: datetime = Field(examples=["2026-11-30T08:00:00Z"])
    reason: str = Field(examples=["the database does not answer"])


class ProcessOut(BaseModel):
    """A process of `reckon serve`."""

    name: str = Field(description="`api 1`, `api 2`, ..., `worker`", examples=["worker"])
    state: Literal["running", "restarting"] = Field(description="Restarting: from its end to its next start")
    since: datetime = Field(description="Of the state", examples=["2026-05-01T12:00:00Z"])
    last_exit: str | None = Field(
        description="How it ended last: a signal or an exit code; null if it has not, or has run for a minute since",
        examples=["SIGKILL"],
    )


class Readiness(BaseModel):
    """All but `status` is for operators, and left out for other callers: see `readyz`."""

    status: Literal["ready", "degraded"] = Field(
        description="`degraded`: lists are made from what is remembered; all that needs the database is answered 503"
    )
    degraded: list[DegradedPart] = Field([], description="What does not work, and since when; empty while all does")
    snapshot_version: int | None = Field(None, description="Null before the first training: lists hold popular items")
    fallback_reason: str | None = Field(
        None, description="Why the snapshot holds popular items alone, the same list for all users; null if it does not"
    )
    fallback_advice: str | None = Field(None, description="What to do about it; null if there is nothing to say")
    warnings: list[ReadinessWarning] = Field(
        [],
        description="One if the gate has rejected two or more training runs in a row: lists grow old meanwhile; one if"
        " erasures of users are overdue; one if the live snapshot cannot be served or fetched, so that another one or"
        " popular items are; one for each process that ended within the last minute; one if the database was too slow"
        " to tell",
    )
    processes: list[ProcessOut] = Field(
        [], description="Those of this `reckon serve`; empty if something else runs the API"
    )


@router.get("/livez", summary="Check that the process runs", responses=responses(422), openapi_extra=OPEN)
async def livez() -> Health:
    """Does not touch the database: restarting this process would not repair one."""
    return Health(status="ok")


@router.get(
    "/readyz",
    summary="Check that requests can be answered",
    responses=responses(422, 503),
    response_model_exclude_unset=True,
    openapi_extra=OPEN,
)
async def readyz(request: Request) -> Readiness:
    """200 as long as lists can be made, if need be from memory: a balancer that removed this process, and every other
    one, because of their common database would make things worse. 503 while the database does not answer and nothing
    is remembered, and while the service, told to stop, still answers so that a balancer can remove it first. 200
    without a snapshot, since popular items can be listed. With object storage, 503 from the start until the live
    snapshot is fetched, or cannot be fetched for a minute.

    It needs no key, and answers `status` alone then. With a key of the main catalogue that has the scope `console` or
    `admin`, and while the service is open, it says more.
    """
    states = read_processes()
    if any(each.state == "stopping" for each in states):
        raise UnavailableError("the service is about to stop")
    service = service_of(request)
    if (awaited := service.serving.awaited) is not None:
        raise UnavailableError(awaited)
    scorer = service.serving.current.scorer
    degraded = []
    try:
        # The read of every answer, with its time limit: it fails if the database does not answer, and costs nothing.
        await service.store.reads.freshness("")
    except StorageUnavailableError as error:
        if not scorer.is_learned and not len(service.serving.current.catalogue):
            raise
        outage = service.store.availability.outage
        since = datetime.now(UTC) if outage is None else outage.since
        degraded = [DegradedPart(part="database", since=since, reason=error.detail)]
    status: Literal["ready", "degraded"] = "degraded" if degraded else "ready"
    if not _is_operator(request):
        return Readiness(status=status)
    processes = [ProcessOut.model_validate(each, from_attributes=True) for each in states]
    return Readiness(
        status=status,
        degraded=degraded,
        snapshot_version=scorer.version,
        fallback_reason=scorer.fallback_reason,
        fallback_advice=scorer.fallback_advice,
        warnings=[
            *([] if degraded else await _stored_warnings(request.app.state.readiness_thread, service.store)),
            *([] if (damage := service.serving.damage) is None else [_shown(damage)]),
            *(_warning_of(each) for each in processes if each.last_exit is not None),
        ],
        processes=processes,
    )


async def _stored_warnings(thread: ProbeThread, store: Store) -> list[ReadinessWarning]:
    """Those that the database tells of. Where it takes too long, that is the warning: the answer must not wait."""
    try:
        found = await thread.within(WARNINGS_SECONDS, lambda: (rejection_warning(store), overdue_warning(store)))
    except TimeoutError:
        return [UNREAD]
    except ReckonError as error:
        return [UNREAD.model_copy(update={"reason": f"{UNREAD.reason}: {error.detail}"})]
    return [_shown(each) for each in found if each is not None]


def _shown(warning: RejectionWarning | OverdueWarning | Damage) -> ReadinessWarning:
    return ReadinessWarning(reason=warning.reason, advice=warning.advice)


def _is_operator(request: Request) -> bool:
    """Whether the service is open, or the request has the key of an operator."""
    caller = request.scope["state"].get("caller")
    if caller is None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return False
        try:
            # In memory alone: a probe is answered whatever the database does.
            caller = control_of(request).keys.find(key.strip()).caller
        except ReckonError:
            return False
    return bool(caller.tenant is None and "console" in caller.scopes)  # which `admin` includes


def _warning_of(process: ProcessOut) -> ReadinessWarning:
    return ReadinessWarning(
        reason=f"the process `{process.name}` ended with {process.last_exit}; {process.state} since {process.since}",
        advice="It is started again, after a pause that grows to 30 seconds. Its log says why it ended.",
    )


@router.get(
    "/metrics",
    summary="Get metrics for Prometheus",
    response_class=Response,
    responses=responses(422, 503),
    openapi_extra=needs("console"),
)
async def get_metrics(request: Request) -> Response:
    """Those of all tenants together, and so for a key of the main catalogue alone."""
    if caller_of(request).tenant is not None:
        raise ForbiddenError("the metrics are of the whole deployment: they need a key of the main catalogue")
    try:
        text = await request.app.state.metrics_thread.within(METRICS_SECONDS, service_of(request).metrics.render)
    except TimeoutError:
        raise UnavailableError("the metrics could not be read in time") from None
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
