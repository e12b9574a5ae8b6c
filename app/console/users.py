"""Users: search, erasure and export. The pages of one user stand in `user_page.py`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from app.console.rendering import duration, link, page, shown
from app.console.routing import changes, console_router, service_of
from app.entities import clean_id
from app.errors import NotFoundError
from app.intake.user_export import FILE_NAME, user_document
from app.store.erasures import Erasure
from app.wiring import Service

PATH = "/console/users"
N_LISTED = 50
MAX_QUERY = 200

router = console_router(PATH)


@dataclass(frozen=True, slots=True)
class UserRow:
    user_id: str
    country: str
    attributes: str


@dataclass(frozen=True, slots=True)
class ReceiptView:
    """Of an erasure. `completed_at`: None while it is pending."""

    erasure_id: str
    due_at: datetime
    completed_at: datetime | None
    n_ratings: int
    n_events: int


@dataclass(frozen=True, slots=True)
class UsersView:
    """`next`, `first`: addresses of pages; empty where there is none."""

    words: str
    users: tuple[UserRow, ...]
    next: str
    first: str
    receipt: ReceiptView | None


@dataclass(frozen=True, slots=True)
class LeaveView:
    """What is stored of a user, before it is erased or exported. `within`: until when nothing is left."""

    user_id: str
    n_ratings: int
    n_events: int
    within: str


@router.get("")
async def show(
    request: Request,
    q: Annotated[str, Query(max_length=MAX_QUERY)] = "",
    cursor: Annotated[str | None, Query()] = None,
    erasure: Annotated[str, Query()] = "",
) -> Response:
    view = await run_in_threadpool(users_view, service_of(request), q.strip(), cursor, erasure)
    return page(request, "users.html", view)


def users_view(service: Service, words: str = "", cursor: str | None = None, erasure_id: str = "") -> UsersView:
    """Raises `ForgedTokenError` for a cursor of another search."""
    listing = f"console users {words}"
    after = 0 if cursor is None else service.tokens.read_position(listing, cursor)
    found = service.store.users.page(search=words or None, after=after, limit=N_LISTED + 1)
    more = service.tokens.position(listing, found[N_LISTED - 1][0]) if len(found) > N_LISTED else None
    return UsersView(
        words=words,
        users=tuple(UserRow(user.user_id, shown(user.country), shown(user.attributes)) for _, user in found[:N_LISTED]),
        next="" if more is None else link(PATH, q=words, cursor=more),
        first="" if cursor is None else link(PATH, q=words),
        receipt=receipt_view(service.store.erasures.get(erasure_id)) if erasure_id else None,
    )


def receipt_view(erasure: Erasure) -> ReceiptView:
    removed = erasure.removed
    return ReceiptView(
        erasure.erasure_id, erasure.due_at, erasure.completed_at, removed.get("ratings", 0), removed.get("events", 0)
    )


@router.get("/{user_id}/erase")
async def confirm_erasure(request: Request, user_id: str) -> Response:
    return page(request, "user_erase.html", await run_in_threadpool(leave_view, service_of(request), user_id))


@router.get("/{user_id}/export")
async def confirm_export(request: Request, user_id: str) -> Response:
    return page(request, "user_export.html", await run_in_threadpool(leave_view, service_of(request), user_id))


def leave_view(service: Service, user_id: str) -> LeaveView:
    """Raises `NotFoundError` for an unknown user."""
    user_id = clean_id(user_id)
    if service.store.users.get(user_id) is None:
        raise NotFoundError("user", user_id)
    counts = service.store.users.count_interactions(user_id)
    return LeaveView(user_id, counts["ratings"], counts["events"], duration(service.erased_within.total_seconds()))


@router.post("/{user_id}/erase")
@changes("users.delete")
async def erase(request: Request, user_id: str) -> Response:
    service = service_of(request)
    erasure = await run_in_threadpool(service.store.users.delete, clean_id(user_id), within=service.erased_within)
    if erasure is None:
        return RedirectResponse(link(PATH, said="unchanged"), status_code=303)
    # The id of the user stays out of the log, which outlives the user.
    request.state.audited = erasure.erasure_id
    return RedirectResponse(link(PATH, said="erased", erasure=erasure.erasure_id), status_code=303)


@router.post("/{user_id}/export")
@changes("users.export")
async def export(request: Request, user_id: str) -> Response:
    document = await run_in_threadpool(user_document, clean_id(user_id), service_of(request).store.user_data)
    headers = {"Content-Disposition": f'attachment; filename="{FILE_NAME}"'}
    return StreamingResponse(document, media_type="application/json", headers=headers)
