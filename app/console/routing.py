"""How the pages and acts of the console are called.

A route checks the operator's scope, the token of the form and the origin, and records every act in the audit log. A
handler of a POST says what it does: `changes("placements.put")`, or `reads` where it changes nothing. One that says
neither fails when the application is built.
"""

from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from app.auth.console_sessions import ConsoleSession, is_token_of
from app.auth.errors import ForbiddenError, MissingScopeError
from app.auth.key_ring import Caller
from app.auth.refusals import acts_in
from app.console.resend import CATALOGUE, FORM_TOKEN, resend_page
from app.errors import ChangedMeanwhileError, ConflictError, InvalidInputError, ReckonError, StorageFullError
from app.settings import Settings
from app.store.audit import ANY_CALLER, SUCCEEDED
from app.store.read_limit import limited_reads
from app.tenancy.open_services import Lease
from app.wiring import Control, Service

if TYPE_CHECKING:
    from app.auth.scopes import Scope

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Handler = Callable[[Request], Coroutine[Any, Any, Response]]

READ_SECONDS = 5.0
"""For each read of a page that changes nothing."""

UNMARKED = ""
OUTCOMES = {
    each.status: each.type for each in (ConflictError, ChangedMeanwhileError, InvalidInputError, StorageFullError)
}
"""What the audit log says of a form that is shown again, by the status of the page."""

FORM_TOKEN_HEADER = "x-form-token"  # noqa: S105
CATALOGUE_HEADER = "x-catalogue"


class FormTokenError(ForbiddenError):
    """The answer holds the token of the session, with which `console.js` renews the page."""

    type = "form-token"
    title = "This page was older than your session"

    def __init__(self, form_token: str) -> None:
        super().__init__("Nothing was changed. The page is renewed: try again.")
        self._form_token = form_token

    @property
    def headers(self) -> Mapping[str, str]:
        return {FORM_TOKEN_HEADER: self._form_token}


class CatalogueChangedError(ForbiddenError):
    """The page is of another catalogue than the session, so what was typed into it must not be sent to this one."""

    type = "form-token"
    title = "You work on another catalogue now"

    def __init__(self, tenant: str | None) -> None:
        name = "the main catalogue" if tenant is None else f"the catalogue {tenant}"
        super().__init__(f"Nothing was changed. Since this page was loaded you logged in to {name}: load it again.")


def changes(action: str) -> Callable[[Endpoint], Endpoint]:
    """Mark the handler of an act that needs the scope `admin`. `action`: its name in the audit log.

    The handler may set `request.state.audited` to the name of the object that it changes.
    """

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.action = action  # type: ignore[attr-defined]  # read by `ConsoleRoute`
        return endpoint

    return mark


def reads(endpoint: Endpoint) -> Endpoint:
    """Mark the handler of a POST that changes nothing, and needs the scope `console` alone."""
    endpoint.action = None  # type: ignore[attr-defined]  # read by `ConsoleRoute`
    return endpoint


def for_admins(endpoint: Endpoint) -> Endpoint:
    """Mark the handler of what needs the scope `admin` although it changes nothing: users' content, and keys."""
    endpoint.is_for_admins = True  # type: ignore[attr-defined]  # read by `ConsoleRoute`
    return endpoint


def service_of(request: Request) -> Service:
    """The objects of the catalogue that the operator sees."""
    service: Service = request.scope["state"]["service"]
    return service


def lease_of(request: Request) -> Lease | None:
    """What keeps these objects open until the end of the request; None for the main catalogue, which is always open.

    Work that goes on after the request must hold it: see `Lease.hold_for`.
    """
    lease: Lease | None = request.scope["state"]["lease"]
    return lease


def data_dir_of(request: Request) -> Path:
    """The folder with the files of the operator's catalogue."""
    return settings_of(request).data_dir


def control_of(request: Request) -> Control:
    control: Control = request.app.state.control
    return control


def settings_of(request: Request) -> Settings:
    """Those of the operator's catalogue."""
    settings: Settings = request.app.state.settings
    tenant = caller_of(request).tenant
    return settings if tenant is None else settings.of_tenant(tenant)


def session_of(request: Request) -> ConsoleSession:
    session: ConsoleSession = request.scope["state"]["session"]
    return session


