"""Probes of liveness and readiness, and metrics, for operators."""

from asyncio import to_thread
from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from app.api.access import OPEN, needs
from app.api.problems import responses
from app.api.routing import StrictRoute, service_of
from app.erasure.overdue import OverdueWarning, overdue_warning
from app.errors import StorageUnavailableError
from app.serving.serving_state import Damage
from app.training.rejections import RejectionWarning, rejection_warning

router = APIRouter(tags=["operation"], route_class=StrictRoute)


class Health(BaseModel):
    status: Literal["ok"]


class ReadinessWarning(BaseModel):
    """The service answers, and an operator should act nevertheless."""

    reason: str
    advice: str = Field(description="What to do about it")


class DegradedPart(BaseModel):
    """Something that does not work, without which the service goes on as well as it can."""

    part: Literal["database"]
    since: datetime = Field(examples=["2026-11-30T08:00:00Z"])
    reason: str = Field(examples=["the database does not answer"])


class Readiness(BaseModel):
    status: Literal["ready", "degraded"] = Field(
        description="`degraded`: lists are made from what is remembered; all that needs the database is answered 503"
    )
    degraded: list[DegradedPart] = Field(description="What does not work, and since when; empty while all does")
    snapshot_version: int | None = Field(description="Null before the first training: lists hold popular items")
    fallback_reason: str | None = Field(
        description="Why the snapshot holds popular items alone, the same list for all users; null if it does not"
    )
    fallback_advice: str | None = Field(description="What to do about it; null if there is nothing to say")
    warnings: list[ReadinessWarning] = Field(
        description="One if the gate has rejected two or more training runs in a row: lists grow old meanwhile; one if"
        " erasures of users are overdue; one if the live snapshot cannot be served, so that another one or popular items"
        " are"
    )


@router.get("/livez", summary="Check that the process runs", responses=responses(422), openapi_extra=OPEN)
async def livez() -> Health:
    """Does not touch the database: restarting this process would not repair one."""
    return Health(status="ok")


@router.get("/readyz", summary="Check that requests can be answered", responses=responses(422, 503), openapi_extra=OPEN)
async def readyz(request: Request) -> Readiness:
    """200 as long as lists can be made, if need be from memory: a balancer that removed this process, and every other
    one, because of their common database would make things worse. 503 while the database does not answer and nothing
    is remembered. 200 without a snapshot, since popular items can be listed.
    """
    service = service_of(request)
    scorer = service.serving.current.scorer
    warnings: list[Damage | OverdueWarning | RejectionWarning | None] = []
    degraded = []
    try:
        # The read of every answer, with its time limit: it fails if the database does not answer, and costs nothing.
        await service.store.reads.freshness("")
        # Not in the threads of other requests, which may all be waiting.
        warnings = await to_thread(lambda: [rejection_warning(service.store), overdue_warning(service.store)])
    except StorageUnavailableError as error:
        if not scorer.is_learned and not len(service.serving.current.catalogue):
            raise
        outage = service.store.availability.outage
        since = datetime.now(UTC) if outage is None else outage.since
        degraded = [DegradedPart(part="database", since=since, reason=error.detail)]
    return Readiness(
        status="degraded" if degraded else "ready",
        degraded=degraded,
        snapshot_version=scorer.version,
        fallback_reason=scorer.fallback_reason,
        fallback_advice=scorer.fallback_advice,
        warnings=[
            ReadinessWarning(reason=each.reason, advice=each.advice)
            for each in (*warnings, service.serving.damage)
            if each is not None
        ],
    )


@router.get(
    "/metrics",
    summary="Get metrics for Prometheus",
    response_class=Response,
    responses=responses(422),
    openapi_extra=needs("console"),
)
async def get_metrics(request: Request) -> Response:
    # Not in the threads of other requests, which may all be waiting.
    text = await to_thread(service_of(request).metrics.render)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
