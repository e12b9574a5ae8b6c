"""The entities of the domain: ratings, events, items and users, and ratings and events in bulk as columns.

All are immutable values without I/O. The steps of the flow exchange them; rows of the database and Pydantic classes
never leave their folders.
"""

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self, get_type_hints

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidInputError

MAX_ID_LENGTH = 128

UNKNOWN_TIME = np.iinfo(np.int64).min
"""In arrays, the `rated_at` of a rating whose time is not known. It sorts before every known time."""

NEVER = 2**63 - 1
"""In arrays, the end of an item that has none. It sorts after every known time."""

MAX_URL_LENGTH = 2_048
URL_PATTERN = r'^[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#<>"\\\x00-\x1f\x7f][^\s<>"\\\x00-\x1f\x7f]*$'
"""An absolute http or https URL. Pages link to it and show it, so `javascript:` and `data:` are not accepted."""

MAX_RATING = 1e9
"""A larger number is probably an id in the wrong column, and single precision could not rank it."""

STEP_TOLERANCE = 1e-6
"""A value counts as on a step if it is at most this fraction of a step away, which allows for rounding by clients."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

AttributeValue = str | float | int | bool | list[str]


def to_microseconds(moment: datetime) -> int:
    """Return `moment` as whole microseconds since 1970 UTC."""
    # `timestamp()` returns a float, which cannot hold every microsecond.
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_microseconds(microseconds: int) -> datetime:
    """Return the UTC time of whole microseconds since 1970. Inverse of `to_microseconds`."""
    return EPOCH + timedelta(microseconds=microseconds)


def clean_id(text: str, field_name: str = "id") -> str:
    """Return the id in Unicode normal form NFC.

    Raises `InvalidInputError` unless it has 1 to 128 characters, contains no control character, surrogate or `/`, has
    no space at either end, and is not `.` or `..`.
    """
    # Nearly all ids are ASCII, which NFC does not change.
    if text.isascii():
        normal = text
        is_clean = text.isprintable()
    else:
        # Without a normal form, the same visible id from two systems could name two users.
        normal = unicodedata.normalize("NFC", text)
        is_clean = not any(unicodedata.category(character) in {"Cc", "Cs"} for character in normal)
    if not 1 <= len(normal) <= MAX_ID_LENGTH:
        message = f"an id must have 1 to {MAX_ID_LENGTH} characters, not {len(normal)}"
        raise InvalidInputError(message, field=field_name)
    if not is_clean:
        raise InvalidInputError("an id must not contain control characters or surrogates", field=field_name)
    # Ids are parts of URL paths: `/` would split one, and clients remove `.` and `..` from paths.
    if "/" in normal or normal in {".", ".."} or normal != normal.strip():
        raise InvalidInputError(
            "an id must not contain '/', begin or end with a space, or be '.' or '..'", field=field_name
        )
    return normal


def clean_url(text: str, field_name: str = "url") -> str:
    """Return `text`. Raises `InvalidInputError` unless it is an absolute http(s) URL of at most 2,048 characters."""
    if len(text) > MAX_URL_LENGTH:
        raise InvalidInputError(f"a URL must have at most {MAX_URL_LENGTH:,} characters", field=field_name)
    if re.fullmatch(URL_PATTERN, text) is None:
        raise InvalidInputError(
            "a URL must begin with http:// or https:// and a host, and must not contain spaces", field=field_name
        )
    return text


@dataclass(frozen=True, slots=True)
class RatingScale:
    """The range of the ratings, and the step between them if they are discrete.

    `step`: None if any value between the ends is valid. The text form is `MIN:MAX[:STEP]`.

    Raises `InvalidInputError` unless minimum < maximum, step > 0, and all are at most `MAX_RATING`.
    """

    minimum: float = 1.0
    maximum: float = 5.0
    step: float | None = None

    def __post_init__(self) -> None:
        ends = (self.minimum, self.maximum, 1.0 if self.step is None else self.step)
        # Written so that NaN fails too.
        if not all(abs(end) <= MAX_RATING for end in ends) or self.minimum >= self.maximum or ends[2] <= 0:
            message = f"{self} is not a rating scale: MIN:MAX[:STEP] with MIN < MAX and STEP > 0, up to {MAX_RATING:g}"
            raise InvalidInputError(message, field="scale")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `MIN:MAX[:STEP]`. Raises `InvalidInputError` if it is not a valid scale."""
        try:
            minimum, maximum, *step = (float(part) for part in text.split(":"))
            (only_step,) = step or (None,)
        except ValueError as error:
            raise InvalidInputError(f"{text!r} is not a rating scale: MIN:MAX[:STEP]", field="scale") from error
        return cls(minimum, maximum, only_step)

    def __str__(self) -> str:
        numbers = (self.minimum, self.maximum, *(() if self.step is None else (self.step,)))
        # `repr` writes every digit, so that `parse` returns an equal scale.
        return ":".join(repr(float(number)).removesuffix(".0") for number in numbers)

    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which of `values` (any shape) are on the scale: finite, between the ends and on a step."""
        with np.errstate(invalid="ignore"):
            inside = (values >= self.minimum) & (values <= self.maximum)
            if self.step is not None:
                # On a step means that (value - minimum) / step is a whole number, up to rounding.
                steps = (values - self.minimum) / self.step
                inside &= np.abs(steps - np.rint(steps)) < STEP_TOLERANCE
        return inside

    def check(self, value: float, field_name: str = "value") -> float:
        """Return `value`. Raises `InvalidInputError` if it is not on the scale."""
        if not self.contains(np.asarray(value)):
            raise InvalidInputError(f"{value!r} is not on the rating scale {self}", field=field_name)
        return value

    @property
    def liked_from(self) -> float:
        """The lowest rating that counts as *liked*: min + 0.75 (max - min), rounded up to the step."""
        threshold = self.minimum + 0.75 * (self.maximum - self.minimum)
        if self.step is None:
            return threshold
        # liked = min + ceil((threshold - min) / step) step; the tolerance keeps a threshold that is on a step.
        return self.minimum + math.ceil((threshold - self.minimum) / self.step - 1e-9) * self.step


@dataclass(frozen=True, slots=True)
class Rating:
    """The rating of an item by a user.

    `value`: on the rating scale.
    `rated_at`: None if the time is not known.
    """

    user_id: str
    item_id: str
    value: float
    rated_at: datetime | None = None


ItemFieldKind = Literal["text", "url", "id", "texts", "integer", "number", "flag", "time", "attributes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemField:
    """How one column of the items is stored, imported, exported, documented and filtered.

    `kind`: determines the type of the column, how the API and an import read a value, and how an export writes it.
    `description`, `example`: for the OpenAPI document.
    `synonyms`: other names of the column in files, in lower case without spaces and punctuation.
    `max_length`: number of characters of a text, or of elements of `texts` in a request.
    `limits_stored`: whether `max_length` of a text also applies to imports and the database.
    `minimum`, `maximum`: bounds of a number; both are given for the kinds `integer` and `number`.
    `is_filterable`: every serving process holds the column in memory; filters and boosts see it. Other
    columns are read from the database when a list asks for them.
    `is_open_ended`: a missing time means never, not unknown.
    """

    kind: ItemFieldKind
    description: str | None = None
    example: Any = None
    synonyms: tuple[str, ...] = ()
    max_length: int | None = None
    limits_stored: bool = True
    minimum: int | None = None
    maximum: int | None = None
    is_filterable: bool = False
    is_open_ended: bool = False

    @property
    def missing_time(self) -> int:
        """The value of a missing time in arrays of microseconds."""
        return NEVER if self.is_open_ended else int(UNKNOWN_TIME)


@dataclass(frozen=True, slots=True)
class Item:
    """An item of the catalogue, and the declaration of its columns: `ITEM_FIELDS` is read from these annotations.

    A new column is one line here and a migration. Every field but the id has a default, because a rating of an unknown
    item creates a *bare* item, which has only its id.
    """

    item_id: str
    title: Annotated[
        str | None,
        ItemField(
            kind="text",
            description="Null for an item known only from ratings",
            example="Star Wars",
            synonyms=("name",),
            max_length=1_000,
            # Older imports stored longer titles, and an import must accept every export.
            limits_stored=False,
            is_filterable=True,
        ),
    ] = None
    categories: Annotated[
        tuple[str, ...],
        ItemField(
            kind="texts",
            example=["Action", "Sci-Fi"],
            synonyms=("genres", "category", "genre"),
            max_length=50,
            is_filterable=True,
        ),
    ] = ()
    year: Annotated[
        int | None,
        ItemField(
            kind="integer",
            example=1977,
            synonyms=("releaseyear", "yearofpublication"),
            minimum=-10_000,
            maximum=10_000,
            is_filterable=True,
        ),
    ] = None
    attributes: Annotated[
        dict[str, AttributeValue],
        ItemField(kind="attributes", example={"minutes": 121, "languages": ["en"]}, is_filterable=True),
    ] = field(default_factory=dict)
    is_available: Annotated[bool, ItemField(kind="flag", synonyms=("available",), is_filterable=True)] = True
    available_until: Annotated[datetime | None, ItemField(kind="time", is_filterable=True, is_open_ended=True)] = None
    created_by: Annotated[
        str | None, ItemField(kind="id", description="Id of the user who created the item", is_filterable=True)
    ] = None
    added_at: Annotated[datetime | None, ItemField(kind="time", is_filterable=True)] = None
    description: Annotated[
        str | None,
        ItemField(
            kind="text",
            description="Text for display",
            example="A farm boy joins a rebellion.",
            max_length=10_000,
        ),
    ] = None
    url: Annotated[
        str | None,
        ItemField(kind="url", description="The page of the item", example="https://example.com/films/260"),
    ] = None
    image_url: Annotated[
        str | None,
        ItemField(
            kind="url",
            description="A picture of the item",
            example="https://example.com/films/260.jpg",
            # Book-Crossing names its large picture `Image-URL-L`.
            synonyms=("posterurl", "imageurll"),
        ),
    ] = None


def item_fields(kind: type[Item]) -> dict[str, ItemField]:
    """Return the declarations by name, in the order of the class; the id has none."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        name: declared
        for name, hint in hints.items()
        for declared in getattr(hint, "__metadata__", ())
        if isinstance(declared, ItemField)
    }


