"""Counts the rows of an import that repeat the user and the item of an earlier row."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOST_PAIRS = 8_000_000
"""So many different pairs are remembered, at 8 bytes each, and three times that for a moment while they are merged."""


class RepeatedPairs:
    """Remembers a 64-bit hash of each pair. Two of 8 million pairs have the same one with a probability of 2e-6."""

    def __init__(self) -> None:
        # Sorted arrays, each more than twice as long as the next one, so that there are few of them.
        self._known: list[NDArray[np.int64]] = []
        self._n_known = 0

    def add(self, user_ids: Sequence[str], item_ids: Sequence[str]) -> int:
        """Add the pairs of n rows, and return how many rows repeat the pair of an earlier one.

        At least so many: once `MOST_PAIRS` are known, further pairs are not remembered.
        """
        # Hashes of texts differ from process to process, so that a file cannot be made to have equal ones.
        hashes = np.fromiter(map(hash, zip(user_ids, item_ids, strict=True)), np.int64, len(user_ids))
        distinct = np.unique(hashes)
        are_known = np.zeros(len(distinct), np.bool_)
        for known in self._known:
            places = np.minimum(np.searchsorted(known, distinct), len(known) - 1)
            are_known |= known[places] == distinct
        new = distinct[~are_known]
        self._remember(new[: MOST_PAIRS - self._n_known])
        return len(hashes) - len(new)

    def _remember(self, new: NDArray[np.int64]) -> None:
        self._n_known += len(new)
        while len(new) and self._known and len(self._known[-1]) <= 2 * len(new):
            # A stable sort merges what is sorted in parts.
            new = np.sort(np.concatenate([self._known.pop(), new]), kind="stable")
        if len(new):
            self._known.append(new)
