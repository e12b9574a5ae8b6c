"""Reads JSONL files, which have one object per line, as blocks.

A line that is not JSON may be a dictionary of Python, as in the Amazon reviews of 2014.
"""

import ast
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

from app.errors import InvalidInputError
from app.intake.blocks import MAX_ROW_CHARACTERS, ROWS_PER_BLOCK, Block, RawTable, RejectedRow
from app.intake.files.chunks import first_lines, read_chunks, split_lines
from app.intake.files.encodings import decode_utf8
from app.intake.files.listing import InputFile
from app.intake.hints import FileHints

N_NAMING_ROWS = 100
"""So many rows are searched for the names of columns, because an object may leave out what is missing."""


def open_json_lines(file: InputFile, _siblings: Mapping[str, InputFile], hints: FileHints) -> RawTable | None:
    """Open a text file whose first line begins as an object; see `registry.Open`."""
    lines = (line for line in first_lines(file) if line.strip())
    line = next(lines, "")
    if not line.lstrip().startswith("{"):
        return None
    refuse_order(file, hints)
    try:
        first = parse_object(line)
    except InvalidInputError as error:
        raise InvalidInputError(f"{file.display_name} is not JSONL: line 1 {error}", field="path") from error
    return RawTable(file, names_of([first, *_objects(islice(lines, N_NAMING_ROWS))]), partial(read_json_lines, file))


def refuse_order(file: InputFile, hints: FileHints) -> None:
    """Raise `InvalidInputError` where the user names columns in order, which objects do not have."""
    if hints.columns.names:
        raise InvalidInputError(
            f"{file.display_name} holds objects, whose fields have names and no order:"
            " use --columns user=NAME,item=NAME,rating=NAME",
            field="columns",
        )


def names_of(objects: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return all names in the objects, in the order of their first appearance."""
    return list(dict.fromkeys(name for each in objects for name in each))


def _objects(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects of the lines that hold one."""
    for line in lines:
        try:
            yield parse_object(line)
        except InvalidInputError:
            continue


def read_json_lines(file: InputFile) -> Iterator[Block]:
    """Yield blocks whose columns are the names of the objects in them.

    A name that an object lacks is None in its row. Blank lines are skipped, and other lines without an object rejected.

    Raises `InvalidInputError` where the file cannot be read.
    """
    line = 1
    for chunk in read_chunks(file):
        texts = split_lines(decode_utf8(chunk))
        for start in range(0, len(texts), ROWS_PER_BLOCK):
            yield _block(file.display_name, texts[start : start + ROWS_PER_BLOCK], line + start)
        line += len(texts)


def _block(file_name: str, texts: list[str], first: int) -> Block:
    objects: list[dict[str, Any]] = []
    lines, rejected = [], []
    for line, text in enumerate(texts, start=first):
        if not text or text.isspace():
            continue
        try:
            objects.append(parse_object(text))
            lines.append(line)
        except InvalidInputError as error:
            rejected.append(RejectedRow(file_name, line, str(error), text[:MAX_ROW_CHARACTERS]))
    return block_of_objects(file_name, objects, lines, rejected)


def block_of_objects(
    file_name: str, objects: list[dict[str, Any]], lines: list[int], rejected: list[RejectedRow]
) -> Block:
    """Return a block with a row for each object; a name that an object lacks is None in its row."""
    columns = {name: [parsed.get(name) for parsed in objects] for name in names_of(objects)}
    nulls = {
        name: [row for row, parsed in enumerate(objects) if name in parsed and parsed[name] is None]
        for name, column in columns.items()
        if None in column
    }
    return Block(file_name, columns, lines, rejected, nulls=nulls)


def parse_object(text: str) -> dict[str, Any]:
    """Parse an object of JSON or a dictionary of Python; raises `InvalidInputError` for anything else."""
    try:
        parsed = json.loads(text)
    except RecursionError:
        raise InvalidInputError("is nested too deeply") from None
    # Covers syntax errors, and integers of more than 4,300 digits, which Python refuses to convert.
    except ValueError as error:
        parsed = _parse_python(text)
        if parsed is None:
            raise InvalidInputError(f"is not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise InvalidInputError("is not a JSON object")
    return parsed


def _parse_python(text: str) -> dict[str, Any] | None:
    """Return a dictionary of Python with names of text; None where the text is none."""
    if not text.lstrip().startswith(("{'", '{"')):
        return None
    try:
        parsed = ast.literal_eval(text.strip())
    # The parser of Python raises the last two for text that is nested too deeply.
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return parsed if isinstance(parsed, dict) and all(isinstance(name, str) for name in parsed) else None
