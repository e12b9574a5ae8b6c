"""JSON, one object a line, as blocks."""

import json
from collections.abc import Iterator
from typing import Any

from app.errors import InvalidInputError
from app.intake.blocks import MAX_SHOWN, ROWS_PER_BLOCK, Block, RejectedRow
from app.intake.chunks import as_text, first_line, read_chunks
from app.intake.columns import Naming
from app.intake.files import InputFile


def field_names(file: InputFile) -> list[str]:
    """The names in the first line; raises `InvalidInputError` where that is no object."""
    line = first_line(file)
    if line.lstrip().startswith("["):
        advice = "one object a line is needed (jq -c '.[]' makes that of it)"
        raise InvalidInputError(f"{file.shown} is one JSON array: {advice}", field="path")
    try:
        return list(_parse(line))
    except InvalidInputError as error:
        raise InvalidInputError(f"{file.shown} is not JSONL: line 1 {error}", field="path") from error


def read_json_lines(file: InputFile, naming: Naming) -> Iterator[Block]:
    """Blocks whose columns are the names of their objects, as `naming` calls them; a name missing in one is None."""
    line = 1
    for chunk in read_chunks(file):
        texts = as_text(chunk).split("\n")[:-1]
        for start in range(0, len(texts), ROWS_PER_BLOCK):
            yield _block(file.shown, texts[start : start + ROWS_PER_BLOCK], line + start, naming)
        line += len(texts)


def _block(shown: str, texts: list[str], first: int, naming: Naming) -> Block:
    objects: list[dict[str, Any]] = []
    lines, rejected = [], []
    for line, text in enumerate(texts, start=first):
        if not text or text.isspace():
            continue
        try:
            objects.append(_parse(text))
            lines.append(line)
        except InvalidInputError as error:
            rejected.append(RejectedRow(shown, line, str(error), text[:MAX_SHOWN]))
    names = dict.fromkeys(name for parsed in objects for name in parsed)
    columns = {new: [parsed.get(name) for parsed in objects] for name, new in naming.of(list(names)).items()}
    return Block(shown, columns, lines, rejected)


def _parse(text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except RecursionError:
        raise InvalidInputError("is nested too deeply") from None
    except ValueError as error:  # also numbers of more than 4,300 digits
        raise InvalidInputError(f"is not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise InvalidInputError("is not a JSON object")
    return parsed
