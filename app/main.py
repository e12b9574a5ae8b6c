"""The API process: one application with every router."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp

from app import __version__
from app.api import (
    charts,
    counts,
    discovery,
    docs,
    erasures,
    events,
    health,
    imports,
    items,
    keys,
    placements,
    predictions,
    problems,
    processes,
    rankings,
    ratings,
    recommendations,
    search,
    training,
    user_export,
    users,
)
from app.api.address_check import AddressCheck
from app.api.admission import Admission
from app.api.authentication import Authentication, Origins
from app.api.body_limit import BodyLimit
from app.api.defects import Defects
from app.api.head import HeadAsGet
from app.api.probe_thread import ProbeThread
from app.api.request_metrics import RequestMetrics
from app.api.routing import CheckedRoute
from app.api.tenant_service import TenantService
from app.api.web_pages import WebPages
from app.console.application import ConsoleBesideApi, create_console
from app.console.imports import UPLOAD_PATH
from app.intake.json_limits import MAX_BODY_BYTES
from app.intake.uploads import MAX_UPLOAD_BYTES
from app.observability.logs import configure_logs
from app.observability.loop_lag import observe_loop_lag
from app.observability.traces import configure_traces
from app.settings import Settings
from app.store.connection_budget import ConnectionBudget
from app.store.presence import Presence
from app.tenancy.open_services import MOST_OPEN, OpenServices
from app.wiring import Control, Service

SWITCH_SECONDS = 0.001

STREAMED = {UPLOAD_PATH: MAX_UPLOAD_BYTES + MAX_BODY_BYTES}
"""Paths whose bodies are stored as they arrive, with the most bytes of such a body."""

TENANT_CONNECTIONS = MOST_OPEN + 16
"""To Postgres, of the pools of all tenants in a process: each keeps one, the others are for those that need more."""

DESCRIPTION = """
Send ratings and events, and get lists of items to show. Every list takes every rating into account that was
acknowledged before the request.

Errors are `application/problem+json` (RFC 9457) with a stable `type`. Ids are strings of 1-128 characters.
"""

# The framework tries the routers in this order: the lists that are requested most come first.
ROUTERS = [
    recommendations.direct_router,
    *(
        each.router
        for each in (
            recommendations,
            search,
            rankings,
            predictions,
            charts,
            discovery,
            placements,
            ratings,
            events,
            users,
            user_export,
            erasures,
            items,
            training,
            counts,
            imports,
            keys,
            processes,
            health,
        )
    ),
    placements.answer_router,
]


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application with the given settings, or with those of the environment.

    Raises `ReckonError` if the database cannot be used.
    """
    settings = settings or Settings()
    configure_logs(settings.log_format)
    configure_traces()
    service = Service.build(settings)
    control = Control.build(settings, service.store)

    budget = ConnectionBudget(TENANT_CONNECTIONS)

    def of_tenant(name: str) -> Service:
        opened = Service.build(settings.of_tenant(name), beside=service, budget=budget)
        opened.follow_databases()
        return opened

    tenants = OpenServices(of_tenant, lambda: control.keys.active_tenants)
    presence = Presence(
        service.store,
        "api",
        snapshot_version=lambda: service.serving.current.version,
        activity=service.metrics.activity.as_json,
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.follow_databases()
        following = [service.serving.follow(settings.snapshot_poll_seconds), control.keys.follow()]
        presence.start()
        # The objects that exist now live as long as the process. Without this, each full garbage collection, every few
        # thousand requests, would visit them and stop all requests for 70 ms.
        gc.freeze()
        # A thread that parses what the database returned gives the interpreter lock back to the event loop after this
        # time. With the default of 5 ms, a step of the loop that takes 4 ms ended after 15.
        sys.setswitchinterval(SWITCH_SECONDS)
        watching = [
            asyncio.create_task(observe_loop_lag(service.metrics.observe_loop_lag)),
            asyncio.create_task(tenants.follow(settings.snapshot_poll_seconds)),
        ]
        yield
        for task in watching:
            task.cancel()
        # Tests start several applications in one process; frozen objects of an old one would never be freed.
        gc.unfreeze()
        for part in (service.downloads, service.serving, control.keys):
            part.stop()
        for thread in following:
            thread.join()
        await tenants.close()
        presence.stop()
        service.threads.close()
        for probe_thread in (app.state.readiness_thread, app.state.metrics_thread):
            probe_thread.close()
        service.close()

    app = FastAPI(
        title="Reckon",
        version=__version__,
        summary="A recommendation microservice",
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        # It would name the host that the request names. The two paths are not the same.
        redirect_slashes=False,
        # Its spans and logs would hold addresses, and texts of exceptions; see `app.observability.traces`.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        lifespan=lifespan,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    app.state.service = service
    app.state.control = control
    app.state.tenants = tenants
    app.state.readiness_thread = ProbeThread("readiness")
    app.state.metrics_thread = ProbeThread("metrics")
    problems.install(app)
    docs.install(app)
    # `include_router` would build every route a second time, at the first request: that would take 40 ms longer.
    app.router.routes.extend(route for router in ROUTERS for route in router.routes)
    app.add_middleware(AddressCheck)
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES)
    app.add_middleware(TenantService, tenants=tenants)
    app.add_middleware(Admission)
    app.add_middleware(
        Authentication,
        keys=control.keys,
        limits=control.limits,
        user_tokens=control.user_tokens,
        refusals=control.refusals,
        audit=control.store.audit,
        open_paths=open_paths(app),
        open_folder=docs.FOLDER,
    )
    app.add_middleware(Defects)
    app.add_middleware(HeadAsGet)
    # Outside of `Authentication`: preflight requests of browsers have no key, and pages must be able to read a refusal.
    app.add_middleware(Origins, allowed=settings.allowed_origins, of_keys=lambda: control.keys.origins)
    app.add_middleware(
        WebPages,
        hosts=hosts_of(settings),
        origins=settings.allowed_origins,
        of_keys=lambda: control.keys.origins,
    )
    # It also counts and times the answers of the others.
    app.add_middleware(RequestMetrics, metrics=service.metrics)
    # Added last, this is the outermost: the metrics and the keys of the API do not concern the pages.
    app.add_middleware(ConsoleBesideApi, console=guarded_console(settings, service, control, tenants))
    return app


def guarded_console(settings: Settings, service: Service, control: Control, tenants: OpenServices) -> ASGIApp:
    """The console, within what it shares with the API: limits of bodies, HEAD, checks of the pages of other sites."""
    pages = create_console(settings, service, control, tenants)
    limited = BodyLimit(pages, MAX_BODY_BYTES, larger=STREAMED)
    # No page of another origin may change anything by the session of an operator, whatever it may do with the API.
    return WebPages(HeadAsGet(limited), hosts=hosts_of(settings), origins=(), of_keys=frozenset)


def hosts_of(settings: Settings) -> list[str]:
    """The names by which the service is called."""
    return [*settings.host_names, settings.host.lower()]


def open_paths(app: FastAPI) -> set[str]:
    """Return the paths that need no key. Raises `TypeError` for a route that says nothing of keys."""
    paths = set(docs.PATHS)
    for route in app.router.routes:
        if isinstance(route, CheckedRoute):
            if not route.access.scopes:
                paths.add(route.path)
        elif getattr(route, "path", "") not in {*docs.PATHS, docs.FOLDER.rstrip("/")}:
            raise TypeError(f"{route} does not check keys: its router needs one of the classes of app.api.routing")
    return paths
