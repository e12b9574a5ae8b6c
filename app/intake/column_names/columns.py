"""Maps the columns of a file to those of Reckon, by their names and by the option `--columns`."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from app.entities import ITEM_FIELDS
from app.errors import InvalidInputError
from app.intake.column_names.meanings import (
    Meaning,
    Role,
    Strength,
    fold,
    is_part_of_another,
    meaning_of,
    without_owner,
)

IGNORED_NAMES = frozenset({"", "-", "_"})
"""Names of columns that are skipped: the unnamed index of a data frame, and columns skipped by `--columns`."""


def is_index(name: str) -> bool:
    """Whether a column is the index of a data frame, of which pandas makes the name up."""
    return re.fullmatch(r"Unnamed: \d+", name) is not None


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


# The fields of a kind that no role stands for, with the folded names that files use; the earliest counts.
_FIELDS: dict[Kind, dict[str, tuple[str, ...]]] = {
    Kind.EVENTS: {name: (fold(name),) for name in ("portion", "placement", "snapshot_version", "position")},
    Kind.ITEMS: {name: (fold(name), *declared.synonyms) for name, declared in ITEM_FIELDS.items()},
    Kind.USERS: {"country": ("country", "countrycode"), "attributes": ("attributes",)},
    Kind.EVENT_TYPES: {name: (fold(name),) for name in ("weight", "is_exposure", "is_consumption")},
    Kind.PLACEMENTS: {name: (name,) for name in ("placement", "settings")},
}
_CONFIGURATION = {
    Kind.EVENT_TYPES: {"type", *_FIELDS[Kind.EVENT_TYPES]},
    Kind.PLACEMENTS: set(_FIELDS[Kind.PLACEMENTS]),
}
# Also found behind the word for the item or user: `Book-Title`, `product_category`, `user_country`.
_OWNED_FIELDS = ("title", "categories", "year", "description", "url", "image_url", "country")
_TIME_ROLES = (Role.ACTION_TIME, Role.ENTRY_TIME, Role.DATE)
_PAIR = frozenset({"user_id", "item_id", "rated_at"})
"""The columns of pairs, which are ratings without a value."""


def field_names(kind: Kind) -> Collection[str]:
    """Return the columns that a kind has in Reckon besides its ids and those of actions."""
    return _FIELDS.get(kind, {}).keys()


def kind_of(names: Collection[str]) -> Kind | None:
    """Return the kind of a table with these columns, given by their names in Reckon; None if it is ambiguous.

    Users and items with nothing but times are ratings without a value. With another column they are ambiguous, because
    that column may be the value. So are they with a value and a type of event, and without the time of the event.
    """
    has_user, has_item = "user_id" in names, "item_id" in names
    if has_user and has_item:
        has_value, has_type = "value" in names, "type" in names
        if has_value or has_type:
            is_event = has_type and not {"event_id", "at", "rated_at"}.isdisjoint(names)
            return None if has_value and has_type else Kind.RATINGS if has_value else Kind.EVENTS if is_event else None
        return Kind.RATINGS if set(names) <= _PAIR | IGNORED_NAMES else None
    if has_user or has_item:
        return Kind.ITEMS if has_item else Kind.USERS
    return next((kind for kind, needed in _CONFIGURATION.items() if needed <= set(names)), None)


@dataclass(frozen=True, slots=True)
class Naming:
    """Maps the column names of a file to the names in Reckon.

    `renamed`: the mapping given by `--columns user=...`. If it names user and item and no value, the columns of a file
    that are not known are ignored. Case and blanks of the names in it are ignored where only one column then fits.
    """

    renamed: dict[str, str] = field(default_factory=dict)

    def stated(self, names: Sequence[str]) -> dict[str, str]:
        """Return the columns of a file that the mapping names, with the names in Reckon."""
        squashed: dict[str, list[str]] = {}
        for name in names:
            squashed.setdefault(_squash(name), []).append(name)
        found = {}
        for theirs, ours in self.renamed.items():
            fitting = [theirs] if theirs in names else squashed.get(_squash(theirs), [])
            if len(fitting) == 1:
                found[fitting[0]] = ours
        return found

    def missing(self, names: Sequence[str]) -> list[str]:
        """Return the names of the mapping that no column of a file fits, or that several fit."""
        found = {_squash(name) for name in self.stated(names)}
        return [theirs for theirs in self.renamed if _squash(theirs) not in found]

    def n_known(self, names: Sequence[str]) -> tuple[int, int]:
        """Return how many columns the mapping names, and of how many the name says something."""
        return len(self.stated(names)), sum(meaning_of(name).role is not Role.UNKNOWN for name in names)

    def known(self, names: Sequence[str], kind: Kind | None = None) -> dict[str, str]:
        """Return the name in Reckon for each name of a file that has one.

        `kind`: what the rows are; None where it follows from the names. Columns to ignore have the name `-`.
        """
        stated = self.stated(names)
        ours = _Assignment(names, dict(stated), kind).result()
        is_of_pairs = {"user_id", "item_id"} <= set(stated.values()) <= _PAIR
        taken = set(ours.values())
        # A column that only has the name of a field that another column fills would overwrite it.
        ignored = [name for name in names if name not in ours and (is_of_pairs or name in taken or is_index(name))]
        return ours | dict.fromkeys(ignored, "-")

    def of(self, names: Sequence[str], kind: Kind | None = None) -> dict[str, str]:
        """Return the name in Reckon for each name of a file, as `known` does; an unknown name stays as it is."""
        known = self.known(names, kind)
        return {name: known.get(name, name) for name in names}

    def kind_of(self, names: Sequence[str], kind: Kind | None = None) -> Kind | None:
        """Return the kind of a table with these columns; None if it is ambiguous. `kind`: as stated by the user."""
        known = self.known(names, kind)
        # An unknown column may have the name of one that Reckon knows, such as the `type` of a product.
        others = ["?" for name in names if name not in known and name not in IGNORED_NAMES]
        return kind_of([*known.values(), *others])


def _squash(name: str) -> str:
    return "".join(name.split()).casefold()


class _Assignment:
    """Gives the names of Reckon to the columns of one file.

    `ours`: what is given already, by name of the column.
    """

    def __init__(self, names: Iterable[str], ours: dict[str, str], kind: Kind | None) -> None:
        self._ours = ours
        self._kind = kind
        self._meanings = {name: meaning_of(name) for name in names if name not in IGNORED_NAMES and name not in ours}

    def result(self) -> dict[str, str]:
        """Return the name in Reckon by the name of the column, for the columns that have one."""
        if self._kind in {None, Kind.RATINGS, Kind.EVENTS}:
            self._give_ids()
        elif self._kind in {Kind.ITEMS, Kind.USERS}:
            self._give_only_id(*((Role.ITEM, "item_id") if self._kind is Kind.ITEMS else (Role.USER, "user_id")))
        if self._has("user_id", "item_id"):
            self._give_action()
        kind = self._kind or kind_of(self._ours.values())
        if not self._has("user_id") and not self._has("item_id"):
            kind = self._give_configuration()
        if kind is Kind.EVENTS:
            self._ours = {name: "at" if new == "rated_at" else new for name, new in self._ours.items()}
        if kind is not None:
            self._give_fields(kind)
        return self._ours

    def _has(self, *names: str) -> bool:
        return set(names) <= set(self._ours.values())

    def _candidates(self, *roles: Role) -> list[str]:
        """The free columns of these roles, the most specific first; of equal ones, the first in the file."""
        free = [name for name, meaning in self._meanings.items() if meaning.role in roles and name not in self._ours]
        return sorted(free, key=lambda name: self._meanings[name].rank)

    def _give(self, new: str, candidates: Sequence[str]) -> None:
        if candidates and not self._has(new):
            self._ours[candidates[0]] = new

    def _give_ids(self) -> None:
        # Beside an `id`, the ids of the same items elsewhere (`imdb_id`) are not the ones that ratings name.
        weaker = Strength.EXTERNAL if self._plain_ids() else Strength.WEAK
        for new, role in (("user_id", Role.USER), ("item_id", Role.ITEM)):
            self._give(new, [name for name in self._candidates(role) if self._meanings[name].strength < weaker])
        if not self._has("user_id", "item_id"):
            self._give_weak_ids()

    def _give_weak_ids(self) -> None:
        """Give ids to names that are more often properties, where a value or an event leaves no doubt."""
        roles = (("user_id", (Role.USER, Role.USER_NAME)), ("item_id", (Role.ITEM, Role.TITLE)))
        weak = {new: [] if self._has(new) else [each for each in self._candidates(*of) if self._meanings[each].noun]
                for new, of in roles}  # fmt: skip
        if not all(weak[new] or self._has(new) for new in weak):
            return
        wanted = {new: names[0] for new, names in weak.items() if names}
        others = [meaning for name, meaning in self._meanings.items() if name not in {*wanted.values(), *self._ours}]
        is_used = self._has("value") or self._has("type") or any(map(_says_use, others))
        # An unknown column may hold the ids.
        is_unclear = any(each.role in {Role.UNKNOWN, Role.OTHER_ID} for each in others)
        if is_unclear or not (is_used or all(each.role in _TIME_ROLES for each in others)):
            return
        # Plurals are counts (`members`) beside a column that is named as an id.
        ids = [self._meanings[name] for name, new in self._ours.items() if new in weak and name in self._meanings]
        is_beside_id = any(each.strength <= Strength.CODE for each in ids)
        if is_beside_id and any(self._meanings[name].strength is Strength.PLURAL for name in wanted.values()):
            return
        for new, name in wanted.items():
            self._give(new, [name])

    def _give_only_id(self, role: Role, new: str) -> None:
        """Give the id of a catalogue, whose rows are known to be of one kind."""
        ids = self._candidates(role)
        own = [name for name in ids if self._meanings[name].strength < Strength.EXTERNAL]
        self._give(new, own or self._plain_ids() or ids)

    def _plain_ids(self) -> list[str]:
        return [name for name in self._candidates(Role.OTHER_ID) if fold(name) == "id"]

    def _give_action(self) -> None:
        """Give the columns of ratings and events: value, type, event id and time."""
        self._give("event_id", self._candidates(Role.EVENT_ID))
        if self._kind is not Kind.EVENTS and not self._has("type"):
            self._give("value", self._values())
        types = [
            name
            for name in self._candidates(Role.EVENT_TYPE)
            if self._meanings[name].strength is not Strength.WEAK
            or self._kind is Kind.EVENTS
            or (self._has("event_id") and not self._has("value"))
        ]
        if self._kind is not Kind.RATINGS and "value" not in self._stated_use():
            self._give("type", types)
        if not self._has("at"):
            self._give("rated_at", self._candidates(*_TIME_ROLES))

    def _stated_use(self) -> set[str]:
        """What `--columns` names of a value and a type: it leaves no doubt about the other."""
        return {new for name, new in self._ours.items() if new in {"value", "type"} and name not in self._meanings}

    def _values(self) -> list[str]:
        ratings, measures = self._candidates(Role.RATING), self._candidates(Role.MEASURE)
        aspects = [name for name in ratings if self._meanings[name].strength is Strength.WEAK]
        overall = [name for name in ratings if name not in aspects]
        # Of several aspects (`aroma_score`, `taste_score`) none is the rating.
        return overall or self._candidates(Role.AMOUNT) or (aspects if len(aspects) == 1 else []) or measures

    def _give_configuration(self) -> Kind | None:
        """Give the type of event types, and return the kind of a table that has no ids."""
        folded = {fold(name) for name in (*self._meanings, *self._ours.values())}
        types = self._candidates(Role.EVENT_TYPE)
        for kind, needed in _CONFIGURATION.items():
            has_fields = all(not folded.isdisjoint(synonyms) for synonyms in _FIELDS[kind].values())
            if has_fields and ("type" not in needed or types or self._has("type")):
                self._give("type", types if "type" in needed else [])
                return kind
        return None

    def _give_fields(self, kind: Kind) -> None:
        # Reversed, so that the first of two columns whose names fold to the same text is kept.
        free = [name for name in reversed(self._meanings) if name not in self._ours]
        folded = {fold(name): name for name in free}
        fields = _FIELDS.get(kind, {})
        for new, synonyms in fields.items():
            self._give(new, [folded[synonym] for synonym in synonyms if synonym in folded])
        if kind not in {Kind.ITEMS, Kind.USERS}:
            return
        role, id_name = (Role.ITEM, "item_id") if kind is Kind.ITEMS else (Role.USER, "user_id")
        of_id = {meaning_of(name).noun for name, new in self._ours.items() if new == id_name}
        owned = {}
        for name in free:
            noun, rest = without_owner(name, role)
            if noun and name not in self._ours and (noun in of_id or not is_part_of_another(noun)):
                owned[rest] = name
        for new in _OWNED_FIELDS:
            self._give(new, [owned[synonym] for synonym in fields.get(new, ()) if synonym in owned])


def _says_use(meaning: Meaning) -> bool:
    is_event = meaning.role is Role.EVENT_TYPE and meaning.strength is not Strength.WEAK
    return is_event or meaning.role in {Role.RATING, Role.AMOUNT, Role.MEASURE}


@dataclass(frozen=True, slots=True)
class Columns:
    """The value of `--columns`: the names of the columns in order, or a mapping of the names in the header."""

    names: list[str] = field(default_factory=list)
    naming: Naming = field(default_factory=Naming)

    @property
    def is_given(self) -> bool:
        return bool(self.names or self.naming.renamed)

    @classmethod
    def parse(cls, text: str | None, kind: Kind | None = None) -> Self:
        """Parse `user,item,rating,timestamp` (in the order of the file; `-` skips a column) or `user=uid,item=sku,...`.

        A name that contains a comma or `=` is put in double quotes. `kind`: what the rows are; None where the names say
        it.

        Raises `InvalidInputError` with both forms.
        """
        if not text:
            return cls()
        separated = _SEPARATED.findall(text)
        parts = [_PART.fullmatch(part) for part in separated]
        # Text after an unclosed quote is in no part.
        if ",".join(separated) != text or None in parts:
            raise _not_understood(text)
        pairs = [(_unquote(part["ours"]), _unquote(part["theirs"] or "")) for part in parts if part is not None]
        for names in zip(*pairs, strict=True):
            repeated = next((name for name in names if name not in IGNORED_NAMES and names.count(name) > 1), None)
            if repeated is not None:
                raise InvalidInputError(f"--columns {text!r} names {repeated!r} twice", field="columns")
        given = [ours for ours, _ in pairs if ours not in IGNORED_NAMES]
        if kind in {Kind.ITEMS, Kind.USERS} and {"user_id", "item_id"} <= set(Naming().known(given).values()):
            message = f"--columns {text!r} names a user and an item, which --kind {kind} contradicts"
            raise InvalidInputError(message, field="kind")
        known = _known_of_option(given, kind)
        if known is None:
            raise _not_understood(text)
        if not any(part["theirs"] is not None for part in parts if part is not None):
            return cls(names=[known.get(name, name) for name, _ in pairs])
        if not all(theirs for _, theirs in pairs):
            raise _not_understood(text)
        return cls(naming=Naming({theirs: known.get(ours, ours) for ours, theirs in pairs}))


def _known_of_option(names: Sequence[str], kind: Kind | None) -> dict[str, str] | None:
    """Return the names in Reckon of those that a user typed; None where they are not those of a table."""
    # In a file a column `type` may be a property of the items. A user who names it means the type of an event.
    for stated in (kind,) if kind else (None, Kind.EVENTS):
        if stated is kind is not None or Naming().kind_of(names, stated) is not None:
            return Naming().known(names, stated)
    return None


_QUOTED = r'"(?:[^"]|"")*"'
# One part of the option up to the next comma that is not in quotes.
_SEPARATED = re.compile(rf'(?:^|(?<=,))((?:{_QUOTED}|[^",])*)(?=,|$)')
_PART = re.compile(rf'\s*(?P<ours>{_QUOTED}|[^"=]*?)\s*(?:=\s*(?P<theirs>{_QUOTED}|[^"]*?)\s*)?')


def _unquote(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.strip()


def _not_understood(text: str | None) -> InvalidInputError:
    return InvalidInputError(
        f"--columns {text!r} is neither user,item,rating,timestamp in the order of the file"
        " nor user=NAME,item=NAME,rating=NAME with the names of its header",
        field="columns",
    )
