"""Probes of liveness and readiness, and metrics, for operators."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from app.api.problems import responses
from app.api.routing import StrictRoute, service_of

router = APIRouter(tags=["operation"], route_class=StrictRoute)


class Health(BaseModel):
    status: Literal["ok"]


class Readiness(BaseModel):
    status: Literal["ready"]
    snapshot_version: int | None = Field(description="Null before the first training: lists hold popular items")


@router.get("/livez", summary="Check that the process runs", responses=responses(422))
async def livez() -> Health:
    """Does not touch the database: restarting this process would not repair one."""
    return Health(status="ok")


@router.get("/readyz", summary="Check that requests can be answered", responses=responses(422, 503))
def readyz(request: Request) -> Readiness:
    """503 while the database does not answer. 200 without a snapshot, since popular items can be listed."""
    service = service_of(request)
    # A read of one row: it fails if the database does not answer, and costs nothing otherwise.
    service.store.users.freshness("")
    return Readiness(status="ready", snapshot_version=service.serving.current.version)


@router.get("/metrics", summary="Get metrics for Prometheus", response_class=Response, responses=responses(422))
def get_metrics(request: Request) -> Response:
    text = service_of(request).metrics.render()
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
