"""Recognises columns by the names that files commonly use; `--columns` maps any other names."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from app.entities import ITEM_FIELDS
from app.errors import InvalidInputError

IGNORED_NAMES = frozenset({"", "-", "_"})
"""Names of columns that are skipped: the unnamed index of a data frame, and columns skipped by `--columns`."""


class Kind(StrEnum):
    """What the rows of a table are. The order is that of an import: event types come before events."""

    PLACEMENTS = "placements"
    EVENT_TYPES = "event_types"
    ITEMS = "items"
    USERS = "users"
    RATINGS = "ratings"
    EVENTS = "events"

    @property
    def label(self) -> str:
        """The name in messages."""
        return self.value.replace("_", " ")


def _fold(name: str) -> str:
    # RecBole files append a type to each name: `user_id:token`.
    return re.sub(r"[\W_]+", "", name.partition(":")[0].casefold())


# Synonyms are compared in lower case, without spaces and punctuation. If a file has several, the earliest here counts.
_Synonyms = dict[str, tuple[str, ...]]
_IDS: _Synonyms = {
    "user_id": ("userid", "user", "uid", "reviewerid", "customerid", "memberid", "useridx"),
    "item_id": (
        *("itemid", "item", "iid", "movieid", "filmid", "productid", "bookid", "articleid", "trackid", "songid"),
        *("artistid", "gameid", "isbn", "asin", "sku", "movie", "film", "product", "book", "article", "track", "song"),
        *("artist", "game"),
    ),
}
# The columns that, together with the ids, distinguish one kind from the others.
_DISTINCTIVE: dict[Kind, _Synonyms] = {
    Kind.RATINGS: {"value": ("value", "rating", "score", "stars", "bookrating", "overall", "preference")},
    Kind.EVENTS: {"event_id": ("eventid",), "type": ("type", "eventtype", "event")},
    Kind.EVENT_TYPES: {
        "type": ("type", "eventtype", "event"),
        "weight": ("weight",),
        "is_exposure": ("isexposure",),
        "is_consumption": ("isconsumption",),
    },
    Kind.PLACEMENTS: {"placement": ("placement",), "settings": ("settings",)},
}
_ANY_DISTINCTIVE = {name: synonyms for of_kind in _DISTINCTIVE.values() for name, synonyms in of_kind.items()}
_TIMES = ("timestamp", "time", "datetime", "date", "createdat", "ts")
_FIELDS: dict[Kind, _Synonyms] = {
    Kind.RATINGS: {"rated_at": ("ratedat", *_TIMES, "unixreviewtime", "ratedon")},
    Kind.EVENTS: {
        "at": ("at", *_TIMES),
        "portion": ("portion",),
        "placement": ("placement",),
        "snapshot_version": ("snapshotversion",),
    },
    Kind.ITEMS: {name: (_fold(name), *declared.synonyms) for name, declared in ITEM_FIELDS.items()},
    Kind.USERS: {"country": ("country", "countrycode"), "attributes": ("attributes",)},
}


def kind_of(names: Collection[str]) -> Kind | None:
    """Return the kind of a table with these columns, given by their names in Reckon; None if it is ambiguous."""
    has_user, has_item = "user_id" in names, "item_id" in names
    if has_user and has_item:
        is_events = _DISTINCTIVE[Kind.EVENTS].keys() <= set(names)
        return Kind.RATINGS if "value" in names else Kind.EVENTS if is_events else None
    if has_user or has_item:
        return Kind.ITEMS if has_item else Kind.USERS
    return next((kind for kind in (Kind.EVENT_TYPES, Kind.PLACEMENTS) if _DISTINCTIVE[kind].keys() <= set(names)), None)


@dataclass(frozen=True, slots=True)
class Naming:
    """Maps the column names of a file to the names in Reckon.

    `renamed`: the mapping given by `--columns user=...`.
    """

    renamed: dict[str, str] = field(default_factory=dict)

    def of(self, names: Sequence[str]) -> dict[str, str]:
        """Return the name in Reckon for each name of a file; an unknown name stays as it is."""
        ours = {name: new for name, new in self.renamed.items() if name in names}
        # The distinctive columns of all kinds are matched first, because they decide the kind.
        self._match(ours, names, _IDS | _ANY_DISTINCTIVE)
        kind = kind_of(ours.values())
        # Matches for other kinds are dropped: `type` may be an attribute of an item.
        distinctive = _IDS | (_DISTINCTIVE.get(kind, {}) if kind else {})
        ours = {name: new for name, new in ours.items() if name in self.renamed or new in distinctive}
        if kind:
            self._match(ours, names, _FIELDS.get(kind, {}))
        return {name: ours.get(name, name) for name in names}

    @staticmethod
    def _match(ours: dict[str, str], names: Sequence[str], wanted: _Synonyms) -> None:
        # Reversed, so that the first of two columns whose names fold to the same text is kept.
        folded = {_fold(name): name for name in reversed(names) if name not in ours}
        for new, synonyms in wanted.items():
            name = next((folded[synonym] for synonym in synonyms if synonym in folded), None)
            if name is not None and new not in ours.values():
                ours[name] = new


@dataclass(frozen=True, slots=True)
class Columns:
    """The value of `--columns`: the names of the columns in order, or a mapping of the names in the header."""

    names: list[str] = field(default_factory=list)
    naming: Naming = field(default_factory=Naming)

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Parse `user,item,rating,timestamp` (in the order of the file; `-` skips a column) or `user=uid,item=sku,...`.

        Raises `InvalidInputError` with both forms.
        """
        parts = [part.strip() for part in text.split(",")] if text else []
        if not any("=" in part for part in parts):
            names = list(Naming().of(parts).values()) if parts else []
            if parts and kind_of(names) is None:
                raise _not_understood(text)
            return cls(names=names)
        pairs = [part.partition("=") for part in parts]
        ours = Naming().of([ours for ours, _, _ in pairs])
        if not all(separator and theirs for _, separator, theirs in pairs) or kind_of(ours.values()) is None:
            raise _not_understood(text)
        return cls(naming=Naming({theirs.strip(): ours[name.strip()] for name, _, theirs in pairs}))


def _not_understood(text: str | None) -> InvalidInputError:
    return InvalidInputError(
        f"--columns {text!r} is neither user,item,rating,timestamp in the order of the file"
        " nor user=NAME,item=NAME,rating=NAME with the names of its header",
        field="columns",
    )
