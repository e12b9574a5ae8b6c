"""Reads JSON documents: an array of objects, an object that holds one such array, or an object of ratings by user.

A document is decoded value by value, so that memory holds a block of rows and a chunk of text however large the file
is. The line of a row is its number, counted from 1, because a document may be a single line. Where the syntax breaks,
the rows before are read, and the rest is one rejected row.
"""

import codecs
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

from app.errors import InvalidInputError
from app.intake.blocks import MAX_ROW_CHARACTERS, ROWS_PER_BLOCK, Block, RawTable, RejectedRow
from app.intake.column_names.columns import Kind, Naming, kind_of
from app.intake.files.chunks import CHUNK_BYTES
from app.intake.files.listing import InputFile
from app.intake.formats.json_lines import N_NAMING_ROWS, block_of_objects, names_of, parse_object, refuse_order
from app.intake.hints import FileHints, Shape

MAX_VALUE_CHARACTERS = 4 << 20
"""Longest value that is decoded at once; a longer one is no row of a table."""

_N_MEMBERS = 50
"""So many members of an object show what it holds."""

_BLANKS = " \t\n\r"
_BLANK = re.compile(f"[{_BLANKS}]*")
_RATING_NAMES = ("user_id", "item_id", "value")


class JsonStream:
    """A JSON text that is decoded value by value; every method raises `InvalidInputError` where it is not JSON."""

    def __init__(self, texts: Iterator[str]) -> None:
        self._texts = texts
        self._text = ""
        self._at = 0
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """Return the next character that is not blank without consuming it; empty at the end."""
        while True:
            match = _BLANK.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill():
                return ""

    def value(self) -> Any:
        """Consume and return the next value."""
        if not self.peek():
            raise InvalidInputError("is cut short")
        while True:
            value, end, problem = None, None, ""
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except RecursionError:
                raise InvalidInputError("is nested too deeply") from None
            except json.JSONDecodeError as error:
                problem = error.msg
            # An integer of more than 4,300 digits, which Python refuses to convert.
            except ValueError as error:
                raise InvalidInputError(f"is not JSON: {error}") from None
            # A number at the end of the text may go on behind it, and a value that is cut looks broken.
            is_whole = end is not None and (end < len(self._text) or not isinstance(value, int | float))
            if is_whole or not self._fill():
                if end is None:
                    raise InvalidInputError(f"is not JSON: {problem}")
                self._at = end
                return value
            if len(self._text) > MAX_VALUE_CHARACTERS:
                raise InvalidInputError("is not JSON, or has a value of more than 4 MiB")

    def elements(self) -> Iterator[None]:
        """Yield at each element of an array, which the caller consumes."""
        yield from self._parts("[", "]")

    def members(self) -> Iterator[str]:
        """Yield the name of each member of an object; the caller consumes its value."""
        for _ in self._parts("{", "}"):
            name = self.value()
            self._consume(":")
            yield str(name)

    def _parts(self, start: str, stop: str) -> Iterator[None]:
        self._consume(start)
        while self.peek() != stop:
            yield
            if self.peek() != stop:
                self._consume(",")
        self._consume(stop)

    def _consume(self, expected: str) -> None:
        found = self.peek()
        if found != expected:
            raise InvalidInputError(
                f"is not JSON: {expected!r} is expected, not {found!r}" if found else "is cut short"
            )
        self._at += 1

    def rest(self) -> str:
        """Return the beginning of what is not consumed yet."""
        return self._text[self._at : self._at + MAX_ROW_CHARACTERS]

    def _fill(self) -> bool:
        more = next(self._texts, "")
        self._text, self._at = self._text[self._at :] + more, 0
        return bool(more)


Rows = Callable[[JsonStream], Iterator[Any]]
"""Yields the values of a document that are its rows; one that is neither an object nor an array is no row."""


@dataclass(slots=True)
class _Survey:
    """What an object holds. `arrays`: names of its arrays of objects. `others`: its first other members."""

    arrays: list[str] = field(default_factory=list)
    others: dict[str, Any] = field(default_factory=dict)


