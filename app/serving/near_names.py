"""Known names that an unknown one may have been meant to be, for messages."""

from collections.abc import Iterable
from difflib import get_close_matches

from app.texts import folded

N_NEAR = 3
MAX_COMPARED = 2_000
"""Names that are compared at most: each comparison takes some 10 us."""

MICROSECONDS = 10.0 * MAX_COMPARED
"""How long it takes at most to look for near names."""


def near_names(name: str, known: Iterable[str]) -> list[str]:
    """Return up to three of the `known` names that `name` may have been meant to be, nearest first."""
    by_folded: dict[str, str] = {}
    wanted = folded(name)
    for each in known:
        # A name of another length cannot be near.
        if abs(len(each) - len(name)) <= max(2, len(name) // 3):
            by_folded.setdefault(folded(each), each)
            if len(by_folded) >= MAX_COMPARED:
                break
    return [by_folded[each] for each in get_close_matches(wanted, list(by_folded), N_NEAR, cutoff=0.7)]


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the near names as the end of a sentence, `; did you mean ...?`; empty if none is near."""
    near = " or ".join(map(repr, near_names(name, known)))
    return f"; did you mean {near}?" if near else ""
