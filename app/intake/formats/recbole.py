"""Reads the atomic files of RecBole: `.inter`, `.item` and `.user`, whose header gives each column a type.

The types are token, token_seq, float and float_seq. Columns are separated by tabs and the elements of a sequence by
blanks. Source: https://recbole.io/docs/user_guide/data/atomic_files.html
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from app.intake.blocks import Block, RawTable
from app.intake.column_names.columns import Kind, kind_of
from app.intake.files.chunks import first_line
from app.intake.files.listing import InputFile
from app.intake.formats.delimited import DelimitedDialect, read_delimited
from app.intake.hints import FileHints

_TABS = DelimitedDialect("\t", is_quoted=False)
_TYPES = frozenset({"token", "token_seq", "float", "float_seq"})
# Names of the published data sets that mean a field of Reckon.
_FIELDS = {"class": "categories", "movie_title": "title"}
# Titles are sequences of words in these files, and texts in Reckon.
_TEXTS = frozenset({"title", "name", "description", "review", "text", "summary"})
_PAIR = frozenset({"user_id", "item_id", "rated_at"})


def open_recbole(file: InputFile, _siblings: Mapping[str, InputFile], hints: FileHints) -> RawTable | None:
    """Open a file whose header names a type for every column; see `registry.Open`."""
    types = {name: type_ for name, _, type_ in (part.strip().rpartition(":") for part in first_line(file).split("\t"))}
    if hints.columns.names or hints.shape or not _TYPES.issuperset(types.values()):
        return None
    names = [_FIELDS[name] if _FIELDS.get(name, name) not in types else name for name in types]
    is_listed = {
        name: type_.endswith("_seq") and name.rpartition("_")[2] not in _TEXTS
        for name, type_ in zip(names, types.values(), strict=True)
    }
    ours = hints.columns.naming.of(names)
    if not _are_pairs(ours, types.values()):
        return RawTable(file, names, partial(_read, file, names, is_listed))
    names = list(ours.values())
    return RawTable(file, names, partial(_read, file, names, {}), Kind.RATINGS)


def _are_pairs(ours: Mapping[str, str], types: Iterable[str]) -> bool:
    """Whether a table of users and items has no column that could be a value: the other columns are tokens.

    `ours`: the names in Reckon by the names in the file.
    """
    names = set(ours.values())
    others = [type_ for name, type_ in zip(ours.values(), types, strict=True) if name not in _PAIR]
    # A kind that follows from the names, such as events, needs no help.
    return kind_of(names) is None and {"user_id", "item_id"} <= names and not any("float" in type_ for type_ in others)


def _read(file: InputFile, names: Sequence[str], is_listed: Mapping[str, bool]) -> Iterator[Block]:
    for block in read_delimited(file, names, _TABS, has_header=True):
        columns = {
            name: [cell.split() for cell in column] if is_listed.get(name) else column
            for name, column in block.columns.items()
        }
        yield replace(block, columns=columns)
