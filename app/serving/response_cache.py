"""Answers already given, as bytes, each with the entity tag of the request state it was given in."""

from collections import OrderedDict
from typing import NamedTuple

MAX_BYTES = 16 << 20
"""A process holds this much of them: about 5,000 lists of 20."""

OVERHEAD_BYTES = 500


class CachedResponse(NamedTuple):
    """`strategy`: of recommendations, which metrics count; None for other lists."""

    body: bytes
    strategy: str | None = None


class ResponseCache:
    """Used on the event loop; any thread may call `clear`. The least recently used answers are dropped first."""

    def __init__(self) -> None:
        self._held = _Held()

    def get(self, question: bytes, entity_tag: str) -> CachedResponse | None:
        """The answer to the same question under the same entity tag, None where there is none."""
        entries = self._held.entries
        entry = entries.get(question)
        if entry is None or entry[0] != entity_tag:
            return None
        entries.move_to_end(question)
        return entry[1]

    def put(self, question: bytes, entity_tag: str, answer: CachedResponse) -> None:
        """Replaces what is held for the question."""
        held = self._held
        replaced = held.entries.pop(question, None)
        if replaced is not None:
            held.n_bytes -= replaced[2]
        size = len(question) + len(answer.body) + OVERHEAD_BYTES
        held.entries[question] = entity_tag, answer, size
        held.n_bytes += size
        while held.n_bytes > MAX_BYTES:
            _, (_, _, dropped_size) = held.entries.popitem(last=False)
            held.n_bytes -= dropped_size

    def clear(self) -> None:
        """Drops all answers; a question names the user."""
        # One assignment: a request on the event loop goes on with what it holds.
        self._held = _Held()


class _Held:
    """By question: entity tag, answer, size in bytes; and the sum of the sizes."""

    __slots__ = ("entries", "n_bytes")

    def __init__(self) -> None:
        self.entries: OrderedDict[bytes, tuple[str, CachedResponse, int]] = OrderedDict()
        self.n_bytes = 0
