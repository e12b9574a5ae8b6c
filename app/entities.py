"""The entities of the domain: ratings, events, items and users, and ratings and events in bulk as columns.

All are immutable values without I/O. The steps of the flow exchange them; rows of the database and Pydantic classes
never leave their folders.
"""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self, get_type_hints

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidInputError
from app.texts import nfc

MAX_ID_LENGTH = 128

MAX_ATTRIBUTES = 100
"""Attributes of an item or user that a request may store. An import may store more."""

UNKNOWN_TIME = np.iinfo(np.int64).min
"""In arrays, the `rated_at` of a rating whose time is not known. It sorts before every known time."""

NEVER = 2**63 - 1
"""In arrays, the end of an item that has none. It sorts after every known time."""

MAX_URL_LENGTH = 2_048
URL_PATTERN = r'^[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#<>"\\\x00-\x1f\x7f][^\s<>"\\\x00-\x1f\x7f]*$'
"""An absolute http or https URL. Pages link to it and show it, so `javascript:` and `data:` are not accepted."""

MAX_RATING = 1e9
"""A larger number is probably an id in the wrong column, and single precision could not rank it."""

MAX_AMOUNT = 2.0**53
"""The largest amount: JSON readers that use doubles represent all whole numbers up to here exactly."""

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
        normal = nfc(text)
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


ValueKind = Literal["stars", "binary", "pairs", "amounts"]
"""What the values of ratings are: grades on a scale, 0 and 1, a mere 1 for each pair, or amounts (plays, seconds)."""


