"""Search by the words of titles."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.api.access import needs
from app.api.idempotency import writes_nothing
from app.api.item_fields import SelectedUnexplained
from app.api.list_parameters import Limit
from app.api.problems import responses
from app.api.responses import as_response
from app.api.routing import AnswerRoute, service_of
from app.intake.value_types import Category, Cursor, Id, Name, Normal, clean_text
from app.serving.expressions import parse_filter
from app.serving.item_details import ItemSelection
from app.serving.parts import Expression
from app.serving.query import DEFAULT_PLACEMENT, ListOptions, Query, SearchResults
from app.serving.rows import NO_ROWS
from app.serving.search import listing_of
from app.serving.tokens import TokenSigner

MAX_QUERY = 1_000

EXAMPLE = {
    "recommendation_id": "AAAAAAAAAAEAAAAAAAAAAQAF9...",
    "snapshot_version": 1,
    "strategy": "personalized",
    "items": [
        {
            "item_id": "1",
            "title": "Toy Story",
            "score": 2.1093,
            "predicted_rating": 4.12,
            "sources": [],
            "text_score": 0.91,
        }
    ],
    "next_cursor": None,
    "limit_reached": False,
    "notes": [],
}
FOUND: dict[str, Any] = {"model": SearchResults, "content": {"application/json": {"example": EXAMPLE}}}

router = APIRouter(tags=["recommendations"], route_class=AnswerRoute)


class SearchBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    query: Annotated[
        str,
        Field(
            max_length=MAX_QUERY,
            description="Words of a title, the last of which may be a beginning; empty: recommendations",
            examples=["toy stroy"],
        ),
        Normal,
        AfterValidator(clean_text),
    ]
    user_id: Annotated[Id | None, Field(description="For whom the items are ordered", examples=["1"])] = None
    limit: Limit = 20
    filter: Annotated[
        Expression | None,
        Field(description="Only items for which this expression is true", examples=["year >= 1990"]),
    ] = None
    category: Annotated[Category | None, Field(description="Only items of this category")] = None
    cursor: Annotated[Cursor | None, Field(description="`next_cursor` of the previous page")] = None
    placement: Annotated[Name, Field(max_length=100, description="The placement whose filter holds")] = (
        DEFAULT_PLACEMENT
    )
    fields: SelectedUnexplained = []

    def to_query(self, tokens: TokenSigner) -> Query:
        """Raises `ForgedTokenError` for a cursor of another query or user."""
        options = ListOptions(
            limit=self.limit,
            categories=() if self.category is None else (self.category,),
            filter=None if self.filter is None else parse_filter(self.filter),
            placement=self.placement,
        )
        listing = listing_of(self.query, self.user_id)
        returned = NO_ROWS if self.cursor is None else tokens.read_cursor(listing, self.cursor)
        return Query(self.user_id, options, returned_keys=returned)


@router.post(
    "/search",
    summary="Search items by title",
    responses=responses(400, 413, 422, 503, also={200: FOUND}),
    openapi_extra=needs("recommendations:read", browser=True),
)
@writes_nothing
async def post_search(request: Request, body: SearchBody) -> Response:
    """Lists available items whose titles match the words of the query, whatever case and accents, with up to one typo
    in a word, and with words that begin as the last one does. Items that match about as well are in the order of the
    user's scores; `text_score` says how well an item matches. Items that the user has consumed are found, too.

    An empty query is answered with recommendations, whose `text_score` is null. Nothing is stored.
    """
    service = service_of(request)
    query = body.to_query(service.tokens)
    request_state = await service.request_states.read(body.user_id or "")
    results = await service.searcher.search(body.query, query, request_state)
    service.metrics.count_recommendations(results.strategy, is_known=request_state.user.is_known)
    # The text score is always returned: it is what tells a search from other lists.
    selection = ItemSelection.parse(body.fields)
    return await as_response(results, selection, service.store.reads, request_state)
