"""Cursors of the fake: readable ones, since nobody can be deceived by them."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import TypeVar

from ..errors import PREFIX, NotFoundError, Problem, invalid

T = TypeVar("T")


def write_cursor(returned: Sequence[str]) -> str:
    return urlsafe_b64encode(json.dumps(returned).encode()).decode()


def read_cursor(cursor: str | None) -> list[str]:
    """What pages before this one held."""
    if cursor is None:
        return []
    try:
        returned: list[str] = json.loads(urlsafe_b64decode(cursor))
    except ValueError:
        raise invalid("cursor", "not a cursor of this service") from None
    return returned


def page_of(entries: Mapping[str, T], limit: int, cursor: str | None) -> tuple[tuple[T, ...], str | None]:
    """`entries` by id, in their order: those after the cursor's, and the next cursor."""
    after = read_cursor(cursor)
    ids = list(entries)
    start = ids.index(after[-1]) + 1 if after and after[-1] in entries else 0
    shown = ids[start : start + limit]
    more = start + limit < len(ids)
    return tuple(entries[each] for each in shown), write_cursor(shown[-1:]) if more else None


def found(entries: Mapping[str, T], kind: str, identifier: str) -> T:
    if identifier not in entries:
        text = f"there is no {kind} {identifier!r}"
        raise NotFoundError(Problem(PREFIX + "not-found", "There is no such thing", 404, text))
    return entries[identifier]
