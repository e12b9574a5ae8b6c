"""For operators and their probes."""

from fastapi import APIRouter, Response

from app.api.problems import responses
from app.api.schemas.health import Health, Readiness
from app.api.strict_route import StrictRoute
from app.observability.metrics import Metrics
from app.serving.serving_state import ServingStateHolder
from app.store.users import Users


def health_router(serving: ServingStateHolder, users: Users, metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["operation"], route_class=StrictRoute)

    @router.get("/livez", summary="The process runs", responses=responses(422))
    async def livez() -> Health:
        """Touches nothing: a restart would not mend a database."""
        return Health(status="ok")

    @router.get("/readyz", summary="Requests can be answered", responses=responses(422, 503))
    def readyz() -> Readiness:
        """503 while the database does not answer. 200 without a snapshot: popular items are answered then."""
        users.freshness("")
        return Readiness(status="ready", snapshot_version=serving.current.version)

    @router.get("/metrics", summary="Metrics for Prometheus", response_class=Response, responses=responses(422))
    def get_metrics() -> Response:
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router
