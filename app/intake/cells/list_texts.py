"""Lists of names as files write them in one cell: literals of JSON and Python, and names between separators."""

import ast
import csv
import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.errors import InvalidInputError

_CLOSING = {"[": "]", "{": "}"}
_SEPARATORS = ("|", ";")
"""A column in which one of these occurs is separated by it, whatever else its cells hold."""

_PATH = re.compile(r"\s+>\s+|(?<=\w)>(?=\w)")

# `['A', 'B']` in the notation of Python and JSON, and `['A' 'B']` as numpy prints it, which Python would read as 'AB'.
_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_QUOTED_TEXT = re.compile(_QUOTED, re.DOTALL)
_QUOTED_LIST = re.compile(rf"[\[{{]\s*(?:(?:{_QUOTED})(?:\s*,\s*|\s+|(?=[\]}}])))*[\]}}]", re.DOTALL)

_NAME_KEYS = ("name", "title", "label", "description", "value")
"""Keys under which objects hold their name, best first."""

_ENOUGH_LISTS = 20
"""With fewer cells that contain commas, commas are separators."""


def is_literal(text: str) -> bool:
    """Whether the text begins like a list or object of JSON or Python."""
    return text.startswith(tuple(_CLOSING))


def read_literal(text: str, field: str) -> list[str]:
    """Return the names in a literal of JSON, Python, numpy or Postgres; raises `InvalidInputError` for other text.

    Nested lists are flattened. An object with a name stands for its name, and one whose values are flags or numbers for
    the keys whose value is not false or 0. A repeated name is returned once.
    """
    parsed = _parse(text)
    if parsed is None:
        raise InvalidInputError(f"{text[:40]!r} is not a list", field=field)
    return names_in(parsed, field)


def names_in(value: Any, field: str) -> list[str]:
    """Return the names in a parsed list or object, as `read_literal` does."""
    try:
        return list(dict.fromkeys(name for name in _names(value, field) if name))
    except RecursionError:
        raise InvalidInputError("is nested too deeply", field=field) from None


def _names(value: Any, field: str) -> Iterator[str]:
    if isinstance(value, str):
        yield value.strip()
    elif isinstance(value, list | tuple | set):
        for each in value:
            yield from _names(each, field)
    elif isinstance(value, dict):
        name = next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), None)
        if name is not None:
            yield name.strip()
        elif all(isinstance(each, int | float) for each in value.values()):
            yield from (str(key).strip() for key, each in value.items() if each)
        else:
            raise InvalidInputError(f"{str(value)[:40]!r} has no name", field=field)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
    elif value is not None:
        raise InvalidInputError(f"{str(value)[:40]!r} is not a name", field=field)


def _unquoted(text: str) -> str:
    return str(_python_literal(text)) if "\\" in text else text[1:-1]


def _parse(text: str) -> Any:
    """The value of a literal; None where it is none."""
    try:
        return json.loads(text)
    # A few kilobytes of opening brackets exceed the recursion limit of the parser.
    except (ValueError, RecursionError):
        pass
    if _QUOTED_LIST.fullmatch(text):
        return [_unquoted(quoted) for quoted in _QUOTED_TEXT.findall(text)]
    parsed = _python_literal(text)
    if parsed is not None:
        return parsed
    # `[A, B]` and `{A,"B, C"}`: bare names between brackets, as logs and Postgres write them.
    inner = text[1:-1]
    if text[-1] != _CLOSING[text[0]] or re.search(r"[\[\]{}]", inner) or (text[0] == "{" and ":" in inner):
        return None
    names = next(csv.reader([inner.replace("\n", " ")], skipinitialspace=True), [])
    return None if any(name.startswith("'") for name in names) else names


def _python_literal(text: str) -> Any:
    """The value of a literal of Python; None where it is none."""
    try:
        with warnings.catch_warnings():
            # An escape that Python does not know, such as `\/` of JSON, is kept as it is, with a warning.
            warnings.simplefilter("ignore")
            return ast.literal_eval(text)
    # The parser of Python reports deep nesting as MemoryError.
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


class SeparatorEvidence:
    """Finds the separator of the lists in a column.

    The bar separates where it occurs in any cell, otherwise the semicolon, otherwise the comma. A comma belongs to the
    names where at least 20 cells contain one and none of the parts occurs in two different cells: `Clothing, Shoes`
    always stands in the same cells, whereas the parts of lists recur in other lists or alone.
    """

    def __init__(self) -> None:
        self.has_paths = False
        self._found: set[str] = set()
        self._n_lists = 0
        self._lists: set[str] = set()
        self._parts: set[str] = set()
        self._others: set[str] = set()
        self._recurs = False

    def add(self, counts: Mapping[str, int]) -> None:
        """`counts`: how often each text occurs; literals are ignored."""
        for text, count in counts.items():
            if is_literal(text):
                continue
            self.has_paths |= _PATH.search(text) is not None
            self._found.update(separator for separator in _SEPARATORS if separator in text)
            self._n_lists += count * ("," in text)
            if not self._recurs:
                self._add_parts(text)

    def _add_parts(self, text: str) -> None:
        if "," not in text:
            self._others.add(text)
        elif text not in self._lists:
            self._lists.add(text)
            parts = set(split(text, ","))
            self._recurs = not parts.isdisjoint(self._parts)
            self._parts |= parts
        self._recurs |= not self._parts.isdisjoint(self._others)

    @property
    def separator(self) -> str | None:
        """None where cells are single names."""
        for separator in _SEPARATORS:
            if separator in self._found:
                return separator
        return "," if self._n_lists and (self._recurs or self._n_lists < _ENOUGH_LISTS) else None


def split(text: str, separator: str | None) -> list[str]:
    """Return the names in `text`, each once, and also those of the parts of a path `A > B > C`."""
    parts = [text] if separator is None else text.split(separator)
    return list(dict.fromkeys(name for part in parts for name in _path(part)))


def _path(text: str) -> Iterable[str]:
    return (name.strip() for name in _PATH.split(text) if name.strip())
