"""Many texts in one buffer, so that one comparison with all of them is a few passes of numpy and not a loop.

numpy releases the interpreter lock during a pass: a thread that filters a large catalogue does not hold up requests.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.serving.catalogue.cells import Mask

BETWEEN = b"\xff"
"""Stands behind every text. UTF-8 never contains it, so nothing that is found spans two texts."""

PREFIX_BYTES = 8
"""Leading bytes of a text, as one number whose order is that of the texts."""


class PackedTexts:
    """(n,) texts, None for an item without one, which no test passes. The order is that of the code points.

    `is_known`: (n,) bool, which items have a text.
    """

    def __init__(self, texts: Iterable[str | None]) -> None:
        encoded = [None if text is None else text.encode() for text in texts]
        self.is_known: Mask = np.array([text is not None for text in encoded], np.bool_)
        parts = [b"" if text is None else text for text in encoded]
        self._buffer = np.frombuffer(BETWEEN.join([*parts, b"\0" * PREFIX_BYTES]), np.uint8)
        lengths = np.fromiter(map(len, parts), np.int64, len(parts))
        # Text i lies at starts[i] : starts[i + 1] - 1.
        self._starts = np.append(0, np.cumsum(lengths + 1))
        self._frequencies = np.bincount(self._buffer, minlength=256)
        self._prefixes = self._prefixes_of(lengths)

    def __len__(self) -> int:
        return len(self.is_known)

    def _prefixes_of(self, lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
        prefixes = np.zeros(len(lengths), np.uint64)
        for place in range(PREFIX_BYTES):
            prefixes <<= np.uint64(8)
            # Behind the end of a text stands 0, as in the prefix of a shorter text.
            prefixes |= np.where(place < lengths, self._buffer[self._starts[:-1] + place], 0).astype(np.uint64)
        return prefixes

    def containing(self, text: str) -> Mask:
        """(n,) which texts contain this one."""
        part = text.encode()
        if not part:
            return self.is_known.copy()
        # The rarest byte first: few places are left for the others.
        order = sorted(range(len(part)), key=lambda place: self._frequencies[part[place]])
        places = np.flatnonzero(self._buffer == part[order[0]]) - order[0]
        places = places[(places >= 0) & (places <= self._starts[-1] - len(part))]
        for place in order[1:]:
            if not len(places):
                break
            places = places[self._buffer.take(places + place) == part[place]]
        # Of as many places as texts, it is cheaper to look up each text among the places.
        if len(places) > len(self):
            mask: Mask = np.diff(np.searchsorted(places, self._starts)) > 0
            return mask
        mask = np.zeros(len(self), np.bool_)
        mask[np.searchsorted(self._starts, places, side="right") - 1] = True
        return mask

    def among(self, texts: Collection[str]) -> Mask:
        """(n,) which texts are one of these."""
        wanted = {text.encode() for text in texts}
        candidates = np.isin(self._prefixes, np.array([_prefix(text) for text in wanted], np.uint64))
        return self._verified(candidates, wanted.__contains__)

    def compared(self, compare: Callable[[Any, Any], Any], text: str) -> Mask:
        """(n,) `compare(each text, text)`, by an operator of order or equality."""
        other = text.encode()
        prefix = np.uint64(_prefix(other))
        mask: Mask = compare(self._prefixes, prefix) & self.is_known
        # Equal prefixes say nothing of the rest.
        is_open = self._prefixes == prefix
        mask &= ~is_open
        return mask | self._verified(is_open, lambda each: compare(each, other))

    def _verified(self, candidates: Mask, test: Callable[[bytes], bool]) -> Mask:
        """The candidates whose whole text passes."""
        mask = np.zeros(len(self), np.bool_)
        rows = np.flatnonzero(candidates & self.is_known)
        ends = self._starts[rows + 1] - 1
        buffer = self._buffer
        mask[rows] = [
            test(buffer[start:end].tobytes())
            for start, end in zip(self._starts[rows].tolist(), ends.tolist(), strict=True)
        ]
        return mask


def _prefix(text: bytes) -> int:
    return int.from_bytes(text[:PREFIX_BYTES].ljust(PREFIX_BYTES, b"\0"), "big")
