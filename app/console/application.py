"""The console as one application, which `app.main` puts beside the API.

It stands outside of the API: its pages are in neither the OpenAPI document nor the labels of the metrics.
"""

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.console import (
    access,
    data,
    data_quality,
    home,
    imports,
    item,
    items,
    learning,
    learning_compare,
    learning_job,
    learning_map,
    learning_snapshot,
    login,
    operations,
    placements,
    try_it,
    user_page,
    users,
)
from app.console.commands import Commands
from app.console.prepared import PreparedViews
from app.console.rendering import STATIC, problem_page
from app.console.sessions import Sessions
from app.errors import InvalidInputError, NotFoundError, ReckonError
from app.settings import Settings
from app.tenancy.open_services import OpenServices
from app.wiring import Control, Service

log = structlog.get_logger()

PREFIX = "/console"
ROUTERS = [
    each.router
    for each in (
        *(home, try_it, users, user_page),
        *(items, item, placements),
        *(learning, learning_job, learning_snapshot, learning_map, learning_compare),
        *(data, data_quality, imports, operations, access),
    )
]
KEPT_SECONDS = 31_536_000
"""For which browsers may keep a file: its address changes with its content."""


class UnknownPageError(NotFoundError):
    def __init__(self) -> None:
        ReckonError.__init__(self, "there is no such page")


def create_console(settings: Settings, service: Service, control: Control, tenants: OpenServices) -> ASGIApp:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, telemetry=NO_TELEMETRY)
    app.state.settings = settings
    app.state.control = control
    app.state.tenants = tenants
    app.state.commands = Commands()
    app.state.prepared_views = PreparedViews()
    for router in ROUTERS:
        app.router.routes.extend(router.routes)
    app.add_api_route("/console/login", login.show, methods=["GET"])
    app.add_api_route("/console/login", login.log_in, methods=["POST"])
    app.add_api_route("/console/logout", login.log_out, methods=["POST"])
    app.mount("/console/static", KeptFiles(directory=STATIC))
    app.add_exception_handler(ReckonError, _expected)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(DefectPages)
    return Sessions(app, service=service, control=control, tenants=tenants, image_hosts=settings.image_host_names)


NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


class ConsoleBesideApi:
    """ASGI middleware: passes the paths of the console to it, and all others on."""

    def __init__(self, app: ASGIApp, console: ASGIApp) -> None:
        self._app = app
        self._console = console

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        is_console = scope["type"] == "http" and (path in ("/", PREFIX) or path.startswith(f"{PREFIX}/"))
        await (self._console if is_console else self._app)(scope, receive, send)


class KeptFiles(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = f"public, max-age={KEPT_SECONDS}, immutable"
        return response


# The framework types handlers as taking any exception; each of these is registered for one class.
async def _expected(request: Request, error: Exception) -> Response:
    if not isinstance(error, ReckonError):
        raise TypeError(error)
    return problem_page(request, error)


async def _malformed(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise TypeError(error)
    fault = error.errors()[0]
    name = ".".join(str(each) for each in fault["loc"][1:]) or "the form"
    return problem_page(request, InvalidInputError(f"{name}: {fault['msg']}", field=name))


async def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise TypeError(error)
    if error.status_code == 404:  # noqa: PLR2004  of a path without a route
        return problem_page(request, UnknownPageError())
    return problem_page(request, FrameworkError(error))


class DefectPages:
    """ASGI middleware: a page for an unexpected error, whose text may hold SQL, paths or data of users.

    The framework would raise the error again, for the server to log it with its text.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_answered = False

        async def send_noted(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except Exception:
            if scope["type"] != "http" or is_answered:
                raise
            log.exception("defect", path=getattr(scope.get("route"), "path", "unmatched"))
            defect = ReckonError("the log of the service says what happened")
            await problem_page(Request(scope), defect)(scope, receive, send)


class FrameworkError(ReckonError):
    """An error of the framework, such as a method that a page does not take."""

    def __init__(self, error: HTTPException) -> None:
        super().__init__(str(error.detail))
        self.status = error.status_code  # type: ignore[misc]  # of the class elsewhere
        self.title = str(error.detail)  # type: ignore[misc]
