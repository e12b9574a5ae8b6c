"""Logging in with an API key, and out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import structlog
from fastapi import Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool
from structlog.contextvars import bound_contextvars

from app.auth.errors import MissingScopeError, UnauthorizedError
from app.auth.key_ring import Caller, HeldKey
from app.auth.keys import KEY_LENGTH
from app.auth.refusals import acts_in
from app.console.rendering import page
from app.console.routing import control_of
from app.console.sessions import COOKIE, cookie_of
from app.errors import ReckonError
from app.store.audit import ANY_CALLER, AuditLog

if TYPE_CHECKING:
    from app.auth.console_sessions import ConsoleSessions
    from app.tenancy.open_services import OpenServices

log = structlog.get_logger()

HOME = "/"
MAX_NEXT = 2_000
LOG_IN, LOG_OUT = "console.login", "console.logout"
"""Their names in the audit log."""


@dataclass(frozen=True, slots=True)
class LoginView:
    """`next`: the address to go to afterwards. `problem`: why the last attempt failed; None before the first."""

    next: str
    problem: str | None


def next_page(text: str) -> str:
    """Return the address if it is a page of the console, and otherwise that of Home: a link leads nowhere else."""
    is_own = text == HOME or text.startswith((f"{HOME}?", "/console/", "/console?"))
    return text if is_own and len(text) <= MAX_NEXT and text.isprintable() and "\\" not in text else HOME


async def show(request: Request, next: Annotated[str, Query()] = HOME) -> Response:  # noqa: A002  the name in the address
    if control_of(request).keys.is_open:
        return RedirectResponse(HOME, status_code=303)
    return page(request, "login.html", LoginView(next_page(next), None))


async def log_in(
    request: Request,
    key: Annotated[str, Form(max_length=KEY_LENGTH + 35)] = "",
    next: Annotated[str, Form()] = HOME,  # noqa: A002  the name of the field
) -> Response:
    """Start a session of the key. `WebPages` has checked that the form is a page of this service."""
    target = next_page(next)
    try:
        held = await _held(request, key.strip())
    except ReckonError as error:
        return page(request, "login.html", LoginView(target, _problem(error)), status=error.status)
    sessions: ConsoleSessions = request.scope["state"]["sessions"]
    session = sessions.start(held.key.key_id)
    await _record(request, held.caller, LOG_IN)
    response = RedirectResponse(target, status_code=303)
    response.headers["set-cookie"] = cookie_of(session, request.scope)
    return response


async def log_out(request: Request) -> Response:
    caller: Caller | None = request.scope["state"]["caller"]
    # Not of a session that has ended, nor of an open service, where nobody has logged in.
    if caller is not None and caller.key_id is not None:
        await _record(request, caller, LOG_OUT)
    response = RedirectResponse("/console/login", status_code=303)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")
    return response


async def _held(request: Request, text: str) -> HeldKey:
    """The valid key of an operator. Raises `UnauthorizedError`, `RateLimitedError` or `MissingScopeError`."""
    control = control_of(request)
    address = request.client.host if request.client else ""
    try:
        held = control.keys.find(text)
    except UnauthorizedError:
        control.limits.check_failures(address)
        try:
            held = await run_in_threadpool(control.keys.find_again, text)
        except UnauthorizedError:
            control.limits.count_failure(address)
            log.warning("authentication failed", peer=address)
            n_left_out = control.refusals.left_out_before(ANY_CALLER, LOG_IN, UnauthorizedError.type)
            if n_left_out is not None:
                refused = (ANY_CALLER, LOG_IN, "", UnauthorizedError.type)
                await run_in_threadpool(control.store.audit.record_refusal, *refused, n_left_out=n_left_out)
            raise
    if "console" not in held.caller.scopes:  # which `admin` includes
        error = MissingScopeError(["console", "admin"])
        await _record_refusal(request, held.caller, error)
        raise error
    return held


async def _record(request: Request, caller: Caller, action: str) -> None:
    async with _audit_log(request, caller) as (audit, target):
        await run_in_threadpool(audit.record, caller.key_id or ANY_CALLER, action, target)


async def _record_refusal(request: Request, caller: Caller, error: ReckonError) -> None:
    actor = caller.key_id or ANY_CALLER
    refusals = control_of(request).refusals
    n_left_out = refusals.left_out_before(acts_in(caller.tenant), actor, LOG_IN, error.type)
    if n_left_out is not None:
        async with _audit_log(request, caller) as (audit, target):
            await run_in_threadpool(audit.record_refusal, actor, LOG_IN, target, error.type, n_left_out=n_left_out)


@asynccontextmanager
async def _audit_log(request: Request, caller: Caller) -> AsyncIterator[tuple[AuditLog, str]]:
    """Yields the audit log of the caller's catalogue, and the target of an entry about a session.

    If the catalogue cannot be opened, it is the main audit log, with the tenant as the target.
    """
    main = control_of(request).store.audit
    if caller.tenant is None:
        yield main, ""
        return
    tenants: OpenServices = request.app.state.tenants
    with bound_contextvars(tenant=caller.tenant):
        try:
            lease, service = await tenants.lease(caller.tenant)
        except ReckonError:
            lease, service = None, None
        try:
            yield (main, caller.tenant) if service is None else (service.store.audit, "")
        finally:
            if lease is not None:
                lease.give_back()


def _problem(error: ReckonError) -> str:
    if isinstance(error, UnauthorizedError):
        return (
            "This is no valid API key. Check that all of it was copied, and that it has neither ended nor been revoked."
        )
    return error.detail[0].upper() + error.detail[1:] + "."
