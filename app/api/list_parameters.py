"""The options of a list, as query parameters of a GET and as the body of a POST."""

from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field

from app.api.item_fields import SelectedFields
from app.api.recipients import Recipient
from app.intake.value_types import MAX_WHOLE, Category, Cursor, Finite, Id, Integral, Name
from app.serving.expressions import parse_all, parse_boost
from app.serving.item_details import ItemSelection
from app.serving.parts import Expression
from app.serving.query import DEFAULT_PLACEMENT, ListOptions, Query
from app.serving.rows import NO_ROWS
from app.serving.tokens import TokenSigner

MAX_CANDIDATES = 1_000
MAX_CATEGORIES = 100
LEAST_PREDICTED = "On the rating scale; without effect where no ratings are predicted"

Limit = Annotated[int, Field(ge=1, le=100, description="Number of items"), Integral]
Excluded = Annotated[list[str], Field(max_length=1_000, description="Item ids to leave out; may be repeated")]


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _one_or_several(schema: dict[str, Any]) -> None:
    # A caller that knows the parameter as a single text goes on to use it so.
    array = {name: schema.pop(name) for name in ("type", "items", "maxItems") if name in schema}
    schema["anyOf"] = [array["items"], array]


SeveralCategories = Annotated[
    list[Category],
    BeforeValidator(_as_list),
    Field(
        max_length=MAX_CATEGORIES,
        description="Only items of this category, whatever its case; repeated: of any of these",
        json_schema_extra=_one_or_several,
    ),
]
SeveralFilters = Annotated[
    list[Expression],
    BeforeValidator(_as_list),
    Field(
        description="Only items for which this expression is true; repeated: all of these",
        json_schema_extra=_one_or_several,
    ),
]


def several(values: str | list[str] | None) -> tuple[str, ...]:
    """The values of a parameter that may be repeated, none where it is not given."""
    return (values,) if isinstance(values, str) else tuple(values or ())


class ConditionFields(BaseModel):
    """The options that lists and rankings share. Bodies are validated strictly; query parameters are text."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    category: Annotated[Category | None, Field(description="Only items of this category")] = None
    filter: Annotated[Expression | None, Field(description="Only items for which this expression is true")] = None
    boost: Annotated[Expression | None, Field(description="Moves items up or down: `condition -> factor; ...`")] = None
    min_predicted_rating: Annotated[Finite | None, Field(description=LEAST_PREDICTED)] = None
    placement: Annotated[Name, Field(max_length=100, description="The placement whose rules apply")] = DEFAULT_PLACEMENT
    explain: Annotated[bool, Field(description="Add to every item the reasons for its rank")] = False
    fields: SelectedFields = []

    @cached_property
    def selection(self) -> ItemSelection:
        """The fields to return for each item."""
        return ItemSelection.parse(self.fields)

    def options(self) -> ListOptions:
        """Raises `InvalidInputError` for an expression that does not parse."""
        return ListOptions(
            categories=several(self.category),
            filter=parse_all(several(self.filter)),
            boost=None if self.boost is None else parse_boost(self.boost),
            min_predicted_rating=self.min_predicted_rating,
            placement=self.placement,
            explain=self.explain or "reasons" in self.selection.answer_fields,
        )


class ListFields(ConditionFields):
    limit: Limit = 20
    exclude: Excluded = []

    def options(self) -> ListOptions:
        return self._options

    @cached_property
    def _options(self) -> ListOptions:
        # Computed once, because `query_string` caches the parameters for all requests with the same query string.
        return replace(super().options(), limit=self.limit, exclude=tuple(self.exclude))


class PageFields(ListFields):
    cursor: Annotated[Cursor | None, Field(description="`next_cursor` of the previous page")] = None

    def query(self, user_id: str | None, tokens: TokenSigner) -> Query:
        """Raises `ForgedTokenError` for a cursor that was not issued to this user."""
        returned = NO_ROWS if self.cursor is None else tokens.read_cursor(user_id or "", self.cursor)
        return Query(user_id, self.options(), returned_keys=returned)


class ListParameters(PageFields):
    # A query string has no list, and repeats the parameter instead.
    category: SeveralCategories = []  # type: ignore[assignment]  # several in place of one
    filter: SeveralFilters = []  # type: ignore[assignment]  # as above
    min_predicted_rating: Annotated[
        # `Finite` is strict and would refuse the text of a query string.
        float | None,
        Field(allow_inf_nan=False, ge=-MAX_WHOLE, le=MAX_WHOLE, description=LEAST_PREDICTED),
    ] = None


class ListBody(PageFields):
    """The options of a list in a body, which has room for more ids than a URL."""

    model_config = ConfigDict(strict=True)

    exclude: Annotated[list[str], FailFast(), Field(max_length=10_000, description="Item ids to leave out")] = []


class GuestBody(ListBody, Recipient):
    """A list for a guest, or for a stored user whose options do not fit into a URL."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"ratings": [{"item_id": "318", "value": 5}, {"item_id": "1", "value": 4}], "limit": 5}]
        }
    )


class RankingBody(ConditionFields, Recipient):
    """A ranking of the caller's candidates."""

    model_config = ConfigDict(
        strict=True, json_schema_extra={"examples": [{"user_id": "1", "item_ids": ["318", "1", "260"]}]}
    )

    item_ids: Annotated[
        list[Id],
        FailFast(),
        Field(min_length=1, max_length=MAX_CANDIDATES, description="The items to rank; repeated ids count once"),
    ]
