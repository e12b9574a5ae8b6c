"""The options of a list, as query parameters of a GET and as the body of a POST."""

from dataclasses import replace
from functools import cached_property
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from app.api.types import MAX_WHOLE, Category, Cursor, Finite, Id, Name
from app.entities import Rating, RatingScale
from app.errors import InvalidInputError
from app.serving.expressions import parse_boost, parse_filter
from app.serving.item_details import ANSWER_FIELDS, COLUMNS, ItemSelection
from app.serving.parts import Expression
from app.serving.query import DEFAULT_PLACEMENT, ListOptions, Query
from app.serving.rows import NO_ROWS
from app.serving.tokens import TokenSigner

MAX_RATINGS = 1_000
MAX_CANDIDATES = 1_000


def _known_fields(texts: list[str]) -> list[str]:
    try:
        ItemSelection.parse(texts)
    except InvalidInputError as error:
        raise PydanticCustomError("fields", "{reason}", {"reason": error.detail}) from None
    return texts


_FIELD_NAME = rf"({'|'.join((*ANSWER_FIELDS, *COLUMNS))}|attributes\.[^,]+)"
# The pattern is only for the schema. The validator of the whole list checks the names and lists those that exist.
FieldNames = Annotated[str, Field(json_schema_extra={"pattern": f"^{_FIELD_NAME}(,{_FIELD_NAME})*$"})]


class ConditionFields(BaseModel):
    """The options that lists and rankings share. Bodies are validated strictly; query parameters are text."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    category: Annotated[Category | None, Field(description="Only items of this category")] = None
    filter: Annotated[
        Expression | None,
        Field(
            description="Only items for which this expression is true",
            examples=['year >= 1990 and "Drama" in categories'],
        ),
    ] = None
    boost: Annotated[
        Expression | None,
        Field(
            description="Moves items up or down: `condition -> factor; ...`",
            examples=['"Drama" in categories -> 1.5'],
        ),
    ] = None
    min_predicted_rating: Annotated[Finite | None, Field(description="On the rating scale")] = None
    placement: Annotated[Name, Field(max_length=100, description="The placement whose rules apply")] = DEFAULT_PLACEMENT
    explain: Annotated[bool, Field(description="Add to every item the reasons for its rank")] = False

    def options(self) -> ListOptions:
        """Raises `InvalidInputError` for an expression that does not parse."""
        return ListOptions(
            category=self.category,
            filter=None if self.filter is None else parse_filter(self.filter),
            boost=None if self.boost is None else parse_boost(self.boost),
            min_predicted_rating=self.min_predicted_rating,
            placement=self.placement,
            explain=self.explain,
        )


class ListFields(ConditionFields):
    limit: Annotated[int, Field(ge=1, le=100, description="Number of items")] = 20
    exclude: Annotated[list[str], Field(max_length=1_000, description="Item ids to leave out; may be repeated")] = []
    fields: Annotated[
        list[FieldNames],
        AfterValidator(_known_fields),
        Field(
            description="Fields of the items to return, besides `item_id`: fields of the list, columns of the item as"
            " in `GET /items/{item_id}`, and single attributes as `attributes.NAME`. Separated by commas; may be"
            " repeated. An item that lacks an attribute is returned without it",
            examples=[["title,year,attributes.minutes"]],
        ),
    ] = []

    @cached_property
    def selection(self) -> ItemSelection:
        """The fields to return for each item."""
        return ItemSelection.parse(self.fields)

    def options(self) -> ListOptions:
        return self._options

    @cached_property
    def _options(self) -> ListOptions:
        # Computed once, because `query_string` caches the parameters for all requests with the same query string.
        explain = self.explain or "reasons" in self.selection.answer_fields
        return replace(super().options(), limit=self.limit, exclude=tuple(self.exclude), explain=explain)


class PageFields(ListFields):
    cursor: Annotated[Cursor | None, Field(description="`next_cursor` of the previous page")] = None

    def query(self, user_id: str | None, tokens: TokenSigner) -> Query:
        """Raises `ForgedTokenError` for a cursor that was not issued to this user."""
        returned = NO_ROWS if self.cursor is None else tokens.read_cursor(user_id or "", self.cursor)
        return Query(user_id, self.options(), returned_keys=returned)


class ListParameters(PageFields):
    min_predicted_rating: Annotated[
        # `Finite` is strict and would refuse the text of a query string.
        float | None,
        Field(allow_inf_nan=False, ge=-MAX_WHOLE, le=MAX_WHOLE, description="On the rating scale"),
    ] = None


class ListBody(PageFields):
    """The options of a list in a body, which has room for more ids than a URL."""

    model_config = ConfigDict(strict=True)

    exclude: Annotated[list[str], Field(max_length=10_000, description="Item ids to leave out")] = []


class GuestRating(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    item_id: Id
    value: Annotated[Finite, Field(description="On the rating scale of the service", examples=[4.5])]


class Recipient(BaseModel):
    """The user for whom a list is made: a stored user, or a guest with ratings."""

    user_id: Id | None = None
    ratings: Annotated[
        list[GuestRating],
        Field(max_length=MAX_RATINGS, description="Newest first; unknown items are ignored. Nothing is stored"),
    ] = []

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.user_id is not None and self.ratings:
            raise ValueError("give either a user_id or ratings")
        return self

    def rated(self, scale: RatingScale) -> tuple[Rating, ...]:
        """Return the guest's ratings. Raises `InvalidInputError` for a value that is not on the scale."""
        # The newest comes first, so the first rating of each item counts.
        newest: dict[str, Rating] = {}
        for place, rating in enumerate(self.ratings):
            value = scale.check(float(rating.value), f"body.ratings.{place}.value")
            newest.setdefault(rating.item_id, Rating("", rating.item_id, value))
        return tuple(newest.values())


class GuestBody(ListBody, Recipient):
    """A list for a guest, or for a stored user whose options do not fit into a URL."""


class RankingBody(ConditionFields, Recipient):
    """A ranking of the caller's candidates."""

    model_config = ConfigDict(strict=True)

    item_ids: Annotated[
        list[Id],
        Field(min_length=1, max_length=MAX_CANDIDATES, description="The items to rank; repeated ids count once"),
    ]
