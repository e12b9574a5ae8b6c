"""Answers already given, as bytes, each with the entity tag of the request state it was given in."""

from collections import OrderedDict
from typing import NamedTuple

MAX_BYTES = 16 << 20
"""A process holds this much of them: about 5,000 lists of 20."""

OVERHEAD_BYTES = 500


class CachedResponse(NamedTuple):
    strategy: str
    body: bytes


class ResponseCache:
    """Used on the event loop alone. The least recently used answers are dropped first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[bytes, tuple[str, CachedResponse]] = OrderedDict()
        self._n_bytes = 0

    def get(self, question: bytes, entity_tag: str) -> CachedResponse | None:
        """The answer to the same question under the same entity tag, None where there is none."""
        tag, answer = self._entries.get(question, ("", None))
        if answer is None or tag != entity_tag:
            return None
        self._entries.move_to_end(question)
        return answer

    def put(self, question: bytes, entity_tag: str, answer: CachedResponse) -> None:
        """Replaces what is held for the question."""
        replaced = self._entries.pop(question, None)
        if replaced is not None:
            self._n_bytes -= _size(question, replaced[1])
        self._entries[question] = entity_tag, answer
        self._n_bytes += _size(question, answer)
        while self._n_bytes > MAX_BYTES:
            oldest, (_, dropped) = self._entries.popitem(last=False)
            self._n_bytes -= _size(oldest, dropped)


def _size(question: bytes, answer: CachedResponse) -> int:
    return len(question) + len(answer.body) + OVERHEAD_BYTES