@dataclass(frozen=True, slots=True)
class RatingScale:
    """The kind of the values of ratings, their range, and the step between them if they are discrete.

    `step`: None if any value between the ends is valid.
    `kind`: `stars`, any scale of grades; `binary`, the grades 0 and 1; `pairs`, interactions without a value, which are
    stored as 1; `amounts`, any number from 0 to `MAX_AMOUNT`, such as plays, seconds or money spent. The ends and the
    step of all kinds but `stars` are fixed.

    The text form is `MIN:MAX[:STEP]` for stars, with or without `stars ` before it, and the name of any other kind.

    Raises `InvalidInputError` for stars unless minimum < maximum, step > 0, and all are at most `MAX_RATING`.
    """

    minimum: float = 1.0
    maximum: float = 5.0
    step: float | None = None
    kind: ValueKind = "stars"

    def __post_init__(self) -> None:
        if self.kind != "stars":
            return
        ends = (self.minimum, self.maximum, 1.0 if self.step is None else self.step)
        # Written so that NaN fails too.
        if not all(abs(end) <= MAX_RATING for end in ends) or self.minimum >= self.maximum or ends[2] <= 0:
            message = f"{self} is not a rating scale: MIN:MAX[:STEP] with MIN < MAX and STEP > 0, up to {MAX_RATING:g}"
            raise InvalidInputError(message, field="scale")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `[stars ]MIN:MAX[:STEP]`, `binary`, `pairs` or `amounts`.

        Raises `InvalidInputError` if it is none of them, or not a valid scale.
        """
        words = text.split()
        if len(words) == 1 and words[0] in _FIXED_SCALES:
            return cls(*_FIXED_SCALES[words[0]])
        try:
            (ends,) = words[1:] if words[:1] == ["stars"] else words
            minimum, maximum, *step = (float(part) for part in ends.split(":"))
            (only_step,) = step or (None,)
        except ValueError as error:
            message = f"{text!r} is not a rating scale: MIN:MAX[:STEP], {', '.join(_FIXED_SCALES)}"
            raise InvalidInputError(message, field="scale") from error
        return cls(minimum, maximum, only_step)

    def __str__(self) -> str:
        if self.kind != "stars":
            return self.kind
        numbers = (self.minimum, self.maximum, *(() if self.step is None else (self.step,)))
        # `repr` writes every digit, so that `parse` returns an equal scale.
        return ":".join(repr(float(number)).removesuffix(".0") for number in numbers)

    @property
    def is_graded(self) -> bool:
        """Whether a value grades an item, so that a rating can be predicted; False for pairs and amounts."""
        return self.kind in {"stars", "binary"}

    @property
    def meaning(self) -> str:
        """What the values of the kind mean, in a sentence; empty for stars."""
        return _MEANINGS[self.kind]

    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which of `values` (any shape) are accepted.

        Stars and binary: those between the ends and on a step. Amounts: those from 0 to `MAX_AMOUNT`. Pairs: those
        above 0, all of which are stored as 1, see `stored`.
        """
        with np.errstate(invalid="ignore"):
            if self.kind == "pairs":
                return (values > 0) & np.isfinite(values)
            inside = (values >= self.minimum) & (values <= self.maximum)
            if self.step is not None:
                # On a step means that (value - minimum) / step is a whole number, up to rounding.
                steps = (values - self.minimum) / self.step
                inside &= np.abs(steps - np.rint(steps)) < STEP_TOLERANCE
        return inside

    def stored(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values to store for `values`, all of them accepted: 1 for pairs, otherwise the values themselves."""
        return np.ones_like(values) if self.kind == "pairs" else values

    def check(self, value: float, field_name: str = "value") -> float:
        """Return the value to store for `value`. Raises `InvalidInputError` if it is not accepted."""
        if not self.contains(np.asarray(value)):
            raise InvalidInputError(f"{value!r} {self.fault}", field=field_name)
        return float(self.stored(np.asarray(value)))

    @property
    def fault(self) -> str:
        """What is wrong with a value that is not accepted, to follow the value."""
        if self.kind == "amounts":
            return f"is not an amount: amounts are numbers from 0 to {MAX_AMOUNT:.3g}"
        if self.kind == "pairs":
            return "is not above 0: this service stores pairs, and any value above 0 as 1"
        return f"is not on the rating scale {self}"

    @property
    def liked_from(self) -> float:
        """The lowest value that counts as *liked*.

        Graded: min + 0.75 (max - min), rounded up to the step. Pairs and amounts: the lowest there is, since any
        interaction is a choice.
        """
        if not self.is_graded:
            return self.minimum
        threshold = self.minimum + 0.75 * (self.maximum - self.minimum)
        if self.step is None:
            return threshold
        # liked = min + ceil((threshold - min) / step) step; the tolerance keeps a threshold that is on a step.
        return self.minimum + math.ceil((threshold - self.minimum) / self.step - 1e-9) * self.step

    @property
    def of_labels(self) -> tuple[float, float]:
        """The values that a positive and a negative event count as where events are learned from as ratings."""
        if self.is_graded:
            return self.maximum, self.minimum
        # The least that counts as a choice, and a value below every one: no choice.
        return self.liked_from, self.liked_from - 1.0


_FIXED_SCALES: dict[str, tuple[float, float, float | None, ValueKind]] = {
    "binary": (0.0, 1.0, 1.0, "binary"),
    "pairs": (1.0, 1.0, None, "pairs"),
    "amounts": (0.0, MAX_AMOUNT, None, "amounts"),
}
_MEANINGS: dict[ValueKind, str] = {
    "stars": "",
    "binary": "1 is liked and 0 is not",
    "pairs": "every pair of user and item is a choice and is stored as 1; no ratings are predicted",
    "amounts": "every amount is a choice, a larger one of the same user a stronger choice; no ratings are predicted",
}


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
            example="The Shawshank Redemption",
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
            example=["Crime", "Drama"],
            synonyms=("genres", "category", "genre"),
            max_length=50,
            is_filterable=True,
        ),
    ] = ()
    year: Annotated[
        int | None,
        ItemField(
            kind="integer",
            example=1994,
            synonyms=("releaseyear", "yearofpublication", "publicationyear", "originalpublicationyear"),
            minimum=-10_000,
            maximum=10_000,
            is_filterable=True,
        ),
    ] = None
    attributes: Annotated[
        dict[str, AttributeValue],
        ItemField(kind="attributes", example={"minutes": 142, "languages": ["en"]}, is_filterable=True),
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
            example="Two men make friends in prison.",
            max_length=10_000,
        ),
    ] = None
    url: Annotated[
        str | None,
        ItemField(kind="url", description="The page of the item", example="https://example.com/films/318"),
    ] = None
    image_url: Annotated[
        str | None,
        ItemField(
            kind="url",
            description="A picture of the item",
            example="https://example.com/films/318.jpg",
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
ITEM_DEFAULTS: Mapping[str, Any] = {name: getattr(BARE_ITEM, name) for name in ITEM_FIELDS}


@dataclass(frozen=True, slots=True)
class User:
    """A user. `country` is None if it is not known."""

    user_id: str
    country: str | None = None
    attributes: dict[str, AttributeValue] = field(default_factory=dict)


USER_DEFAULTS: Mapping[str, Any] = {"country": None, "attributes": {}}


@dataclass(frozen=True, slots=True)
class Patch:
    """Changes of one item or user, with the meaning of a JSON merge patch (RFC 7396).

    `entry_id`: the id of the item or user.
    `fields`: new values by the names of the fields; the default of a field clears it. Other fields stay as they are.
    `attributes`: new values by the names of the attributes; None removes an attribute. Other attributes stay as they
    are, unless `fields` replaces all attributes, which happens first.
    `keeps_bare`: for items only. A patch catalogues its item, even if it changes no field. If this is true, an item
    that is bare or does not exist yet is bare afterwards.
    `stays_deleted`: likewise, an item that does not exist yet is inserted as a deleted one, which nothing shows.
    """

    entry_id: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, AttributeValue | None] = field(default_factory=dict)
    keeps_bare: bool = False
    stays_deleted: bool = False

    def values(self, attributes: Mapping[str, AttributeValue]) -> Mapping[str, Any]:
        """Return the new values of all changed fields of an entry that has these `attributes` now."""
        if not self.attributes:
            return self.fields
        merged = {**self.fields.get("attributes", attributes), **self.attributes}
        return {**self.fields, "attributes": {name: value for name, value in merged.items() if value is not None}}

    def replacing(self, defaults: Mapping[str, Any]) -> "Patch":
        """Return the patch that also sets all other fields, to these `defaults`, and removes all other attributes."""
        return replace(self, fields={**defaults, **self.values({})}, attributes={})


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


MAX_POSITION = 1_000_000
"""The largest place in a list that an event may name."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened between a user and an item.

    `event_id`: the caller's id; an event of the same user with a stored id is not stored again.
    `at`: when it happened.
    `portion`: how much of the item was consumed, 0 to 1; None for all of it.
    `placement`, `snapshot_version`: those of the recommendation that led to the event; None if none did.
    `position`: the place of the item in that list, from 0; None if not known.
    """

    event_id: str
    type: str
    user_id: str
    item_id: str
    at: datetime
    portion: float | None = None
    placement: str | None = None
    snapshot_version: int | None = None
    position: int | None = None


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

    @classmethod
    def joined(cls, parts: Sequence["IncomingRatings"]) -> "IncomingRatings":
        """The ratings of all parts, of which there is one at least, one part after the other."""
        return cls(
            [user_id for part in parts for user_id in part.user_id],
            [item_id for part in parts for item_id in part.item_id],
            np.concatenate([part.value for part in parts]),
            np.concatenate([part.rated_at for part in parts]),
        )

    def part(self, rows: list[int]) -> "IncomingRatings":
        """Return the ratings at these places, in this order."""
        user_id, item_id = ([column[row] for row in rows] for column in (self.user_id, self.item_id))
        return IncomingRatings(user_id, item_id, self.value[rows], self.rated_at[rows])


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
    `position`: the place of the item in the list, 0 to `MAX_POSITION`; None if not known.
    """

    event_id: list[str]
    type: list[str]
    user_id: list[str]
    item_id: list[str]
    at: NDArray[np.int64]
    portion: NDArray[np.float64]
    placement: list[str | None]
    snapshot_version: list[int | None]
    position: list[int | None]

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
