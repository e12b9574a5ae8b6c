"""The query parameters of a list of similar items."""

from dataclasses import fields
from functools import cached_property
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.api.item_fields import OF_STORED_ITEMS, FieldsOf
from app.api.list_parameters import Excluded, Limit, SeveralCategories, SeveralFilters
from app.intake.value_types import Cursor, Id, Name
from app.serving.expressions import parse_all
from app.serving.item_details import ItemSelection
from app.serving.query import DEFAULT_PLACEMENT, ListOptions, Query, SimilarItem
from app.serving.rows import NO_ROWS
from app.serving.similar import BLEND, SimilarKind, listing_of
from app.serving.tokens import TokenSigner

SIMILAR_FIELDS = tuple(each.name for each in fields(SimilarItem))
"""What the list says of an item without reading its row."""


class SimilarParameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: Limit = 20
    kind: Annotated[
        SimilarKind,
        Field(
            description="In what the items are alike: `blend` of all that is known; `taste`: liked by the same users;"
            " `together`: chosen together; `next`: chosen afterwards",
        ),
    ] = BLEND
    user_id: Annotated[
        Id | None,
        Field(
            description="Leave out what this user has, and move up what suits the user. Unknown users change nothing"
        ),
    ] = None
    category: SeveralCategories = []
    filter: SeveralFilters = []
    exclude: Excluded = []
    placement: Annotated[
        Name,
        Field(max_length=100, description="The placement whose restrictions apply"),
    ] = DEFAULT_PLACEMENT
    fields: Annotated[
        list[str],
        FieldsOf(SIMILAR_FIELDS),
        Field(
            description=f"Fields of the items to return, besides `item_id`: fields of this list, {OF_STORED_ITEMS}",
            examples=[["title,similarity,year"]],
        ),
    ] = []
    cursor: Annotated[Cursor | None, Field(description="`next_cursor` of the previous page")] = None

    @cached_property
    def selection(self) -> ItemSelection:
        """The fields to return for each item."""
        return ItemSelection.parse(self.fields, SIMILAR_FIELDS)

    def query(self, item_id: str, tokens: TokenSigner) -> Query:
        """Raises `ForgedTokenError` for a cursor that was not issued to this user for this item, and
        `InvalidInputError` for a filter that does not parse.
        """
        options = ListOptions(
            limit=self.limit,
            exclude=tuple(self.exclude),
            categories=tuple(self.category),
            filter=parse_all(self.filter),
            placement=self.placement,
        )
        listing = listing_of(item_id, self.user_id)
        returned = NO_ROWS if self.cursor is None else tokens.read_cursor(listing, self.cursor)
        return Query(self.user_id, options, returned_keys=returned)
