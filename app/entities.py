"""What Reckon speaks of: ratings, events, items, users, and ratings and events in bulk as columns.

Plain immutable values without I/O. Rows of the database and Pydantic classes never leave their folders; these do.
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
"""`rated_at` of a rating whose time is not known, in arrays: older than any known time."""

NEVER = 2**63 - 1
"""The time, in arrays, of what has no end: later than any known time."""

MAX_URL_LENGTH = 2_048
URL_PATTERN = r'^[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#<>"\\\x00-\x1f\x7f][^\s<>"\\\x00-\x1f\x7f]*$'
"""An absolute http(s) URL. Pages link to it and show it, so `javascript:` and `data:` must not get in."""

MAX_RATING = 1e9
"""Beyond this a number is no rating (2^63, an id in the wrong column), and single precision could not rank it."""

STEP_TOLERANCE = 1e-6
"""A value this part of a step beside a step is on it: the rounding of whoever sent it."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

AttributeValue = str | float | int | bool | list[str]


def to_microseconds(moment: datetime) -> int:
    """`moment` as whole microseconds since 1970 UTC; exact, unlike `timestamp()`."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_microseconds(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def clean_id(text: str, field_name: str = "id") -> str:
    """The id after Unicode NFC.

    Raises `InvalidInputError` unless it has 1-128 characters, none of them a control character, a surrogate or `/`, no
    space at either end, and is not `.` or `..` (which paths swallow).
    """
    if text.isascii():  # the common case: NFC changes nothing
        normal = text
        is_clean = text.isprintable()
    else:
        normal = unicodedata.normalize("NFC", text)
        is_clean = not any(unicodedata.category(character) in {"Cc", "Cs"} for character in normal)
    if not 1 <= len(normal) <= MAX_ID_LENGTH:
        message = f"an id has 1 to {MAX_ID_LENGTH} characters, this one has {len(normal)}"
        raise InvalidInputError(message, field=field_name)
    if not is_clean:
        raise InvalidInputError("an id holds no control characters or surrogates", field=field_name)
    if "/" in normal or normal in {".", ".."} or normal != normal.strip():
        raise InvalidInputError("an id holds no '/', no space at its ends, and is not '.' or '..'", field=field_name)
    return normal


def clean_url(text: str, field_name: str = "url") -> str:
    """`text` itself; raises `InvalidInputError` unless it is an absolute http(s) URL of at most 2,048 characters."""
    if len(text) > MAX_URL_LENGTH:
        raise InvalidInputError(f"a URL has at most {MAX_URL_LENGTH:,} characters", field=field_name)
    if re.fullmatch(URL_PATTERN, text) is None:
        raise InvalidInputError(
            "a URL begins with http:// or https:// and a host, and holds no spaces", field=field_name
        )
    return text


@dataclass(frozen=True, slots=True)
class RatingScale:
    """The range a rating lies in, and its step where values are discrete.

    `step` None means any value between the ends. Text form: `MIN:MAX[:STEP]`.
    """

    minimum: float = 1.0
    maximum: float = 5.0
    step: float | None = None

    def __post_init__(self) -> None:
        ends = (self.minimum, self.maximum, 1.0 if self.step is None else self.step)
        if not all(abs(end) <= MAX_RATING for end in ends) or self.minimum >= self.maximum or ends[2] <= 0:
            message = f"{self} is not a rating scale: MIN:MAX[:STEP] with MIN < MAX and STEP > 0, up to {MAX_RATING:g}"
            raise InvalidInputError(message, field="scale")

    @classmethod
    def parse(cls, text: str) -> Self:
        try:
            minimum, maximum, *step = (float(part) for part in text.split(":"))
            (only_step,) = step or (None,)
        except ValueError as error:
            raise InvalidInputError(f"{text!r} is not a rating scale: MIN:MAX[:STEP]", field="scale") from error
        return cls(minimum, maximum, only_step)

    def __str__(self) -> str:
        numbers = (self.minimum, self.maximum, *(() if self.step is None else (self.step,)))
        return ":".join(repr(float(number)).removesuffix(".0") for number in numbers)  # every digit: `parse` reads it

    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of `values` (any shape) lie on the scale: finite, within the ends and on a step."""
        with np.errstate(invalid="ignore"):
            inside = (values >= self.minimum) & (values <= self.maximum)
            if self.step is not None:
                steps = (values - self.minimum) / self.step
                inside &= np.abs(steps - np.rint(steps)) < STEP_TOLERANCE
        return inside

    def check(self, value: float, field_name: str = "value") -> float:
        """`value` itself; raises `InvalidInputError` where it is not on the scale."""
        if not self.contains(np.asarray(value)):
            raise InvalidInputError(f"{value!r} is not on the rating scale {self}", field=field_name)
        return value

    @property
    def liked_from(self) -> float:
        """Ratings at or above are *liked*: min + 0.75 (max - min), rounded up to the step."""
        threshold = self.minimum + 0.75 * (self.maximum - self.minimum)
        if self.step is None:
            return threshold
        return self.minimum + math.ceil((threshold - self.minimum) / self.step - 1e-9) * self.step