def caller_of(request: Request) -> Caller:
    caller: Caller = request.scope["state"]["caller"]
    return caller


def may_change(request: Request) -> bool:
    """Whether the operator may change anything."""
    caller = request.scope["state"].get("caller")
    return caller is not None and "admin" in caller.scopes


class ConsoleRoute(APIRoute):
    def get_route_handler(self) -> Handler:
        handle = whole(super().get_route_handler())
        is_get = self.methods == {"GET"}
        # A GET may be recorded as well, where it hands out what users have written.
        action: str | None = getattr(self.endpoint, "action", None if is_get else UNMARKED)
        if action == UNMARKED:
            raise TypeError(f"{self.name} ({self.path}) says neither what it changes nor that it reads")
        is_for_admins = action is not None or getattr(self.endpoint, "is_for_admins", False)
        needed: Scope = "admin" if is_for_admins else "console"

        async def handle_allowed(request: Request) -> Response:
            try:
                # `admin` includes `console`.
                if needed not in caller_of(request).scopes:
                    raise MissingScopeError([needed])
                if not is_get:
                    await check_form(request)
            except ForbiddenError as error:
                if action is not None:
                    await record_refusal(request, action, error)
                kept = None
                if isinstance(error, FormTokenError):
                    kept = await resend_page(request, is_logged_in=True, status=error.status)
                if kept is None or request.headers.get("hx-request"):
                    raise
                return kept
            try:
                if action is None:
                    with limited_reads(READ_SECONDS):
                        return await handle(request)
                return await audited(action, handle, request)
            finally:
                await request.close()  # the files of the form

        return handle_allowed


def whole(handle: Handler) -> Handler:
    async def handle_whole(request: Request) -> Response:
        try:
            return await handle(request)
        except ClientDisconnect:
            raise InvalidInputError("the form did not arrive whole", field="body") from None

    return handle_whole


async def check_form(request: Request) -> None:
    """The request must send the token of the session, as a field or as a header.

    Raises `FormTokenError`, `CatalogueChangedError`, and `InvalidInputError` for a form that does not arrive whole.
    """
    token, catalogue = (request.headers.get(name) for name in (FORM_TOKEN_HEADER, CATALOGUE_HEADER))
    if token is None:
        try:
            form = await request.form()
        except ClientDisconnect:
            raise InvalidInputError("the form did not arrive whole", field="body") from None
        token, catalogue = (str(form.get(name, "")) for name in (FORM_TOKEN, CATALOGUE))
    if is_token_of(session_of(request), token):
        return
    if (catalogue or "") != (caller_of(request).tenant or ""):
        raise CatalogueChangedError(caller_of(request).tenant)
    raise FormTokenError(session_of(request).form_token)


async def audited(action: str, handle: Handler, request: Request) -> Response:
    """The response of the handler, once the audit log holds what came of the act."""
    outcome = ReckonError.type
    try:
        response = await handle(request)
        # A form that is refused is shown again, with the reason.
        outcome = OUTCOMES.get(response.status_code, SUCCEEDED)
    except ReckonError as error:
        outcome = error.type
        raise
    except RequestValidationError:
        outcome = InvalidInputError.type
        raise
    finally:
        target = getattr(request.state, "audited", _target_of(request))
        actor = caller_of(request).key_id or ANY_CALLER
        await run_in_threadpool(service_of(request).store.audit.record, actor, action, target, outcome)
    return response


async def record_refusal(request: Request, action: str, error: ForbiddenError) -> None:
    """Record that the operator may not do this, or by this form; see `app.auth.refusals`."""
    caller = caller_of(request)
    actor = caller.key_id or ANY_CALLER
    n_left_out = control_of(request).refusals.left_out_before(acts_in(caller.tenant), actor, action, error.type)
    if n_left_out is not None:
        audit = service_of(request).store.audit
        entry = actor, action, _target_of(request), error.type
        await run_in_threadpool(audit.record_refusal, *entry, n_left_out=n_left_out)


def _target_of(request: Request) -> str:
    """The parts of the path that name the object of an act, without ids of users and of files that may hold users."""
    return "/".join(str(value) for name, value in request.path_params.items() if name not in {"user_id", "upload_id"})


def console_router(prefix: str = "") -> APIRouter:
    return APIRouter(prefix=prefix, route_class=ConsoleRoute)
