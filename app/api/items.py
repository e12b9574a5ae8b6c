"""The catalogue of items, by the caller's ids."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api.access import needs
from app.api.idempotency import acts_once
from app.api.problems import responses
from app.api.routing import StrictRoute, service_of
from app.api.schemas.body import BatchOutcome, merge_patch
from app.api.schemas.items import ItemIn, ItemOut, ItemPatchIn, ItemRowIn, ItemsIn, ItemsPage
from app.errors import NotFoundError
from app.intake.catalogue import record_entries
from app.intake.rows import read_rows
from app.intake.value_types import Cursor, Id, Text
from app.store import STORED

router = APIRouter(prefix="/items", tags=["items"], route_class=StrictRoute)


@router.get(
    "",
    summary="List the catalogue",
    responses=responses(422, 503),
    openapi_extra=needs("recommendations:read", "catalogue:write", "console"),
)
def get_items(
    request: Request,
    q: Annotated[
        Text | None, Query(max_length=200, description="Part of a title; case and accents are ignored")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Annotated[Cursor | None, Query(description="`next_cursor` of the previous page")] = None,
) -> ItemsPage:
    """Sorted by when the item was first stored, oldest first."""
    service = service_of(request)
    after = 0 if cursor is None else service.tokens.read_position("items", cursor)
    page = service.store.items.page(search=q, after=after, limit=limit + 1)
    # One more than requested was read, to know whether there is another page.
    more = len(page) > limit
    return ItemsPage(
        items=[ItemOut.from_item(item) for _, item in page[:limit]],
        next_cursor=service.tokens.position("items", page[limit - 1][0]) if more else None,
    )


@router.get(
    "/{item_id}",
    summary="Get an item",
    responses=responses(404, 422, 503),
    openapi_extra=needs("recommendations:read", "catalogue:write", "console"),
)
def get_item(request: Request, item_id: Id) -> ItemOut:
    item = service_of(request).store.items.get(item_id)
    if item is None:
        raise NotFoundError("item", item_id)
    return ItemOut.from_item(item)


@router.put(
    "/{item_id}",
    summary="Create or replace an item",
    responses=responses(400, 413, 422, 503, 507, also={201: {"model": ItemOut}}),
    openapi_extra=needs("catalogue:write"),
)
def put_item(request: Request, item_id: Id, body: ItemIn, response: Response) -> ItemOut:
    """Replaces the whole item: fields that are left out become empty. 201 if new. Ratings stay."""
    item = body.to_entity(item_id)
    (status,) = service_of(request).store.items.record([item])
    response.status_code = 201 if status == STORED else 200
    return ItemOut.from_item(item)


@router.patch(
    "/{item_id}",
    summary="Change an item",
    responses=responses(400, 404, 413, 422, 503, 507),
    openapi_extra=merge_patch(ItemPatchIn) | needs("catalogue:write"),
)
def patch_item(request: Request, item_id: Id, body: ItemPatchIn) -> ItemOut:
    """Changes the fields that the body names and keeps the others (JSON merge patch, RFC 7396): null clears a field;
    `attributes` are merged by name, and null removes one. Answers what is stored now. 404 if there is no such item.

    `{"is_available": false}` hides an item everywhere at once and erases nothing; `true` shows it again.
    """
    item = service_of(request).store.items.patch_stored(body.to_patch(item_id), field="body")
    if item is None:
        raise NotFoundError("item", item_id)
    return ItemOut.from_item(item)


@router.post(
    "/batch",
    summary="Create or replace up to 1,000 items",
    responses=responses(400, 413, 422, 503, 507),
    openapi_extra=needs("catalogue:write"),
)
@acts_once
def post_items(request: Request, batch: ItemsIn) -> BatchOutcome:
    """Checks each item separately, stores the valid ones in order in one transaction, and reports the others.

    Each row replaces the whole item as `PUT /items/{item_id}` does: fields that are left out become empty. Of several
    rows with the same id the last one counts.
    """
    rows = read_rows(batch.items, ItemRowIn, ItemRowIn.to_item)
    return BatchOutcome.from_outcomes(record_entries(rows, service_of(request).store.items.record))


@router.delete(
    "/{item_id}",
    summary="Delete an item and its ratings",
    status_code=204,
    responses=responses(422, 503),
    openapi_extra=needs("catalogue:write"),
)
def delete_item(request: Request, item_id: Id) -> None:
    """204 also if there is no such item. To hide an item but keep what is learned, `PATCH` it with
    `{"is_available": false}`.

    Ratings and events that arrive later are stored, or refused (`RECKON_UNKNOWN_ITEMS=reject`). They do not bring the
    item back: it is in no list until it is put again, or an import names it.
    """
    service_of(request).store.items.delete(item_id)