@dataclass(frozen=True, slots=True)
class Rating:
    """What a user said of an item; `rated_at` None where the time is not known."""

    user_id: str
    item_id: str
    value: float
    rated_at: datetime | None = None


ItemFieldKind = Literal["text", "url", "id", "texts", "integer", "number", "flag", "time", "attributes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemField:
    """How one column of the items is stored, imported, exported, documented and filtered.

    `kind`: decides the column's type, how the API and an import read a value, and how an export writes it.
    `description`, `example`: for the OpenAPI document.
    `synonyms`: other names of the column in files, in lower case without spaces and punctuation.
    `max_length`: characters of a text, elements of `texts` in a request.
    `limits_stored`: whether `max_length` of a text also holds for imports and the database.
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
        """What stands for a missing time in arrays of microseconds."""
        return NEVER if self.is_open_ended else int(UNKNOWN_TIME)


@dataclass(frozen=True, slots=True)
class Item:
    """A catalogue entry, and the declaration of its columns: `ITEM_FIELDS` is read from these annotations.

    A new column is one line here and a migration. Every field but the id has a default: a *bare* item, made by a
    rating, has only its id (and `title` None).
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
            limits_stored=False,  # older imports have stored longer titles, and an export must read back
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
    created_by: Annotated[str | None, ItemField(kind="id", description="The user who made it", is_filterable=True)] = (
        None
    )
    added_at: Annotated[datetime | None, ItemField(kind="time", is_filterable=True)] = None
    description: Annotated[
        str | None,
        ItemField(
            kind="text",
            description="What it is, for people",
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
            synonyms=("posterurl", "imageurll"),  # the latter is the large one of Book-Crossing
        ),
    ] = None


def item_fields(kind: type[Item]) -> dict[str, ItemField]:
    """The declarations by name, in the order of the class; the id has none."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        name: declared
        for name, hint in hints.items()
        for declared in getattr(hint, "__metadata__", ())
        if isinstance(declared, ItemField)
    }


# The store, the intake, the API and the expressions read these two; none of them names a field that it only passes on.
ITEM_FIELDS: Mapping[str, ItemField] = item_fields(Item)
BARE_ITEM = Item("")
"""The default of every field."""


@dataclass(frozen=True, slots=True)
class User:
    user_id: str
    country: str | None = None
    attributes: dict[str, AttributeValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventType:
    """What an event of the type says of the user's taste, and what follows from it.

    `weight`: how much one says for the item (negative: against it), times its portion where it has one.
    `is_exposure`: the user saw the item. `is_consumption`: the user had it, wholly or to a portion.
    """

    name: str
    weight: float
    is_exposure: bool = False
    is_consumption: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; the `event_id` is the caller's, and the same one again is the same event.

    `portion` 0 to 1: how much of the item was consumed, None where it is all or nothing. `placement` and
    `snapshot_version`: of the recommendation that led to it, where one did.
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
    """Ratings on their way in, by the caller's ids; equal lengths n, in order of arrival.

    `value`: (n,) float64, finite and on the scale. `rated_at`: (n,) int64 microseconds UTC, `UNKNOWN_TIME` where not
    known. Ids are clean (see `clean_id`).
    """

    user_id: list[str]
    item_id: list[str]
    value: NDArray[np.float64]
    rated_at: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.user_id)


@dataclass(frozen=True, slots=True)
class RatingColumns:
    """Ratings in bulk by surrogate key; equal lengths n.

    `user_key`, `item_key`: (n,) int64. `value`: (n,) float64 on the rating scale. `rated_at`: (n,) int64 microseconds
    UTC, `UNKNOWN_TIME` where not known. Only observed ratings: a missing pair is unknown, never 0.
    """

    user_key: NDArray[np.int64]
    item_key: NDArray[np.int64]
    value: NDArray[np.float64]
    rated_at: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.user_key)


@dataclass(frozen=True, slots=True)
class IncomingEvents:
    """Events on their way in, by the caller's ids; equal lengths n, in order of arrival.

    `type`: names of declared types. `at`: (n,) int64 microseconds UTC. `portion`: (n,) float64 in 0 to 1, NaN where
    there is none. `placement`, `snapshot_version`: None where no recommendation led to it. Ids are clean.
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
    """What the events of each (user, item, type) amount to, by surrogate key; equal lengths n.

    `user_key`, `item_key`, `type_key`, `count`: (n,) int64. `first_at`, `last_at`: (n,) int64 microseconds UTC.
    `portion`: (n,) float64, the largest portion of the events, NaN where one had none: that one counts as whole.
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
