"""What a PATH holds: each of its files recognised by name and first line, or passed over, or refused."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from unicodedata import category

from app.entities import RatingScale
from app.errors import InvalidInputError
from app.intake import json_lines, movielens
from app.intake.chunks import as_text, first_line, read_chunks
from app.intake.columns import IGNORED_NAMES, Columns, Kind, Naming, kind_of
from app.intake.delimited import DelimitedDialect, read_delimited, split_line
from app.intake.files import InputFile, input_files
from app.intake.tables import InputTable

EXPORT_CARD = "reckon-export.json"
"""Written beside an export: the rating scale, which the ratings alone do not tell."""

_SEPARATORS = (",", "\t", ";", "|")
_TABULAR = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".parquet", ".pq", ".dat", ".data", ".base", ".test")
_PARQUET = (".parquet", ".pq")
_SHOWN_NAMES = 20


@dataclass(frozen=True, slots=True)
class Content:
    """What a PATH holds. `tables`: in the order of `Kind`. `ignored`: names of files passed over."""

    files: list[InputFile]
    tables: list[InputTable]
    ignored: list[str] = field(default_factory=list)
    declared_scale: RatingScale | None = None

    def of(self, kind: Kind) -> list[InputTable]:
        return [table for table in self.tables if table.kind is kind]


def recognise(path: Path, columns: str | None = None) -> Content:
    """What there is to read at `path`, a file, a folder or a zip; `columns` as in `--columns`, for a single file.

    Raises `InvalidInputError` where there is nothing, saying what was found instead.
    """
    files = input_files(path)
    named = {file.name: file for file in files}
    wanted = _data_set(named) or {file.name: file for file in files if file.name.endswith(_TABULAR)}
    if len(files) == 1 and not path.is_dir():
        wanted = named
    card = named.get(EXPORT_CARD)
    wanted.pop(EXPORT_CARD, None)
    if columns and len(wanted) > 1:
        raise InvalidInputError(f"--columns describes one file, {path} holds {len(wanted)}", field="columns")
    understood = Columns.parse(columns)
    tables, complaints = [], []
    for file in wanted.values():
        try:
            tables.append(_table(file, named, understood))
        except InvalidInputError as error:
            complaints.append(error)
            if len(wanted) == 1:
                raise
    if not tables and card is None:  # an export of an empty database has empty files
        found = "; ".join(map(str, complaints)) or f"found only {', '.join(sorted(named)[:_SHOWN_NAMES]) or 'nothing'}"
        raise InvalidInputError(f"{path} holds nothing to import: {found}", field="path")
    read = {table.file.name for table in tables}
    order = list(Kind)
    return Content(
        files=[table.file for table in tables],
        tables=sorted(tables, key=lambda table: order.index(table.kind)),
        ignored=[file.shown for file in files if file.name not in read and file is not card],
        declared_scale=_declared_scale(card),
    )


def _data_set(named: Mapping[str, InputFile]) -> dict[str, InputFile]:
    """The files of the MovieLens family that is there; of anything else none."""
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
    if any(category(character) == "Cc" and character != "\t" for character in line):
        raise InvalidInputError(f"{file.shown} is not text, so it is no table that can be read", field="path")
    if columns.names:
        return _in_given_order(file, line, columns.names)
    if not columns.naming.renamed and (known := movielens.recognise(file, line, siblings)):
        return known
    return _with_header(file, line, columns)


def _parquet(file: InputFile, columns: Columns) -> InputTable:
    try:
        from app.intake import parquet  # noqa: PLC0415  pyarrow is an extra, and slow to import
    except ImportError as error:
        raise InvalidInputError("Parquet needs pyarrow: pip install 'reckon[parquet]'", field="path") from error
    names = columns.naming.of(parquet.field_names(file))
    return InputTable(file, _kind(file, names), partial(parquet.read_parquet, file, columns.naming))


def _with_header(file: InputFile, line: str, columns: Columns) -> InputTable:
    headers = {separator: _header(line, separator) for separator in _SEPARATORS}
    best = max(headers, key=lambda separator: (_is_known(headers[separator], columns), len(headers[separator])))
    names = columns.naming.of(headers[best])
    kind = _kind(file, names)
    ordered = [names[name] for name in headers[best]]
    return InputTable(file, kind, partial(read_delimited, file, ordered, DelimitedDialect(best), has_header=True))


def _in_given_order(file: InputFile, line: str, names: list[str]) -> InputTable:
    """Headerless, or with a header that `--columns` overrules."""
    dialects = [DelimitedDialect(separator) for separator in (*_SEPARATORS, " ")] + [
        DelimitedDialect("::", is_quoted=False)
    ]
    counts = {dialect: len(split_line(line, dialect)) for dialect in dialects}
    fitting = next((dialect for dialect, count in counts.items() if count == len(names)), None)
    if fitting is None:
        raise InvalidInputError(
            f"{file.shown} has {max(counts.values())} columns and --columns names {len(names)}; - leaves one out",
            field="columns",
        )
    kind = kind_of(names)
    if kind is None:
        raise InvalidInputError(f"--columns names nothing that can be imported: {names}", field="columns")
    has_header = _is_header(line, fitting, kind)
    return InputTable(file, kind, partial(read_delimited, file, names, fitting, has_header=has_header))


def _is_header(line: str, dialect: DelimitedDialect, kind: Kind) -> bool:
    """Ratings have digits, a header has none; of any other kind it is one if its names are known."""
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
        found = listed.encode("utf-8", "backslashreplace").decode()
        raise InvalidInputError(
            f"{file.shown} has no columns for user, item and rating; found: {found}."
            " Name them with --columns user=NAME,item=NAME,rating=NAME, or user,item,rating,timestamp without a header",
            field="columns",
        )
    return kind


def _declared_scale(card: InputFile | None) -> RatingScale | None:
    if card is None:
        return None
    try:
        return RatingScale.parse(json.loads("".join(map(as_text, read_chunks(card))))["scale"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(f"{card.shown} is damaged: {error}", field="path") from error
