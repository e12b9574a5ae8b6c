"""Finds the reasons for which a table of one id may not be a catalogue of items or users.

A table that is taken for a catalogue changes the stored items or users, so it must hold nothing that may be a rating,
an event, the time of an action or a second id. Some of these occur in catalogues too. They raise no doubt where the
rest of the table shows that each row is one item or user.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from app.intake.column_names.columns import IGNORED_NAMES, Kind, field_names
from app.intake.column_names.meanings import Meaning, Role, Strength, fold, kind_of_file
from app.intake.recognition.looks import NUMERIC_LOOKS, Look, SampledColumn
from app.intake.vectors import are_of_vectors

_CATALOGUE_ROWS = 20
"""So many described rows without a repeated id are a catalogue."""

LARGE_ROWS = 1_000
"""So many rows without a repeated id are a catalogue whatever the columns: in a log some ids would occur again."""

_REPEATED_SHARE = 0.01
"""A catalogue may have this share of repeated rows, such as one product in two categories."""

_FEW_REPEATS = 2
_MATRIX_COLUMNS = 5
"""So many columns of numbers without a known name are the users or items of a matrix."""

_FEW_CELLS = 2
_SPARSE_SHARE = 0.2
"""So few columns of numbers are cells of a matrix if this share of them is missing, or if their names are numbers."""


class Evidence(IntEnum):
    """How clearly rows are those of a catalogue.

    `DESCRIBED`: no id is repeated, and the table has titles of items or properties of users.
    `CATALOGUE`: besides, it has at least 20 rows, or its file is named after items or users.
    `LARGE`: no id is repeated in 1,000 rows.
    `BEYOND`: more than any table has.
    """

    NONE = 0
    DESCRIBED = 1
    CATALOGUE = 2
    LARGE = 3
    BEYOND = 4


@dataclass(frozen=True, slots=True)
class Doubt:
    """A reason against a catalogue. `column`: None where the whole table is the reason."""

    reason: str
    column: str | None = None


@dataclass(frozen=True)
class OneIdTable:
    """A table whose only id is one of users or of items.

    `kind`: `USERS` or `ITEMS`. `n_rows`: of the sample. `n_repeats`: how many of their ids occur again.
    """

    file_name: str
    kind: Kind
    columns: Sequence[SampledColumn]
    n_rows: int
    n_repeats: int

    @property
    def doubts(self) -> list[Doubt]:
        """The reasons against a catalogue; empty where it is one."""
        evidence = self._evidence
        is_matrix = self.is_matrix
        doubts = [
            Doubt(self._reason(column), column.name)
            for column in self._others
            if self._needed(column) > evidence and not (is_matrix and _is_cell(column))
        ]
        if evidence < Evidence.LARGE and not self._is_export:
            ids = [each for each in self.columns if each.ours in {"user_id", "item_id"}]
            doubts += [
                Doubt(f"its values look like {each.look}", each.name) for each in ids if each.look is Look.MOMENT
            ]
        if self._is_repeating:
            doubts.append(Doubt(f"{self.n_repeats:,} of the first {self.n_rows:,} rows repeat an id"))
        if is_matrix:
            doubts.append(Doubt("its columns of numbers may be a matrix of users and items"))
        if are_of_vectors({each.name for each in self.columns}):
            doubts.append(Doubt("its columns are those of the vectors that reckon export --vectors writes"))
        named_after = kind_of_file(self.file_name)
        if named_after is Role.OF_ACTION and evidence < Evidence.CATALOGUE:
            doubts.append(Doubt("the file is named after ratings, events or orders"))
        other, label = (Role.USER, "users") if self.kind is Kind.ITEMS else (Role.ITEM, "items")
        if named_after is other and evidence < Evidence.LARGE and not self._is_export:
            doubts.append(Doubt(f"the file is named after {label}"))
        return doubts

    @cached_property
    def _others(self) -> list[SampledColumn]:
        known = {"user_id", "item_id", "-", *field_names(self.kind)}
        named = [each for each in self.columns if each.name not in IGNORED_NAMES]
        return [each for each in named if each.ours not in known or self._is_misnamed(each)]

    @cached_property
    def _is_export(self) -> bool:
        """Whether the table has all columns of an export, which any values may fill."""
        return {*field_names(self.kind)} <= {each.name for each in self.columns}

    @cached_property
    def _n_unclear(self) -> int:
        return sum(each.meaning.role is Role.UNKNOWN and each.look in _UNCLEAR_LOOKS for each in self._others)

    def _is_misnamed(self, column: SampledColumn) -> bool:
        """Whether the values of a column cannot be the titles, names or properties that its name says."""
        if self._is_export:
            return False
        if column.meaning.role is Role.TITLE:
            no_titles = {Look.MOMENT, Look.DATE, Look.FLAG, Look.GRADE, Look.OPINION}
            return column.look in no_titles or (self.kind is Kind.USERS and column.look is Look.CODE)
        if column.meaning.role is Role.TEXT:
            # `note` is a grade in several languages.
            return column.look in NUMERIC_LOOKS
        if column.meaning.role is Role.ATTRIBUTE and not column.ours:
            return column.look in {Look.MOMENT, Look.ACTION, Look.OPINION}
        return False

    def _needed(self, column: SampledColumn) -> Evidence:
        """Return the evidence for a catalogue without which the column raises a doubt."""
        if column.look is Look.EMAIL and self.kind is Kind.ITEMS and not self._is_export:
            # People have addresses. So do hotels and shops, but then each of them has its own.
            return max(Evidence.LARGE, _needed_by_name(self.kind, column, has_figures=self._has_figures))
        is_misnamed = self._is_misnamed(column)
        if is_misnamed and column.meaning.role is Role.TEXT:
            return Evidence.CATALOGUE if self.kind is Kind.ITEMS else Evidence.BEYOND
        is_unknown = column.meaning.role is Role.UNKNOWN or is_misnamed
        if not is_unknown or column.look not in _NEEDED_BY_LOOK:
            return _needed_by_name(self.kind, column, has_figures=self._has_figures)
        # One unknown column of numbers may be a property. Two may be a second id and a rating.
        if self.kind is Kind.USERS and column.look is Look.NUMBER:
            return Evidence.DESCRIBED
        is_unclear = column.look in _UNCLEAR_LOOKS and (self._n_unclear > 1 or self.kind is Kind.USERS)
        return max(_NEEDED_BY_LOOK[column.look], Evidence.LARGE if is_unclear else Evidence.NONE)

    def _reason(self, column: SampledColumn) -> str:
        is_by_look = column.meaning.role is Role.UNKNOWN or column.is_named_by_number or self._is_misnamed(column)
        is_by_look |= column.look is Look.EMAIL
        return f"its values look like {column.look}" if is_by_look else f"may hold {column.meaning.role}"

    @cached_property
    def _has_figures(self) -> bool:
        """Whether the table counts ratings or users, so that a rating in it may be their mean."""
        return any(
            _is_count(each) or (each.meaning.role is Role.AGGREGATE and each.look is not Look.TEXT)
            for each in self.columns
        )

    @property
    def _evidence(self) -> Evidence:
        if self.n_repeats > _REPEATED_SHARE * self.n_rows:
            return Evidence.NONE
        is_described = any(map(self._describes, self.columns))
        own = Role.ITEM if self.kind is Kind.ITEMS else Role.USER
        is_named = kind_of_file(self.file_name) is own
        if self.n_rows >= LARGE_ROWS:
            return Evidence.LARGE
        if is_described and (is_named or self.n_rows >= _CATALOGUE_ROWS):
            return Evidence.CATALOGUE
        return Evidence.DESCRIBED if is_described or is_named else Evidence.NONE

    def _describes(self, column: SampledColumn) -> bool:
        if self.kind is Kind.ITEMS:
            return column.ours == "title" and column.look in {Look.TEXT, Look.EMPTY}
        return column.meaning.role in {Role.ATTRIBUTE, Role.OF_USER}

    @property
    def _is_repeating(self) -> bool:
        has_unknown = any(each.meaning.role is Role.UNKNOWN and each.look is not Look.EMPTY for each in self._others)
        return self.n_repeats > max(0 if has_unknown else _FEW_REPEATS, _REPEATED_SHARE * self.n_rows)

    @cached_property
    def is_matrix(self) -> bool:
        """Whether there are many columns of numbers that may be cells of a matrix of users and items."""
        cells = list(filter(_is_cell, self._others))
        is_described = any(map(self._describes, self.columns))
        if is_described:
            # Genres of films are commonly one column of 0 and 1 each, and what is measured of songs has decimals.
            cells = [each for each in cells if each.look is not Look.NUMBER and not _is_full_flag(each)]
        n_sparse = sum(each.missing_share >= _SPARSE_SHARE for each in cells)
        n_numbered = sum(each.is_named_by_number for each in cells)
        is_wide = len(cells) >= _MATRIX_COLUMNS and 2 * len(cells) > len(self.columns)
        return is_wide or max(n_sparse, n_numbered) >= _FEW_CELLS


def _is_cell(column: SampledColumn) -> bool:
    is_unknown = column.meaning.role is Role.UNKNOWN or column.is_named_by_number
    return is_unknown and column.look in {*NUMERIC_LOOKS, Look.COUNTER}


def _is_full_flag(column: SampledColumn) -> bool:
    return column.look is Look.FLAG and not column.missing_share and not column.is_named_by_number


def is_of_action(kind: Kind, meaning: Meaning) -> bool:
    """Whether no item or user has a column of this name, because it belongs to a rating or an event."""
    column = SampledColumn("", "", meaning, Look.TEXT, 0.0)
    return _needed_by_name(kind, column, has_figures=False) is Evidence.BEYOND


def _needed_by_name(kind: Kind, column: SampledColumn, *, has_figures: bool) -> Evidence:
    if column.is_named_by_number:
        return Evidence.BEYOND
    role, is_items = column.meaning.role, kind is Kind.ITEMS
    if _is_harmless(column, is_items=is_items):
        return Evidence.NONE
    if role is Role.AGGREGATE and column.look is Look.TEXT:
        # Not the number of comments, but the comments.
        return Evidence.BEYOND
    # A mean, or an age rating such as PG-13.
    is_of_item = has_figures or (role is Role.RATING and column.look in {Look.TEXT, Look.CODE})
    if role in {Role.RATING, Role.AMOUNT} and is_items and is_of_item:
        return Evidence.CATALOGUE
    if role is Role.OTHER_ID and column.look is Look.COUNTER and fold(column.name) in {"id", "index"}:
        return Evidence.DESCRIBED
    return _NEEDED_BY_ROLE.get(role, (Evidence.NONE, Evidence.NONE))[0 if is_items else 1]


def _is_count(column: SampledColumn) -> bool:
    """Whether a plural counts users or items, such as `members`."""
    return column.meaning.strength is Strength.PLURAL and column.look in NUMERIC_LOOKS


def _is_harmless(column: SampledColumn, *, is_items: bool) -> bool:
    """Whether a column whose name alone would raise a doubt is a property all the same."""
    role, strength, look = column.meaning.role, column.meaning.strength, column.look
    match role:
        case Role.USER | Role.ITEM:
            return role is (Role.ITEM if is_items else Role.USER) or _is_count(column)
        case Role.TITLE:
            return not is_items and fold(column.name) == "name"
        case Role.MEASURE:
            return is_items and strength is not Strength.WEAK
        case Role.EVENT_TYPE:
            # `type` is a common property, and a genre of films is called action.
            return strength is Strength.WEAK or (is_items and look is Look.FLAG)
        case Role.OF_ACTION:
            # Products list what was bought with them.
            return look in {Look.NESTED, Look.EMPTY}
    return False


# The evidence without which a name raises a doubt: in a table of items, and in one of users.
_NEEDED_BY_ROLE = {
    Role.USER: (Evidence.BEYOND, Evidence.NONE),
    Role.USER_NAME: (Evidence.BEYOND, Evidence.NONE),
    Role.OF_USER: (Evidence.BEYOND, Evidence.NONE),
    Role.ITEM: (Evidence.NONE, Evidence.BEYOND),
    Role.TITLE: (Evidence.NONE, Evidence.BEYOND),
    Role.OF_ITEM: (Evidence.NONE, Evidence.BEYOND),
    Role.RATING: (Evidence.BEYOND, Evidence.BEYOND),
    Role.AMOUNT: (Evidence.BEYOND, Evidence.BEYOND),
    Role.ACTION_TIME: (Evidence.BEYOND, Evidence.BEYOND),
    Role.EVENT_TYPE: (Evidence.BEYOND, Evidence.BEYOND),
    Role.ACTION_ID: (Evidence.BEYOND, Evidence.BEYOND),
    Role.EVENT_ID: (Evidence.BEYOND, Evidence.BEYOND),
    Role.OF_ACTION: (Evidence.BEYOND, Evidence.BEYOND),
    Role.OTHER_ID: (Evidence.LARGE, Evidence.LARGE),
    Role.DATE: (Evidence.CATALOGUE, Evidence.LARGE),
    Role.MEASURE: (Evidence.DESCRIBED, Evidence.LARGE),
    Role.ENTRY_TIME: (Evidence.DESCRIBED, Evidence.DESCRIBED),
    Role.CREATOR: (Evidence.DESCRIBED, Evidence.DESCRIBED),
    Role.TEXT: (Evidence.NONE, Evidence.DESCRIBED),
}
_NEEDED_BY_LOOK = {
    Look.MOMENT: Evidence.BEYOND,
    Look.ACTION: Evidence.BEYOND,
    Look.CODE: Evidence.LARGE,
    Look.COUNTER: Evidence.CATALOGUE,
    Look.INTEGER: Evidence.CATALOGUE,
    Look.GRADE: Evidence.CATALOGUE,
    Look.OPINION: Evidence.BEYOND,
    Look.NUMBER: Evidence.NONE,
    Look.DATE: Evidence.DESCRIBED,
    Look.FLAG: Evidence.DESCRIBED,
}
_UNCLEAR_LOOKS = frozenset({Look.CODE, Look.COUNTER, Look.INTEGER, Look.GRADE, Look.DATE})
