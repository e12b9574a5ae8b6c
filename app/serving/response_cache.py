"""Answers already given, as bytes, each with the entity tag of the situation it was given in."""

from collections import OrderedDict
from typing import NamedTuple

MAX_BYTES = 16 << 20
"""A process holds this much of them: about 5,000 lists of 20."""

OVERHEAD_BYTES = 500


class CachedResponse(NamedTuple):
    strategy: str
    body: bytes


class ResponseCache:
    """Asked and filled on the event loop alone. The least lately asked for go first."""

    def __init__(self) -> None:
        self._held: OrderedDict[bytes, tuple[str, CachedResponse]] = OrderedDict()
        self._n_bytes = 0

    def get(self, question: bytes, entity_tag: str) -> CachedResponse | None:
        """What was answered to the same question while nothing had changed since."""
        found = self._held.get(question)
        if found is None or found[0] != entity_tag:
            return None
        self._held.move_to_end(question)
        return found[1]

    def put(self, question: bytes, entity_tag: str, answer: CachedResponse) -> None:
        self._drop(question)
        self._held[question] = entity_tag, answer
        self._n_bytes += _size(question, answer.body)
        while self._n_bytes > MAX_BYTES:
            self._drop(next(iter(self._held)))

    def _drop(self, question: bytes) -> None:
        found = self._held.pop(question, None)
        if found is not None:
            self._n_bytes -= _size(question, found[1].body)


def _size(question: bytes, answer: bytes) -> int:
    return len(question) + len(answer) + OVERHEAD_BYTES
