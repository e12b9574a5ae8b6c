"""Recognises the layout of every file at a path by its name and first line.

A file without a known layout is ignored where others are known, and is an error where it is the only one.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from app.entities import RatingScale
from app.errors import InvalidInputError
from app.intake.blocks import Block, InputTable, RawTable
from app.intake.cells.conventions import as_reckon_writes, with_conventions
from app.intake.column_names.columns import Kind
from app.intake.files.chunks import read_chunks
from app.intake.files.encodings import decode_utf8
from app.intake.files.listing import InputFile, input_files
from app.intake.files.spreadsheet_cells import unmark
from app.intake.formats import movielens
from app.intake.formats.registry import open_table
from app.intake.hints import NO_HINTS, FileHints
from app.intake.recognition.table_kind import recognise_table

VECTORS = "vectors"
"""Name of the folder in an export with the vectors of the live snapshot, which are not imported."""

EXPORT_CARD = "reckon-export.json"
"""Name of the file in an export that states the rating scale, which cannot be derived from the ratings alone."""

FOR, FOR_SPREADSHEETS = "for", "spreadsheets"
"""Entry of the card of an export whose text is marked for spreadsheets."""

_SUFFIXES = (
    *(".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".parquet", ".pq", ".dat", ".data", ".base", ".test"),
    *(".inter", ".item", ".user", ".xlsx", ".xlsm"),
    # These are refused with what to do instead.
    *(
        ".xls",
        ".ods",
        ".sqlite",
        ".sqlite3",
        ".db",
        ".pkl",
        ".pickle",
        ".npy",
        ".mat",
        ".rdata",
        ".rds",
        ".h5",
        ".hdf5",
    ),
)
_MAX_SHOWN_NAMES = 20


@dataclass(frozen=True, slots=True)
class Content:
    """The importable content of a path.

    `files`: the files to read.
    `tables`: their tables, in the order of `Kind`.
    `ignored`: names of the files that are not imported; in parentheses why, where they cannot be read.
    `declared_scale`: the rating scale that an export states; None without one.
    `refused`: of the ignored files, those that were tried, with the reason.
    """

    files: list[InputFile]
    tables: list[InputTable]
    ignored: list[str] = field(default_factory=list)
    declared_scale: RatingScale | None = None
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        """Sentences on how files were read, for the user."""
        return [note for table in self.tables for note in table.notes]

    @property
    def has_amounts(self) -> bool:
        """Whether the names of the columns say that all values of ratings are amounts."""
        tables = [table for table in self.tables_of(Kind.RATINGS) if table.has_values]
        return bool(tables) and all(table.has_amounts for table in tables)

    def tables_of(self, kind: Kind) -> list[InputTable]:
        return [table for table in self.tables if table.kind is kind]


def recognise(path: Path, hints: FileHints = NO_HINTS) -> Content:
    """Recognise the tables at `path`, a file, folder or archive.

    Raises `InvalidInputError` where `path` cannot be read or holds no known layout, and where the hints do not fit it.
    """
    files = input_files(path, hints.encoding)
    # Where no file can be read, the error says why.
    readable = [file for file in files if not file.problem] or files
    wanted = _wanted(readable, path)
    card = next((file for file in files if file.name == EXPORT_CARD), None)
    if hints.columns.is_given and len(wanted) > 1:
        raise InvalidInputError(f"--columns describes a single file, but {path} holds {len(wanted)}", field="columns")
    beside = _card_beside(path)
    tables, refused = _open(wanted, _by_folder([*readable, *beside]), hints)
    # The export of an empty database has a card, but its JSONL files are empty and thus without a known layout.
    if not tables and card is None:
        names = ", ".join(map(_label, files[:_MAX_SHOWN_NAMES]))
        reasons = list(refused.values()) or [f"the only files are {names}" if names else "it has no files"]
        raise InvalidInputError("\n".join([f"{path} holds nothing to import:", *reasons]), field="path")
    # Beside ratings, a table without values (tags, reviews) is another kind of data that only looks like pairs.
    if any(table.kind is Kind.RATINGS and table.has_values for table in tables):
        for name in (table.file.display_name for table in tables if not table.has_values):
            refused[name] = f"{name} has users and items without ratings beside files with ratings: import it by itself"
        tables = [table for table in tables if table.has_values]
    tables = _with_values_read(tables, card or next(iter(beside), None), hints)
    read = {table.file.display_name for table in tables}
    order = list(Kind)
    return Content(
        files=[table.file for table in tables],
        tables=sorted(tables, key=lambda table: order.index(table.kind)),
        ignored=[_label(file) for file in files if file.display_name not in read and file is not card],
        declared_scale=_declared_scale(card),
        refused=refused,
    )


def _by_folder(files: Iterable[InputFile]) -> dict[str, dict[str, InputFile]]:
    folders: dict[str, dict[str, InputFile]] = {}
    for file in files:
        folders.setdefault(file.folder, {})[file.name] = file
    return folders


def _wanted(files: list[InputFile], path: Path) -> list[InputFile]:
    """Return the files to try, which may turn out to be no tables."""
    # A file that is named explicitly is read whatever its suffix.
    if len(files) == 1 and not path.is_dir():
        return files
    # Other files of a MovieLens data set repeat the ratings or have no use here, so they are left out.
    families = {folder: _movielens_files(named) for folder, named in _by_folder(files).items()}
    wanted = [file for family in families.values() for file in family]
    wanted += [file for file in files if file.name.endswith(_SUFFIXES) and not families[file.folder]]
    # The card has the suffix of a table but is not one, and learned vectors would become attributes.
    vectors = {_folder_of_vectors(file) for file in files if file.name == EXPORT_CARD}
    return [file for file in wanted if file.name != EXPORT_CARD and file.folder not in vectors]


def _folder_of_vectors(card: InputFile) -> str:
    is_at_root = card.folder.endswith(".")
    return card.folder.removesuffix(".") + VECTORS if is_at_root else f"{card.folder}/{VECTORS}"


def _open(
    wanted: list[InputFile], folders: Mapping[str, Mapping[str, InputFile]], hints: FileHints
) -> tuple[list[InputTable], dict[str, str]]:
    """Return the tables of the files, and why the others are none.

    Among several files one of an unknown layout is ignored. Raises `InvalidInputError` where the only file is none.
    """
    tables: list[InputTable] = []
    refused: dict[str, str] = {}
    for file in wanted:
        try:
            siblings = folders[file.folder]
            of_file = _hints_of_export(file, hints) if EXPORT_CARD in siblings else hints
            tables.append(_table(open_table(file, siblings, of_file), of_file))
        except InvalidInputError as error:
            refused[file.display_name] = str(error)
            if len(wanted) == 1:
                raise
    return tables, refused


def _label(file: InputFile) -> str:
    return f"{file.display_name} ({file.problem})" if file.problem else file.display_name


def _movielens_files(named: Mapping[str, InputFile]) -> list[InputFile]:
    """Return the files to import of a MovieLens data set; empty where the files of a folder are not one."""
    for needed, family in movielens.FAMILIES:
        if needed <= named.keys():
            return [named[name] for name in family if name in named]
    return []


def _hints_of_export(file: InputFile, hints: FileHints) -> FileHints:
    """Return the hints with what is known of a file in an export of Reckon; its name states its kind."""
    stem = file.name.partition(".")[0]
    kind = Kind(stem) if stem in set(Kind) and not hints.shape else hints.kind
    return replace(hints, kind=kind, is_export=True)


def _table(raw: RawTable, hints: FileHints) -> InputTable:
    """Return the table of a file under the names of Reckon."""
    recognised = recognise_table(raw, hints)

    def blocks() -> Iterator[Block]:
        return map(recognised.rename, raw.blocks())

    return InputTable(raw.file, recognised.kind, blocks, recognised.has_values, raw.notes, recognised.names, raw.format)


def _declared_scale(card: InputFile | None) -> RatingScale | None:
    if card is None:
        return None
    try:
        return RatingScale.parse(_read_card(card)["scale"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(f"{card.display_name} is damaged: {error}", field="path") from error


def _with_values_read(tables: list[InputTable], card: InputFile | None, hints: FileHints) -> list[InputTable]:
    """The tables with values that the readers of cells understand. `card`: that of the export that they are from."""
    if card is None:
        return [with_conventions(table, hints) for table in tables]
    if _is_for_spreadsheets(card):
        tables = list(map(_unmarked, tables))
    return list(map(as_reckon_writes, tables))


def _card_beside(path: Path) -> list[InputFile]:
    """The card of the export that a single file is from; empty for any other path."""
    beside = path.parent / EXPORT_CARD
    return input_files(beside) if path.is_file() and beside.is_file() else []


def _is_for_spreadsheets(card: InputFile) -> bool:
    """Whether the files are from an export for spreadsheets."""
    try:
        return bool(_read_card(card).get(FOR) == FOR_SPREADSHEETS)
    except (ValueError, AttributeError) as error:
        raise InvalidInputError(f"{card.display_name} is damaged: {error}", field="path") from error


def _read_card(card: InputFile) -> Any:
    return json.loads("".join(map(decode_utf8, read_chunks(card))))


def _unmarked(table: InputTable) -> InputTable:
    """The table without the marks of an export for spreadsheets, which only text has."""

    def blocks() -> Iterator[Block]:
        for block in table.blocks():
            columns = {
                name: [unmark(value) if isinstance(value, str) else value for value in column]
                for name, column in block.columns.items()
            }
            yield replace(block, columns=columns)

    return replace(table, blocks=blocks)
