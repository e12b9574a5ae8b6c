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
    """Used on the event loop alone. The least recently used answers are dropped first."""

    def __init__(self) -> None:
        # By question: entity tag, answer, size in bytes.
        self._entries: OrderedDict[bytes, tuple[str, CachedResponse, int]] = OrderedDict()
        self._n_bytes = 0

    def get(self, question: bytes, entity_tag: str) -> CachedResponse | None:
        """The answer to the same question under the same entity tag, None where there is none."""
        entry = self._entries.get(question)
        if entry is None or entry[0] != entity_tag:
            return None
        self._entries.move_to_end(question)
        return entry[1]

    def put(self, question: bytes, entity_tag: str, answer: CachedResponse) -> None:
        """Replaces what is held for the question."""
        replaced = self._entries.pop(question, None)
        if replaced is not None:
            self._n_bytes -= replaced[2]
        size = len(question) + len(answer.body) + OVERHEAD_BYTES
        self._entries[question] = entity_tag, answer, size
        self._n_bytes += size
        while self._n_bytes > MAX_BYTES:
            _, (_, _, dropped_size) = self._entries.popitem(last=False)
            self._n_bytes -= dropped_size
