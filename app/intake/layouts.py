"""Recognises the layout of every file at a path by its name and first line.

A file without a known layout is ignored where others are known, and is an error where it is the only one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from unicodedata import category

from app.entities import RatingScale
from app.errors import InvalidInputError
from app.intake import json_lines, movielens
from app.intake.blocks import InputTable
from app.intake.chunks import decode_utf8, first_line, read_chunks
from app.intake.columns import IGNORED_NAMES, Columns, Kind, Naming, kind_of
from app.intake.delimited import DelimitedDialect, read_delimited, split_line
from app.intake.files import InputFile, input_files

EXPORT_CARD = "reckon-export.json"
"""Name of the file in an export that states the rating scale, which cannot be derived from the ratings alone."""

_SEPARATORS = (",", "\t", ";", "|")
_SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".parquet", ".pq", ".dat", ".data", ".base", ".test")
_PARQUET = (".parquet", ".pq")
_MAX_SHOWN_NAMES = 20


@dataclass(frozen=True, slots=True)
class Content:
    """The importable content of a path.

    `files`: the files to read.
    `tables`: their tables, in the order of `Kind`.
    `ignored`: names of the files that are not imported.
    `declared_scale`: the rating scale that an export states; None without one.
    """

    files: list[InputFile]
    tables: list[InputTable]
    ignored: list[str] = field(default_factory=list)
    declared_scale: RatingScale | None = None

    def tables_of(self, kind: Kind) -> list[InputTable]:
        return [table for table in self.tables if table.kind is kind]


def recognise(path: Path, columns: str | None = None) -> Content:
    """Recognise the tables at `path`, a file, folder or zip.

    `columns`: the names of the columns, as in `--columns`; allowed for a single file only.

    Raises `InvalidInputError` where `path` cannot be read or holds no known layout, and where `columns` is malformed or
    does not fit the file.
    """
    files = input_files(path)
    named = {file.name: file for file in files}
    # Other files of a MovieLens data set repeat the ratings or have no use here, so they are left out.
    wanted = _movielens_files(named) or {file.name: file for file in files if file.name.endswith(_SUFFIXES)}
    # A file that is named explicitly is read whatever its suffix.
    if len(files) == 1 and not path.is_dir():
        wanted = named
    card = named.get(EXPORT_CARD)
    # The card has the suffix of a table but is not one.
    wanted.pop(EXPORT_CARD, None)
    if columns and len(wanted) > 1:
        raise InvalidInputError(f"--columns describes a single file, but {path} holds {len(wanted)}", field="columns")
    given_columns = Columns.parse(columns)
    tables, errors = [], []
    for file in wanted.values():
        try:
            tables.append(_table(file, named, given_columns))
        except InvalidInputError as error:
            # Among several files one of an unknown layout is ignored; a single file must be recognised.
            errors.append(error)
            if len(wanted) == 1:
                raise
    # The export of an empty database has a card, but its JSONL files are empty and thus without a known layout.
    if not tables and card is None:
        names = ", ".join(sorted(named)[:_MAX_SHOWN_NAMES])
        reason = "; ".join(map(str, errors)) or (f"the only files are {names}" if names else "it has no files")
        raise InvalidInputError(f"{path} holds nothing to import: {reason}", field="path")
    read = {table.file.name for table in tables}
    order = list(Kind)
    return Content(
        files=[table.file for table in tables],
        tables=sorted(tables, key=lambda table: order.index(table.kind)),
        ignored=[file.display_name for file in files if file.name not in read and file is not card],
        declared_scale=_declared_scale(card),
    )


def _movielens_files(named: Mapping[str, InputFile]) -> dict[str, InputFile]:
    """Return the files to import of a MovieLens data set; empty where the files are not one."""
    for needed, family in movielens.FAMILIES:
        if needed <= named.keys():
            return {name: named[name] for name in family if name in named}
    return {}


def _table(file: InputFile, siblings: Mapping[str, InputFile], columns: Columns) -> InputTable:
    if file.name.endswith(_PARQUET):
        return _parquet(file, columns)
    line = first_line(file)
    if line.lstrip().startswith(("{", "[")):
        names = columns.naming.of(json_lines.field_names(file))
        return InputTable(file, _kind(file, names), partial(json_lines.read_json_lines, file, columns.naming))
    # Control characters in the first line mean binary content, which must not reach the terminal in a message.
    if any(category(character) == "Cc" and character != "\t" for character in line):
        raise InvalidInputError(f"{file.display_name} is not text, so it cannot be read as a table", field="path")
    if columns.names:
        return _in_given_order(file, line, columns.names)
    # Names given by the user take precedence over the layouts of MovieLens.
    if not columns.naming.renamed and (known := movielens.recognise(file, line, siblings)):
        return known
    return _with_header(file, line, columns)


def _parquet(file: InputFile, columns: Columns) -> InputTable:
    try:
        from app.intake import parquet  # noqa: PLC0415  pyarrow is an optional extra and slow to import
    except ImportError as error:
        raise InvalidInputError("Parquet needs pyarrow: pip install 'reckon[parquet]'", field="path") from error
    names = columns.naming.of(parquet.field_names(file))
    return InputTable(file, _kind(file, names), partial(parquet.read_parquet, file, columns.naming))


def _with_header(file: InputFile, line: str, columns: Columns) -> InputTable:
    # The separator whose header names known columns wins; among several, the one with the most columns.
    headers = {separator: _header(line, separator) for separator in _SEPARATORS}
    best = max(headers, key=lambda separator: (_is_known(headers[separator], columns), len(headers[separator])))
    names = columns.naming.of(headers[best])
    kind = _kind(file, names)
    ordered = [names[name] for name in headers[best]]
    return InputTable(file, kind, partial(read_delimited, file, ordered, DelimitedDialect(best), has_header=True))


def _in_given_order(file: InputFile, line: str, names: list[str]) -> InputTable:
    """Return the table of a file whose columns the user named in order; a header, if there is one, is skipped."""
    dialects = [DelimitedDialect(separator) for separator in (*_SEPARATORS, " ")] + [
        DelimitedDialect("::", is_quoted=False)
    ]
    counts = {dialect: len(split_line(line, dialect)) for dialect in dialects}
    fitting = next((dialect for dialect, count in counts.items() if count == len(names)), None)
    if fitting is None:
        raise InvalidInputError(
            f"{file.display_name} has {max(counts.values())} columns, but --columns names {len(names)}"
            " (write - for a column to leave out)",
            field="columns",
        )
    kind = kind_of(names)
    if kind is None:
        raise InvalidInputError(
            f"--columns does not name the columns of a known kind of table: {names}", field="columns"
        )
    has_header = _is_header(line, fitting, kind)
    return InputTable(file, kind, partial(read_delimited, file, names, fitting, has_header=has_header))


def _is_header(line: str, dialect: DelimitedDialect, kind: Kind) -> bool:
    """Whether a first line is a header.

    A row of ratings contains digits and a header does not. For any other kind, a header names the columns of that kind.
    """
    if kind is Kind.RATINGS:
        return not any(character.isdigit() for character in line)
    return kind_of(Naming().of(split_line(line, dialect)).values()) is kind


def _header(line: str, separator: str) -> list[str]:
    return [name.strip() for name in split_line(line, DelimitedDialect(separator))]


def _is_known(header: list[str], columns: Columns) -> bool:
    return kind_of(columns.naming.of(header).values()) is not None


def _kind(file: InputFile, names: Mapping[str, str]) -> Kind:
    kind = kind_of(set(names.values()))
    if kind is None:
        listed = ", ".join(name for name in names if name not in IGNORED_NAMES)[:500] or "no columns"
        # Bytes that are not UTF-8 were decoded to surrogates, which a terminal cannot print.
        printable = listed.encode("utf-8", "backslashreplace").decode()
        raise InvalidInputError(
            f"{file.display_name} has no columns for user, item and rating; its columns are: {printable}."
            " Name them with --columns user=NAME,item=NAME,rating=NAME, or user,item,rating,timestamp without a header",
            field="columns",
        )
    return kind


def _declared_scale(card: InputFile | None) -> RatingScale | None:
    if card is None:
        return None
    try:
        return RatingScale.parse(json.loads("".join(map(decode_utf8, read_chunks(card))))["scale"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(f"{card.display_name} is damaged: {error}", field="path") from error