def open_json_document(file: InputFile, _siblings: Mapping[str, InputFile], hints: FileHints) -> RawTable | None:
    """Open a JSON text that is not JSONL; see `registry.Open`.

    Raises `InvalidInputError` where the document holds no table, and where it may be read in more than one way.
    """
    start = JsonStream(_texts(file)).peek()
    if start == "[":
        return _table(file, _rows_of_arrays, hints)
    if start != "{" or _is_json_lines(file):
        return None
    try:
        survey = _survey(JsonStream(_texts(file)))
    except InvalidInputError as error:
        raise InvalidInputError(f"{file.display_name} {error}", field="path") from error
    if len(survey.arrays) == 1:
        return _table(file, partial(_rows_of_member, survey.arrays[0]), hints)
    if survey.arrays:
        raise InvalidInputError(
            f"{file.display_name} holds several arrays of objects ({', '.join(survey.arrays)}): write each to a file of"
            f" its own (jq -c '.{survey.arrays[0]}[]' FILE > {survey.arrays[0]}.jsonl)",
            field="path",
        )
    nested = _nested_rows(file, survey.others, hints)
    if nested is None:
        return _table(file, _rows_of_objects, hints)
    names, rows = nested
    return RawTable(file, names, partial(_read, file, rows, names), Kind.RATINGS)


def _is_json_lines(file: InputFile) -> bool:
    """Whether the first line is an object and one of several, or one that is no document by itself."""
    if file.name.endswith((".jsonl", ".ndjson")):
        return True
    line, _, rest = next(_texts(file)).lstrip(_BLANKS).partition("\n")
    try:
        first = parse_object(line)
    except InvalidInputError:
        return False
    return bool(rest.strip(_BLANKS)) or not any(isinstance(value, dict | list) for value in first.values())


def _survey(stream: JsonStream) -> _Survey:
    survey = _Survey()
    for name in stream.members():
        if stream.peek() != "[":
            survey.others[name] = stream.value()
        else:
            # The array may be a whole table, so its elements are decoded one by one, and few are kept.
            kept: list[Any] = []
            for _ in stream.elements():
                value = stream.value()
                if len(kept) < _N_MEMBERS:
                    kept.append(value)
            if kept and all(isinstance(value, dict) for value in kept):
                survey.arrays.append(name)
            else:
                survey.others[name] = kept
        if len(survey.others) >= _N_MEMBERS and not survey.arrays:
            break
    return survey


def _rows_of_arrays(stream: JsonStream) -> Iterator[Any]:
    while stream.peek() == "[":
        for _ in stream.elements():
            yield stream.value()
    if stream.peek():
        raise InvalidInputError("has text behind its end")


def _rows_of_objects(stream: JsonStream) -> Iterator[Any]:
    while stream.peek():
        yield stream.value()


def _rows_of_member(wanted: str, stream: JsonStream) -> Iterator[Any]:
    for name in stream.members():
        if stream.peek() != "[":
            stream.value()
            continue
        for _ in stream.elements():
            value = stream.value()
            if name == wanted:
                yield value


def _ratings_by_user(stream: JsonStream) -> Iterator[Any]:
    for user_id in stream.members():
        ratings = stream.value()
        if not isinstance(ratings, dict):
            yield ratings
            continue
        for item_id, value in ratings.items():
            # A matrix that is written with all its cells has null where there is no rating.
            if value is not None:
                yield dict(zip(_RATING_NAMES, (user_id, item_id, value), strict=True))


def _items_by_user(stream: JsonStream) -> Iterator[Any]:
    for user_id in stream.members():
        item_ids = stream.value()
        for item_id in item_ids if isinstance(item_ids, list) else [None]:
            yield {"user_id": user_id, "item_id": item_id}


