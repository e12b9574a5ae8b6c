"""Home: what the service is doing now, and what to do next."""

from dataclasses import dataclass

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from app.console.rendering import page
from app.console.routing import console_router, service_of
from app.wiring import Service

router = console_router()


@dataclass(frozen=True, slots=True)
class HomeView:
    snapshot_version: int | None


@router.get("/")
@router.get("/console")
async def show(request: Request) -> Response:
    return page(request, "home.html", await run_in_threadpool(home_view, service_of(request)))


def home_view(service: Service) -> HomeView:
    return HomeView(service.serving.current.scorer.version)
