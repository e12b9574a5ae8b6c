"""The catalogue, by the caller's ids."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.problems import responses
from app.api.schemas.items import ItemIn, ItemOut, ItemsPage
from app.api.strict_route import StrictRoute
from app.api.types import Cursor, Id, Text
from app.errors import NotFoundError
from app.serving.tokens import TokenSigner
from app.store import STORED
from app.store.items import Items


def items_router(items: Items, tokens: TokenSigner) -> APIRouter:
    router = APIRouter(prefix="/items", tags=["items"], route_class=StrictRoute)

    @router.get("", summary="The catalogue, page by page", responses=responses(422, 503))
    def get_items(
        q: Annotated[Text | None, Query(max_length=200, description="Part of a title, in any case")] = None,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
        cursor: Annotated[Cursor | None, Query(description="`next_cursor` of the page before")] = None,
    ) -> ItemsPage:
        """In the order in which the items became known."""
        after = 0 if cursor is None else tokens.read_position("items", cursor)
        page = items.page(search=q, after=after, limit=limit + 1)
        more = len(page) > limit
        return ItemsPage(
            items=[ItemOut.of(item) for _, item in page[:limit]],
            next_cursor=tokens.position("items", page[limit - 1][0]) if more else None,
        )

    @router.get("/{item_id}", summary="An item", responses=responses(404, 422, 503))
    def get_item(item_id: Id) -> ItemOut:
        item = items.get(item_id)
        if item is None:
            raise NotFoundError("item", item_id)
        return ItemOut.of(item)

    @router.put(
        "/{item_id}",
        summary="Make or replace an item",
        responses=responses(400, 413, 422, 503, 507, also={201: {"model": ItemOut}}),
    )
    def put_item(item_id: Id, body: ItemIn, response: Response) -> ItemOut:
        """Replaces the whole: what is left out becomes empty. 201 when new. Ratings are not touched."""
        item = body.to_entity(item_id)
        (status,) = items.record([item])
        response.status_code = 201 if status == STORED else 200
        return ItemOut.of(item)

    @router.delete(
        "/{item_id}", summary="Delete an item with its ratings", status_code=204, responses=responses(422, 503)
    )
    def delete_item(item_id: Id) -> None:
        """204 also when there is none. To stop showing an item but keep what is learned, put `is_available: false`."""
        items.delete(item_id)

    return router
