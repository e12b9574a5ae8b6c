"""Numbers the ids of files in order of first appearance, exactly, in about 45 bytes an id beside its text."""

import secrets
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.entities import clean_id
from app.errors import InvalidInputError

LEAST_SLOTS = 1 << 12

MOST_FULL = 0.5
"""The share of slots that are taken at most; with more, runs of taken slots grow long."""


class IdNumbers:
    """`n`: how many ids there are."""

    def __init__(self) -> None:
        self.n = 0
        self._slots = np.full(LEAST_SLOTS, -1, np.int64)
        self._starts = np.zeros(1, np.int64)
        self._content = np.empty(0, np.uint8)
        self._hashes = np.empty(0, np.uint64)
        # Ids come from outside: without a secret, they could be chosen to share slots. No number depends on it.
        self._seed = np.uint64(secrets.randbits(64))

    def number(self, ids: Any) -> NDArray[np.int32]:
        """(n,) the number of each id of a `pyarrow` array of large strings without nulls; new ones are added."""
        # numba takes a second to import, which a process that only serves must not pay; hence not at the top.
        from app.algorithms.text_numbers_kernel import hash_texts, number_texts  # noqa: PLC0415  see above

        n = len(ids)
        numbers, hashes = np.empty(n, np.int32), np.empty(n, np.uint64)
        if not n:
            return numbers
        starts, content = _texts(ids)
        hash_texts(starts, content, self._seed, hashes)
        self._grow(n, int(starts[-1] - starts[0]))
        known = (self._slots, self._starts, self._content, self._hashes)
        self.n = number_texts(starts, content, hashes, *known, self.n, numbers)
        return numbers

    def texts(self) -> Iterator[bytes]:
        """All ids in the order of their numbers."""
        for number in range(self.n):
            yield self._content[self._starts[number] : self._starts[number + 1]].tobytes()

    def valid(self) -> tuple[list[str], NDArray[np.int64]]:
        """The distinct ids in normal form, and (n,) the place of each number's id among them, -1 if it is no id."""
        places: dict[str, int] = {}
        of_numbers = np.full(self.n, -1, np.int64)
        for number, text in enumerate(self.texts()):
            try:
                clean = clean_id(text.decode())
            except (InvalidInputError, UnicodeDecodeError):
                continue
            of_numbers[number] = places.setdefault(clean, len(places))
        return list(places), of_numbers

    def _grow(self, n_new: int, n_bytes: int) -> None:
        """Make room for up to so many more ids and bytes."""
        from app.algorithms.text_numbers_kernel import fill_slots  # noqa: PLC0415  as above

        n_most, bytes_most = self.n + n_new, int(self._starts[self.n]) + n_bytes
        if n_most > len(self._hashes):
            size = max(n_most, int(1.5 * len(self._hashes)))
            self._hashes, self._starts = _longer(self._hashes, size), _longer(self._starts, size + 1)
        if bytes_most > len(self._content):
            self._content = _longer(self._content, max(bytes_most, int(1.5 * len(self._content))))
        if n_most > MOST_FULL * len(self._slots):
            n_slots = 1 << int(np.ceil(np.log2(n_most / MOST_FULL)))
            self._slots = np.full(n_slots, -1, np.int64)
            fill_slots(self._slots, self._hashes, self.n)


def _longer(array: NDArray[Any], n: int) -> NDArray[Any]:
    longer = np.zeros(n, array.dtype)
    longer[: len(array)] = array
    return longer


def _texts(ids: Any) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Where each text begins in the bytes, and the bytes."""
    _, starts, content = ids.buffers()
    of_array = np.frombuffer(starts, np.int64)[ids.offset : ids.offset + len(ids) + 1]
    return of_array, np.frombuffer(content, np.uint8) if content is not None else np.empty(0, np.uint8)
