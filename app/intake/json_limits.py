"""Limits on a JSON body, of a request or a message, which hold before any object is made of it.

The bytes of a body are limited too, but a few of them can make much: every key that a schema does not know becomes an
error with a copy of its place, and deeply nested lists exhaust the stack of whatever walks them.
"""

import gc
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import ReckonError

MAX_BODY_BYTES = 1 << 20

MAX_DEPTH = 32
MAX_KEYS = 256
"""Of one object. Items have at most 100 attributes, and a merge patch names at most 200."""
MAX_CONTAINERS = 30_000
MAX_VALUES = 70_000

STRUCTURE = b'{}[]:,"'
NOT_STRUCTURE = bytes(set(range(256)) - set(STRUCTURE))


class JsonTooComplexError(ReckonError):
    type = "json-too-complex"
    title = "The JSON is nested too deeply, or has too many parts"
    status = 400


def parse_json(body: bytes) -> Any:
    """Parses without garbage collections. Raises `ValueError` for text that is not JSON.

    What is parsed holds no cycles, and looking for them takes ten times as long as parsing many short lists does.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return json.loads(body)
    finally:
        if was_enabled:
            gc.enable()


def check_json(body: bytes) -> None:
    """Raises `JsonTooComplexError`. Takes less time than the parser.

    Text that is not JSON may pass: the parser refuses it.
    """
    n_opening = body.count(b"{") + body.count(b"[")
    # Nearly all bodies are small. Brackets and colons in strings do not matter here.
    if n_opening <= MAX_DEPTH and body.count(b":") <= MAX_KEYS and body.count(b",") <= MAX_VALUES:
        return
    structure = _outside_of_strings(body)
    if np.count_nonzero(_is_any(structure, b"{[")) > MAX_CONTAINERS:
        raise JsonTooComplexError(f"a body has at most {MAX_CONTAINERS:,} objects and lists")
    if np.count_nonzero(_is_any(structure, b",")) > MAX_VALUES:
        raise JsonTooComplexError(f"a body has at most {MAX_VALUES:,} values")
    _check_nesting(structure)


def _outside_of_strings(body: bytes) -> NDArray[np.uint8]:
    """The brackets, colons and commas that are not part of a string."""
    if b"\\" in body:
        # What is left of a run of backslashes without its pairs is one that escapes the next character, or none.
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    kept = np.frombuffer(body.translate(None, NOT_STRUCTURE), dtype=np.uint8)
    is_quote = _is_any(kept, b'"')
    is_inside = np.logical_xor.accumulate(is_quote)
    return kept[~(is_inside | is_quote)]


def _check_nesting(structure: NDArray[np.uint8]) -> None:
    is_opening = _is_any(structure, b"{[")
    depth = np.cumsum(is_opening.astype(np.int32) - _is_any(structure, b"}]"))
    if depth.max(initial=0) > MAX_DEPTH:
        raise JsonTooComplexError(f"objects and lists are nested at most {MAX_DEPTH} deep")
    # In the order of depths, the colons of an object follow its opening bracket, since those inside of it are deeper.
    order = np.argsort(depth.astype(np.int8), kind="stable")
    container = np.cumsum(is_opening[order])
    n_keys = np.bincount(container[_is_any(structure, b":")[order]])
    if n_keys.max(initial=0) > MAX_KEYS:
        raise JsonTooComplexError(f"an object has at most {MAX_KEYS} fields")


def _is_any(structure: NDArray[np.uint8], characters: bytes) -> NDArray[np.bool_]:
    is_any: NDArray[np.bool_] = structure == characters[0]
    for character in characters[1:]:
        is_any |= structure == character
    return is_any
