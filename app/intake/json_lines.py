"""Reads JSONL files, which have one JSON object per line, as blocks."""

import json
from collections.abc import Iterator
from typing import Any

from app.errors import InvalidInputError
from app.intake.blocks import MAX_ROW_CHARACTERS, ROWS_PER_BLOCK, Block, RejectedRow
from app.intake.chunks import decode_utf8, first_line, read_chunks
from app.intake.columns import Naming
from app.intake.files import InputFile


def field_names(file: InputFile) -> list[str]:
    """Return the names in the object of the first line; raises `InvalidInputError` where it is not an object."""
    line = first_line(file)
    if line.lstrip().startswith("["):
        raise InvalidInputError(
            f"{file.display_name} is one JSON array: convert it to one object per line first (jq -c '.[]')",
            field="path",
        )
    try:
        return list(_parse(line))
    except InvalidInputError as error:
        raise InvalidInputError(f"{file.display_name} is not JSONL: line 1 {error}", field="path") from error


def read_json_lines(file: InputFile, naming: Naming) -> Iterator[Block]:
    """Yield blocks whose columns are the names of the objects in them, translated by `naming`.

    A name that an object lacks is None in its row. Blank lines are skipped, and other lines without an object rejected.

    Raises `InvalidInputError` where the file cannot be read.
    """
    line = 1
    for chunk in read_chunks(file):
        # `splitlines` would also split at U+2028 and other separators, which JSON strings may contain.
        texts = decode_utf8(chunk).split("\n")[:-1]
        for start in range(0, len(texts), ROWS_PER_BLOCK):
            yield _block(file.display_name, texts[start : start + ROWS_PER_BLOCK], line + start, naming)
        line += len(texts)


def _block(file_name: str, texts: list[str], first: int, naming: Naming) -> Block:
    objects: list[dict[str, Any]] = []
    lines, rejected = [], []
    for line, text in enumerate(texts, start=first):
        if not text or text.isspace():
            continue
        try:
            objects.append(_parse(text))
            lines.append(line)
        except InvalidInputError as error:
            rejected.append(RejectedRow(file_name, line, str(error), text[:MAX_ROW_CHARACTERS]))
    # Objects may differ in their names; a dictionary collects all of them in the order of their first appearance.
    names = dict.fromkeys(name for parsed in objects for name in parsed)
    columns = {new: [parsed.get(name) for parsed in objects] for name, new in naming.of(list(names)).items()}
    return Block(file_name, columns, lines, rejected)


def _parse(text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except RecursionError:
        raise InvalidInputError("is nested too deeply") from None
    # Covers syntax errors, and integers of more than 4,300 digits, which Python refuses to convert.
    except ValueError as error:
        raise InvalidInputError(f"is not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise InvalidInputError("is not a JSON object")
    return parsed
