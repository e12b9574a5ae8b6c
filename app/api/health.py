"""Probes of liveness and readiness, and metrics, for operators."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from app.api.access import OPEN, needs
from app.api.problems import responses
from app.api.routing import StrictRoute, service_of
from app.training.rejections import rejection_warning

router = APIRouter(tags=["operation"], route_class=StrictRoute)


class Health(BaseModel):
    status: Literal["ok"]


class ReadinessWarning(BaseModel):
    """The service answers, and an operator should act nevertheless."""

    reason: str
    advice: str = Field(description="What to do about it")


class Readiness(BaseModel):
    status: Literal["ready"]
    snapshot_version: int | None = Field(description="Null before the first training: lists hold popular items")
    fallback_reason: str | None = Field(
        description="Why the snapshot holds popular items alone, the same list for all users; null if it does not"
    )
    fallback_advice: str | None = Field(description="What to do about it; null if there is nothing to say")
    warnings: list[ReadinessWarning] = Field(
        description="One if the gate has rejected two or more training runs in a row: lists grow old meanwhile"
    )


@router.get("/livez", summary="Check that the process runs", responses=responses(422), openapi_extra=OPEN)
async def livez() -> Health:
    """Does not touch the database: restarting this process would not repair one."""
    return Health(status="ok")


@router.get("/readyz", summary="Check that requests can be answered", responses=responses(422, 503), openapi_extra=OPEN)
def readyz(request: Request) -> Readiness:
    """503 while the database does not answer. 200 without a snapshot, since popular items can be listed."""
    service = service_of(request)
    # Reads of one row each: they fail if the database does not answer, and cost nothing otherwise.
    service.store.users.freshness("")
    scorer = service.serving.current.scorer
    rejections = rejection_warning(service.store)
    return Readiness(
        status="ready",
        snapshot_version=scorer.version,
        fallback_reason=scorer.fallback_reason,
        fallback_advice=scorer.fallback_advice,
        warnings=[] if rejections is None else [ReadinessWarning(reason=rejections.reason, advice=rejections.advice)],
    )


@router.get(
    "/metrics",
    summary="Get metrics for Prometheus",
    response_class=Response,
    responses=responses(422),
    openapi_extra=needs("console"),
)
def get_metrics(request: Request) -> Response:
    text = service_of(request).metrics.render()
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
