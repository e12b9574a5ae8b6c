"""A placement: where a list is shown, and the rules that hold there. Stored as a row, edited by API."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from app.errors import InvalidInputError

Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Duration = Annotated[float, Field(strict=True, gt=0, le=1e6, allow_inf_nan=False)]
Expression = Annotated[str, Field(min_length=1, max_length=5_000)]
SourceName = Literal[
    "nearest", "similar", "category", "group", "popular", "trending", "newest", "knn", "ease", "boosted"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The settings of one placement, one or two of each rule; the defaults are those of a new placement.

    A share is of the slots of a list, or a strength from 0 (off) to 1.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    sources: Annotated[
        tuple[SourceName, ...] | None, Field(min_length=1, description="Who proposes candidates; null: everybody")
    ] = None
    filter: Annotated[Expression | None, Field(description="Only items for which this holds")] = None
    boost: Annotated[
        Expression | None, Field(description="`condition -> factor; ...`: what stands higher or lower")
    ] = None
    consume_again: Annotated[bool, Field(strict=True, description="Rated, watched and bought items may come again")] = (
        False
    )
    own_items: Annotated[
        bool, Field(strict=True, description="Items that the user made (`created_by`) may be shown")
    ] = False
    category_cap: Annotated[
        int | None,
        Field(
            strict=True,
            ge=1,
            le=100,
            description="At most this many of one category in a list, beside what is promoted, explored or due again",
        ),
    ] = None
    diversity: Annotated[Share, Field(description="How much an item like those above it sinks (MMR)")] = 0.0
    novelty: Annotated[Share, Field(description="How much little-known items rise")] = 0.0
    exploration: Annotated[Share, Field(description="Share of the slots for items that few have rated")] = 0.0
    rotation: Annotated[Share, Field(description="How far an item that was just shown sinks")] = 0.5
    rotation_half_life_hours: Annotated[Duration, Field(description="After this, half of it is forgotten")] = 12.0
    freshness: Annotated[Share, Field(description="How much newly added items rise")] = 0.0
    freshness_half_life_days: Annotated[Duration, Field(description="An item this old rises by half as much")] = 14.0
    promote: Annotated[Expression | None, Field(description="Items for which this holds are promoted")] = None
    promoted_share: Annotated[Share, Field(description="Share of the slots for promoted items")] = 0.2
    demote: Annotated[Expression | None, Field(description="Items for which this holds sink")] = None
    demotion: Annotated[Share, Field(description="How far they sink")] = 0.5
    recurring: Annotated[
        Share, Field(description="Share of the slots for what the user consumes again and again, when it is due")
    ] = 0.0
    dissimilar: Annotated[
        bool,
        Field(strict=True, description="Deliberately unlike the user's taste: good and popular, but from elsewhere"),
    ] = False

    @property
    def document(self) -> dict[str, Any]:
        """As stored; `parse_placement` reads it."""
        return asdict(self)


PLACEMENT: TypeAdapter[Placement] = TypeAdapter(Placement)

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"

DEFAULT = Placement()


def parse_placement(document: Mapping[str, Any]) -> Placement:
    """Raises `InvalidInputError`, whose field is the setting at fault."""
    try:
        return PLACEMENT.validate_python(document)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        raise InvalidInputError(fault["msg"], field=".".join(map(str, fault["loc"]))) from None


def check_name(name: str) -> str:
    """`name` itself; raises `InvalidInputError` where no placement may be called so."""
    if not re.fullmatch(NAME_PATTERN.removesuffix("$"), name):  # `$` lets a line break through
        message = "a placement is called by 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit"
        raise InvalidInputError(message, field="placement")
    return name