def _nested_rows(file: InputFile, members: Mapping[str, Any], hints: FileHints) -> tuple[Sequence[str], Rows] | None:
    """Return the names and rows of ratings or items by user; None where the members are plain values of one row.

    Raises `InvalidInputError` where the members may be something else.
    """
    values = list(members.values())
    if not values or not all(isinstance(value, dict | list) for value in values):
        return None
    if hints.shape is Shape.LISTS:
        return _RATING_NAMES[:2], _items_by_user
    are_numbers = all(isinstance(value, dict) and all(map(_is_number_or_null, value.values())) for value in values)
    if hints.shape is Shape.MATRIX or (are_numbers and _have_various_names(values)):
        return _RATING_NAMES, _ratings_by_user
    if kind_of(Naming().of(list(members)).values()) is not None:
        advice = "holds a table column by column: write it row by row (in pandas with orient='records')"
    elif are_numbers:
        advice = "holds objects of numbers: use --kind matrix if these are the ratings of each user by item"
    elif all(isinstance(value, list) for value in values):
        advice = "holds lists: use --kind lists if these are the items of each user"
    else:
        advice = "is an object of objects: write them as an array, with the name of each as a field (jq can)"
    raise InvalidInputError(f"{file.display_name} {advice}", field="kind")


def _is_number_or_null(value: Any) -> bool:
    return value is None or type(value) in {int, float}


def _have_various_names(objects: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the objects are too different to be records of the same fields, some of which are missing."""
    return len(names_of(objects)) > 2 * max(map(len, objects))


def _table(file: InputFile, rows: Rows, hints: FileHints) -> RawTable:
    """Return the table of rows that are objects, or arrays whose elements the user named."""
    first: list[Any] = []
    try:
        first += islice(rows(JsonStream(_texts(file))), N_NAMING_ROWS)
    except InvalidInputError as error:
        # Rows before the broken place are read later.
        if not first:
            raise InvalidInputError(f"{file.display_name} {error}", field="path") from error
    if first and all(isinstance(row, list) for row in first):
        names = hints.columns.names
        if not names:
            raise InvalidInputError(
                f"{file.display_name} is an array of arrays: name their elements in order with"
                " --columns user,item,rating",
                field="columns",
            )
        return RawTable(file, names, partial(_read, file, rows, names), kind_of(names))
    if first and not any(isinstance(row, dict) for row in first):
        raise InvalidInputError(f"{file.display_name} is an array of values that are not objects", field="path")
    refuse_order(file, hints)
    return RawTable(file, names_of(row for row in first if isinstance(row, dict)), partial(_read, file, rows, []))


def _read(file: InputFile, rows: Rows, names: Sequence[str]) -> Iterator[Block]:
    """Yield blocks of rows; `names`: those of the elements of rows that are arrays."""
    stream = JsonStream(_texts(file))
    numbered = enumerate(rows(stream), start=1)
    number = 0
    is_at_end = False
    while not is_at_end:
        objects: list[dict[str, Any]] = []
        numbers: list[int] = []
        rejected: list[RejectedRow] = []
        try:
            for number, row in islice(numbered, ROWS_PER_BLOCK):
                parsed = _as_object(row, names)
                if parsed is None:
                    text = json.dumps(row)[:MAX_ROW_CHARACTERS]
                    rejected.append(RejectedRow(file.display_name, number, "is not a JSON object", text))
                else:
                    objects.append(parsed)
                    numbers.append(number)
            is_at_end = not objects and not rejected
        except InvalidInputError as error:
            reason = f"the document {error}; nothing behind this place was read"
            rejected.append(RejectedRow(file.display_name, number + 1, reason, stream.rest()))
            is_at_end = True
        block = block_of_objects(file.display_name, objects, numbers, rejected)
        # An array has a place for each column, so a null there may be no more than a missing value.
        yield replace(block, nulls=None) if names else block


def _as_object(row: Any, names: Sequence[str]) -> dict[str, Any] | None:
    """Return an object unchanged and an array of the right length under `names`; None for anything else."""
    if isinstance(row, list) and names and len(row) == len(names):
        return dict(zip(names, row, strict=True))
    return row if isinstance(row, dict) else None


def _texts(file: InputFile) -> Iterator[str]:
    """Yield the text of the file in pieces; raises `InvalidInputError` where it is empty."""
    with file.open() as stream:
        data = stream.read(CHUNK_BYTES)
        if not data:
            raise InvalidInputError(f"{file.display_name} is empty", field="path")
        encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
        while data:
            text = decoder.decode(data)
            # The end of the file is an empty piece, which a part of a character must not look like.
            if text:
                yield text
            data = stream.read(CHUNK_BYTES)
