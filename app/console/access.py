"""Who may use the service, and who has changed it: API keys and the audit log."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated

from fastapi import Form, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from app.auth.key_ring import Caller
from app.auth.keys import MAX_NOTE, ApiKey, new_key
from app.auth.scopes import SCOPES
from app.console.rendering import page
from app.console.routing import caller_of, changes, console_router, control_of, for_admins, service_of
from app.errors import ConflictError, InvalidInputError, NotFoundError
from app.store.audit import AuditEntry
from app.wiring import Control

KEYS = "/console/operations/keys"
MAX_ENTRIES = 200
MAX_DAYS = 3_650

router = console_router("/console/operations")


@dataclass(frozen=True, slots=True)
class KeyView:
    """`is_own`: whether the operator is logged in with it."""

    key: ApiKey
    is_valid: bool
    is_own: bool


@dataclass(frozen=True, slots=True)
class KeyForm:
    """What was sent of a key to make. `days`: until it ends."""

    scopes: frozenset[str] = frozenset()
    note: str = ""
    days: str = ""
    rate_limit: str = ""
    origins: str = ""


EMPTY = KeyForm()


@dataclass(frozen=True, slots=True)
class KeysView:
    """The keys of one catalogue, newest first.

    `scopes`: with their meanings. `made`: the text of a key that was just made, which is shown once. `problem`: why
    none was made from `form`.
    """

    keys: Sequence[KeyView]
    scopes: Sequence[tuple[str, str]]
    can_make: bool
    made: str | None = None
    problem: str | None = None
    form: KeyForm = EMPTY


@dataclass(frozen=True, slots=True)
class AuditView:
    """The newest entries, newest first."""

    entries: Sequence[AuditEntry]


def keys_view(control: Control, caller: Caller) -> KeysView:
    now = control.store.api_keys.now()
    own = [key for key in control.store.api_keys.read().keys if key.tenant == caller.tenant]
    keys = [
        KeyView(key, key.is_valid(now), key.key_id == caller.key_id)
        for key in sorted(own, key=lambda key: key.created_at, reverse=True)
    ]
    # Otherwise any page that reaches an open service could close it for its owner.
    can_make = caller.key_id is not None and "admin" in caller.scopes
    return KeysView(keys, list(SCOPES.items()), can_make)


@router.get("/keys")
@for_admins
async def show_keys(request: Request) -> Response:
    view = await run_in_threadpool(keys_view, control_of(request), caller_of(request))
    return page(request, "operations_keys.html", view)


@router.post("/keys")
@changes("keys.create")
async def make_key(
    request: Request,
    scopes: Annotated[list[str] | None, Form()] = None,
    note: Annotated[str, Form()] = "",
    days: Annotated[str, Form()] = "",
    rate_limit: Annotated[str, Form()] = "",
    origins: Annotated[str, Form()] = "",
) -> Response:
    """The answer is not a redirect: the key is shown here and nowhere else."""
    control, caller = control_of(request), caller_of(request)
    form = KeyForm(frozenset(scopes or []), note, days, rate_limit, origins)

    def make() -> str:
        if caller.key_id is None:
            raise ConflictError("the first key is made on the command line: reckon keys create --scope admin")
        if len(note) > MAX_NOTE:
            raise InvalidInputError(f"a note has at most {MAX_NOTE} characters", field="note")
        text, key = new_key(
            scopes=scopes or [],
            created_at=control.store.api_keys.now(),
            note=note,
            origins=origins.replace(",", " ").split(),
            rate_limit=rate_limit.strip() or None,
            lifetime=_lifetime(days),
            tenant=caller.tenant,
        )
        control.store.api_keys.add(key, creator_id=caller.key_id)
        request.state.audited = key.key_id
        control.keys.refresh_after_change()
        return text

    try:
        made = await run_in_threadpool(make)
    except InvalidInputError as error:
        view = await run_in_threadpool(keys_view, control, caller)
        return page(
            request, "operations_keys.html", replace(view, problem=error.detail, form=form), status=error.status
        )
    view = await run_in_threadpool(keys_view, control, caller)
    return page(request, "operations_keys.html", replace(view, made=made))


@router.post("/keys/{key_id}/revoke")
@changes("keys.revoke")
async def revoke_key(request: Request, key_id: str) -> Response:
    """Every process refuses the key within 5 seconds."""
    control, caller = control_of(request), caller_of(request)

    def revoke() -> None:
        # A key of another catalogue is as good as none.
        if control.store.api_keys.get(key_id).tenant != caller.tenant:
            raise NotFoundError("API key", key_id)
        control.store.api_keys.revoke(key_id)
        control.keys.refresh_after_change()

    await run_in_threadpool(revoke)
    return RedirectResponse(f"{KEYS}?said=revoked", status_code=303)


@router.get("/audit")
async def show_audit(request: Request) -> Response:
    entries = await run_in_threadpool(service_of(request).store.audit.entries, MAX_ENTRIES)
    return page(request, "operations_audit.html", AuditView(entries))


def _lifetime(days: str) -> timedelta | None:
    """Raises `InvalidInputError` unless the text is empty or a whole number of days."""
    if not days.strip():
        return None
    if not (re.fullmatch(r"\s*[0-9]{1,4}\s*", days) and 1 <= int(days) <= MAX_DAYS):
        raise InvalidInputError(f"the days until a key ends are a whole number from 1 to {MAX_DAYS:,}", field="days")
    return timedelta(days=int(days))
