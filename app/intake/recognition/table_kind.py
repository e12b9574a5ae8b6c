"""Decides what the rows of a table are, by the names of its columns and by a sample of its values.

In doubt a table is refused, with the option to try: a wrong guess would change what is stored of users and items.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from app.errors import InvalidInputError
from app.intake.blocks import Block, Column, RawTable
from app.intake.cells.values import is_missing
from app.intake.column_names.columns import IGNORED_NAMES, Kind, Naming
from app.intake.column_names.meanings import Meaning, Role, Strength, meaning_of
from app.intake.hints import FileHints
from app.intake.recognition.doubts import LARGE_ROWS, OneIdTable, is_of_action
from app.intake.recognition.looks import (
    Look,
    SampledColumn,
    count_repeats,
    is_like_data,
    look_of,
    may_be_ids,
    missing_share,
)
from app.intake.recognition.refusals import Refusal, columns_missing, header_missing, listed, printable

_MAX_SAMPLED_BLOCKS = 20
# The kinds whose rows have one id.
_ID_NAMES = {Kind.USERS: "user_id", Kind.ITEMS: "item_id"}
# Beside a user and an item, columns that are no rating and that no user wrote.
_BESIDE_PAIRS = frozenset(
    {Role.ACTION_TIME, Role.ENTRY_TIME, Role.DATE, Role.ACTION_ID, Role.EVENT_ID, Role.USER, Role.ITEM}
)
_PROPERTIES = frozenset(
    {Role.ATTRIBUTE, Role.OWN_TIME, Role.OF_USER, Role.OF_ITEM, Role.TITLE, Role.USER_NAME, Role.CREATOR}
)


@dataclass(frozen=True, slots=True)
class Recognised:
    """What the rows of a table are. `names`: the name in Reckon of each column of the file, `-` for one to ignore."""

    kind: Kind
    names: Mapping[str, str]
    naming: Naming = field(default_factory=Naming)

    @property
    def has_values(self) -> bool:
        """False for ratings without a column of values."""
        return self.kind is not Kind.RATINGS or "value" in self.names.values()

    def rename(self, block: Block) -> Block:
        """Return a block of the file under the names of Reckon.

        The rows of a JSONL file may have names that the sample lacks. In a table of items or users, rows are rejected
        that have one which a rating or an event has.
        """
        late = [name for name in block.columns if name not in self.names]
        names = dict(self.names)
        if late:
            taken = set(names.values())
            found = self.naming.of([*names, *late], self.kind)
            names |= {name: "-" if found[name] in taken else found[name] for name in late}
        columns = {names[name]: column for name, column in block.columns.items()}
        nulls = block.nulls and {names[name]: rows for name, rows in block.nulls.items()}
        renamed = replace(block, columns=columns, nulls=nulls)
        foreign = [name for name in late if self.kind in _ID_NAMES and is_of_action(self.kind, meaning_of(name))]
        return _without(renamed, block, foreign, self.kind) if foreign else renamed


def _without(renamed: Block, block: Block, foreign: Sequence[str], kind: Kind) -> Block:
    """Reject the rows with a value in one of the columns `foreign`."""
    named = [
        next((name for name in foreign if not is_missing(block.columns[name][row])), None) for row in range(len(block))
    ]
    rejected = [
        renamed.reject(row, f"{name}: the row is not one of {kind.label}") for row, name in enumerate(named) if name
    ]
    kept = [row for row, name in enumerate(named) if not name]
    return replace(renamed.select(kept), rejected=[*block.rejected, *rejected])


def recognise_table(raw: RawTable, hints: FileHints) -> Recognised:
    """Return what the rows of a table are.

    Raises `InvalidInputError` where that is not clear, where the hints contradict the table, and where `--columns`
    names a column that it lacks.
    """
    if raw.kind is not None:
        if hints.kind is not None and hints.kind is not raw.kind:
            message = f"{raw.file.display_name} has the layout of {raw.kind.label}, so it holds no {hints.kind.label}"
            raise InvalidInputError(message, field="kind")
        return Recognised(raw.kind, {name: name for name in raw.names})
    if hints.columns.names and list(raw.names) != hints.columns.names:
        message = f"{raw.file.display_name} names its columns, so --columns takes user=NAME,item=NAME,..."
        raise InvalidInputError(f"{message} with its names: {listed(raw.names)}", field="columns")
    n_of_name = Counter(raw.names)
    repeated = next((name for name, n in n_of_name.items() if n > 1 and name not in IGNORED_NAMES), None)
    if repeated is not None:
        if any(is_like_data(name) for name in raw.names):
            raise header_missing(raw.file.display_name, raw.names, [])
        message = f"{raw.file.display_name} has two columns named {printable(repeated)}"
        raise InvalidInputError(message, field="columns")
    rows, n_rows = _sample(raw) if set(raw.names) - IGNORED_NAMES else ({}, 0)
    return _Table(raw, rows, n_rows, hints).recognised()


def _sample(raw: RawTable) -> tuple[Mapping[str, Column], int]:
    """Return the first rows by the names of the file, and their number."""
    blocks: list[Block] = []
    for block in raw.blocks():
        blocks.append(block)
        if sum(map(len, blocks)) >= LARGE_ROWS or len(blocks) == _MAX_SAMPLED_BLOCKS:
            break
    # The objects of JSONL may have names that the first one lacks.
    names = dict.fromkeys(chain(raw.names, *(block.columns for block in blocks)))
    columns = {name: list(chain.from_iterable(block.column(name) for block in blocks)) for name in names}
    return columns, sum(map(len, blocks))


def _is_vague_id(name: str) -> bool:
    meaning = meaning_of(name)
    return meaning.role in {Role.USER, Role.ITEM} and meaning.strength >= Strength.BARE


class _Table:
    """A table that is to be recognised; `rows` are its first ones, by the names of the file."""

    def __init__(self, raw: RawTable, rows: Mapping[str, Column], n_rows: int, hints: FileHints) -> None:
        self._file = raw.file
        self._header = raw.names if raw.format == "delimited" else None
        self._rows = rows
        self._n_rows = n_rows
        self._hints = hints
        # Names in the order of the file are those of Reckon already.
        in_order = {name: name for name in hints.columns.names if name not in IGNORED_NAMES}
        self._naming = Naming(in_order) if in_order else hints.columns.naming
        missing = self._naming.missing(list(rows))
        if missing:
            raise columns_missing(self._file.display_name, missing, list(rows))
        # A column named like an item may be a flag, such as `video` of a film.
        stated = self._naming.stated(list(rows))
        self._named = [
            name for name, column in rows.items() if name in stated or may_be_ids(column) or not _is_vague_id(name)
        ]
        known = self._naming.known(self._named, hints.kind)
        self._columns = [
            SampledColumn(name, known.get(name, ""), meaning_of(name), look_of(column), missing_share(column))
            for name, column in rows.items()
        ]

    def recognised(self) -> Recognised:
        wanted = self._hints.kind
        found = self._naming.kind_of(self._named, wanted)
        if wanted in _ID_NAMES:
            self._check_stated_catalogue(wanted)
        elif found in _ID_NAMES and wanted is None:
            id_name = _ID_NAMES[found]
            n_repeats = count_repeats(next(self._rows[each.name] for each in self._columns if each.ours == id_name))
            table = OneIdTable(self._file.name, found, self._columns, self._n_rows, n_repeats)
            if table.doubts:
                raise self._refusal.of_catalogue(found, table.doubts, is_matrix=table.is_matrix)
        elif found is None and wanted in {None, Kind.RATINGS} and self._are_pairs():
            found = Kind.RATINGS
        elif found is None and self._header and self._is_data(self._header):
            raise header_missing(self._file.display_name, self._header, self._with_first_row())
        elif found is None or wanted not in {None, found}:
            raise self._refusal.of_log()
        kind = wanted or found
        assert kind is not None  # noqa: S101  the branches above leave no other case
        names = {name: name for name in self._rows} | self._naming.known(self._named, kind)
        return Recognised(kind, names, self._naming)

    @property
    def _refusal(self) -> Refusal:
        return Refusal(self._file.display_name, self._columns)

    def _check_stated_catalogue(self, wanted: Kind) -> None:
        """Check a table whose user states that it holds items or users; what its values may be is then no doubt."""
        if not self._has(_ID_NAMES[wanted]):
            raise self._refusal.without_id(wanted)
        # With `--columns` the user has also said which of two ids counts.
        is_given = self._hints.columns.is_given
        plain = self._naming.known(self._named, wanted) if is_given else Naming().known(self._named)
        if set(_ID_NAMES.values()) <= set(plain.values()):
            raise self._refusal.of_two_ids(wanted, plain)

    def _is_data(self, header: Sequence[str]) -> bool:
        has_id = any(each.ours in _ID_NAMES.values() for each in self._columns)
        return not has_id and any(map(is_like_data, header))

    def _with_first_row(self) -> list[SampledColumn]:
        """Return the columns of a table without a header, whose names are values."""
        values = {name: [name, *column] for name, column in self._rows.items()}
        return [replace(each, meaning=Meaning(Role.UNKNOWN), look=look_of(values[each.name])) for each in self._columns]

    def _has(self, *names: str) -> bool:
        return set(names) <= {each.ours for each in self._columns}

    def _are_pairs(self) -> bool:
        """Whether the table holds users, items and nothing else that a user gave; see `_BESIDE_PAIRS`."""
        if not self._has(*_ID_NAMES.values()) or self._has("value") or self._has("type"):
            return False
        known = {*_ID_NAMES.values(), "rated_at", "-"}
        others = [each for each in self._columns if each.ours not in known and each.name not in IGNORED_NAMES]
        roles = {each.meaning.role for each in others if each.look is not Look.COUNTER}
        if roles <= _BESIDE_PAIRS:
            return True
        # A catalogue may name the user who made an item. Its rows then do not repeat their id.
        ids = [self._rows[each.name] for each in self._columns if each.ours in _ID_NAMES.values()]
        return roles <= _BESIDE_PAIRS | _PROPERTIES and all(map(count_repeats, ids))
