"""Guesses the option `--columns` for a table that is refused, for its user to check and to try."""

import re
import shlex
from collections.abc import Callable, Sequence

from app.intake.column_names.columns import IGNORED_NAMES
from app.intake.column_names.meanings import Role, Strength, fold
from app.intake.recognition.looks import NUMERIC_LOOKS, Look, SampledColumn

PLACEHOLDER = "NAME"
"""Stands for a column of which there is no guess."""

_ORDER = ("event_id", "user", "item", "type", "rating", "timestamp")
_PLAIN_NAME = re.compile(r"[\w .:/#()+-]*", re.ASCII)
_TYPED_WITHOUT_QUOTES = re.compile(r"[\w.:/+-]+", re.ASCII)

_Rule = Callable[[SampledColumn], bool]


def _is_ours(*names: str) -> _Rule:
    return lambda column: column.ours in names


def _is(*roles: Role) -> _Rule:
    return lambda column: column.meaning.role in roles


def _names_ids(role: Role) -> _Rule:
    # A plural of numbers is a count: `members`.
    return lambda column: (
        column.meaning.role is role
        and not (column.meaning.strength is Strength.PLURAL and column.look in {*NUMERIC_LOOKS, Look.COUNTER})
    )


def _is_event_type(column: SampledColumn) -> bool:
    return column.meaning.role is Role.EVENT_TYPE and column.meaning.strength is not Strength.WEAK


def _looks(*looks: Look) -> _Rule:
    # A name that says something else counts more than the values.
    return lambda column: column.meaning.role is Role.UNKNOWN and column.look in looks


def _is_plain_id(column: SampledColumn) -> bool:
    return column.meaning.role is Role.OTHER_ID and fold(column.name) == "id"


def _is_amount(column: SampledColumn) -> bool:
    # The weight of a product is no amount of use.
    return column.meaning.role is Role.MEASURE and column.meaning.strength is Strength.WEAK


_looks_like_id = _looks(Look.CODE, Look.INTEGER, Look.COUNTER)
_looks_like_time = _looks(Look.MOMENT, Look.DATE)
_is_grade = _looks(Look.GRADE, Look.OPINION, Look.FLAG)


_CLEAR_ID_LOOKS = frozenset({Look.CODE, Look.INTEGER})
# Small ids look like grades, and names may serve as ids.
_ID_LOOKS = frozenset({*_CLEAR_ID_LOOKS, Look.COUNTER, Look.GRADE, Look.FLAG, Look.EMAIL, Look.TEXT})
_VALUE_LOOKS = frozenset({*NUMERIC_LOOKS, Look.OPINION, Look.COUNTER})


class _Guess:
    """The columns found so far, by part. A part and a column are taken once."""

    def __init__(self, columns: Sequence[SampledColumn]) -> None:
        # Of the columns that fit a rule, the one with the most specific name is taken.
        named = [column for column in columns if column.name not in IGNORED_NAMES]
        self._columns = sorted(named, key=lambda column: column.meaning.rank)
        self.found: dict[str, SampledColumn] = {}

    def free(self, rule: _Rule) -> list[SampledColumn]:
        return [column for column in self._columns if column not in self.found.values() and rule(column)]

    def take(self, part: str, *rules: _Rule) -> None:
        """Take the first column that fits the first of the rules that any column fits."""
        fitting = next((free for free in map(self.free, rules) if free), [])
        if fitting and part not in self.found:
            self.found[part] = fitting[0]