# The store, the intake, the API and the filters are derived from this table, so a new column needs no change in them.
ITEM_FIELDS: Mapping[str, ItemField] = item_fields(Item)
BARE_ITEM = Item("")
"""Holds the default of every field."""


@dataclass(frozen=True, slots=True)
class User:
    """A user. `country` is None if it is not known."""

    user_id: str
    country: str | None = None
    attributes: dict[str, AttributeValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventType:
    """A declared type of events, and what an event of the type means for the user's taste.

    `weight`: evidence for the item per event, multiplied by the portion if there is one; negative: against the item.
    `is_exposure`: the user saw the item.
    `is_consumption`: the user consumed the item, all of it or a portion.
    """

    name: str
    weight: float
    is_exposure: bool = False
    is_consumption: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened between a user and an item.

    `event_id`: the caller's id; an event with a stored id is not stored again.
    `at`: when it happened.
    `portion`: how much of the item was consumed, 0 to 1; None for all of it.
    `placement`, `snapshot_version`: those of the recommendation that led to the event; None if none did.
    """

    event_id: str
    type: str
    user_id: str
    item_id: str
    at: datetime
    portion: float | None = None
    placement: str | None = None
    snapshot_version: int | None = None


@dataclass(frozen=True, slots=True)
class IncomingRatings:
    """Ratings to be stored, by the caller's ids, in order of arrival.

    `user_id`, `item_id`: n ids, checked by `clean_id`.
    `value`: (n,) float64, finite and on the scale.
    `rated_at`: (n,) int64 microseconds UTC, `UNKNOWN_TIME` if not known.
    """

    user_id: list[str]
    item_id: list[str]
    value: NDArray[np.float64]
    rated_at: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.user_id)


@dataclass(frozen=True, slots=True)
class RatingColumns:
    """Stored ratings by surrogate key. Only observed ratings: a missing pair is unknown and does not mean 0.

    `user_key`, `item_key`: (n,) int64.
    `value`: (n,) float64 on the rating scale.
    `rated_at`: (n,) int64 microseconds UTC, `UNKNOWN_TIME` if not known.
    """

    user_key: NDArray[np.int64]
    item_key: NDArray[np.int64]
    value: NDArray[np.float64]
    rated_at: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.user_key)


@dataclass(frozen=True, slots=True)
class IncomingEvents:
    """Events to be stored, by the caller's ids, in order of arrival.

    `event_id`, `user_id`, `item_id`: n ids, checked by `clean_id`.
    `type`: n names of declared types.
    `at`: (n,) int64 microseconds UTC.
    `portion`: (n,) float64, 0 to 1, NaN for all of the item.
    `placement`, `snapshot_version`: None if no recommendation led to the event.
    """

    event_id: list[str]
    type: list[str]
    user_id: list[str]
    item_id: list[str]
    at: NDArray[np.int64]
    portion: NDArray[np.float64]
    placement: list[str | None]
    snapshot_version: list[int | None]

    def __len__(self) -> int:
        return len(self.event_id)


@dataclass(frozen=True, slots=True)
class InteractionColumns:
    """The events of each (user, item, type) in summary, by surrogate key.

    `user_key`, `item_key`, `type_key`: (n,) int64.
    `count`: (n,) int64 number of events.
    `first_at`, `last_at`: (n,) int64 microseconds UTC of the first and the last event.
    `portion`: (n,) float64, the largest portion of the events; NaN if an event had none and so counts as whole.
    """

    user_key: NDArray[np.int64]
    item_key: NDArray[np.int64]
    type_key: NDArray[np.int64]
    count: NDArray[np.int64]
    first_at: NDArray[np.int64]
    last_at: NDArray[np.int64]
    portion: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.user_key)