def guess(columns: Sequence[SampledColumn]) -> dict[str, str]:
    """Return the likeliest column of each part of a rating or an event, by the name of the part in `--columns`.

    User and item are always there, with `PLACEHOLDER` where no column is likely.
    """
    made = _Guess(columns)
    # What names and values tell clearly comes before the ids, which may look like anything.
    made.take(
        *("timestamp", _is_ours("rated_at", "at"), _is(Role.ACTION_TIME)),
        *(_is(Role.DATE), _looks_like_time, _is(Role.ENTRY_TIME)),
    )
    made.take("type", _is_ours("type"), _is_event_type, _looks(Look.ACTION))
    made.take("user", _is_ours("user_id"), _names_ids(Role.USER), _looks(Look.EMAIL), _is(Role.CREATOR), _looks_like_id)
    made.take("item", _is_ours("item_id"), _names_ids(Role.ITEM), _is_plain_id, _looks_like_id)
    if "type" in made.found:
        made.take("event_id", _is_ours("event_id"), _is(Role.EVENT_ID))
    else:
        made.take("rating", _is_ours("value"), _is(Role.RATING), _is(Role.AMOUNT))
        grades = made.free(_is_grade)
        n_ids_before = min(len({"user", "item"} - made.found.keys()), len(grades) - 1)
        # Small ids look like grades, and ids commonly stand first.
        made.take("rating", lambda column: bool(grades) and column is grades[n_ids_before], _is_amount)
    made.take("user", _is(Role.USER_NAME), _is(Role.ACTION_ID, Role.OTHER_ID), _looks(Look.TEXT), _is_grade)
    made.take("item", _is(Role.OTHER_ID), _is(Role.TITLE), _is(Role.ACTION_ID), _looks(Look.TEXT), _is_grade)
    if "type" not in made.found:
        made.take("rating", _looks(*NUMERIC_LOOKS))
    if "rating" not in made.found:
        # A column that is only called `type` is more often a property.
        made.take("type", _is(Role.EVENT_TYPE))
    names = {part: made.found[part].name if part in made.found else PLACEHOLDER for part in ("user", "item")}
    names |= {part: column.name for part, column in made.found.items()}
    if "type" in names:
        # An event needs a time.
        names.setdefault("timestamp", PLACEHOLDER)
    return {part: names[part] for part in _ORDER if part in names}


def guess_in_order(columns: Sequence[SampledColumn]) -> list[str]:
    """Return the likeliest part of each column of a table without a header, `-` for columns to skip.

    Without names only the place and the look of a column count: user and item stand first, a rating behind them.
    """
    looks = [column.look for column in columns]
    parts = ["-"] * len(looks)
    time = next((looks.index(look) for look in (Look.MOMENT, Look.DATE) if look in looks), None)
    ids = [place for place, look in enumerate(looks) if look in _ID_LOOKS]
    # Rows may be numbered from 0 or 1 on.
    is_numbered = (
        len(ids) > len(("user", "item")) and looks[ids[0]] is Look.COUNTER and looks[ids[2]] in _CLEAR_ID_LOOKS
    )
    user, item = (*ids[is_numbered:], None, None)[:2]
    if user is None or item is None:
        return parts
    parts[user], parts[item] = "user", "item"
    if time is not None:
        parts[time] = "timestamp"
        if Look.ACTION in looks:
            parts[looks.index(Look.ACTION)] = "type"
            return parts
    # Several columns of fractions are coordinates.
    values = [
        place
        for place, look in enumerate(looks)
        if look in _VALUE_LOOKS and place > item and not (look is Look.NUMBER and looks.count(Look.NUMBER) > 1)
    ]
    if values:
        parts[values[0]] = "rating"
    return parts


def as_option(pairs: dict[str, str]) -> str:
    """Return `--columns user=...,item=...` as it is typed in a shell."""
    if all(map(_PLAIN_NAME.fullmatch, pairs.values())):
        quoted = {part: name if _TYPED_WITHOUT_QUOTES.fullmatch(name) else f'"{name}"' for part, name in pairs.items()}
        return "--columns " + ",".join(f"{part}={name}" for part, name in quoted.items())
    return "--columns " + shlex.quote(",".join(f"{part}={_in_option(name)}" for part, name in pairs.items()))


def _in_option(name: str) -> str:
    """Quote a name that the option would take apart."""
    return '"' + name.replace('"', '""') + '"' if any(mark in name for mark in ',="') else name
