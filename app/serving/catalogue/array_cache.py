"""Arrays derived from the current state of the catalogue, kept until it changes."""

import sys
from collections.abc import Callable, Hashable
from typing import Any

from numpy.typing import NDArray

from app.serving.catalogue.cells import Scalar

MAX_BYTES = 16 * 2**20

OVERHEAD_BYTES = 200
"""Memory of a kept array besides its data: the object and its entry in the dictionary."""

Name = tuple[Hashable, ...]


class ArrayCache:
    """Arrays with a value for each row, by name. All are dropped before they exceed 16 MB, and by `forget`.

    The size of a name counts too: a filter is named by its text, which can be longer than the mask it gives.
    """

    def __init__(self) -> None:
        self._arrays: dict[Name, NDArray[Any]] = {}
        self._n_bytes = 0

    def get(self, name: Name, n_rows: int, make: Callable[[], NDArray[Scalar]]) -> NDArray[Scalar]:
        """At least `n_rows` values."""
        # `forget` of another thread replaces the dictionary: an array made from the old state goes into the old one.
        arrays = self._arrays
        array: NDArray[Scalar] | None = arrays.get(name)
        if array is None or len(array) < n_rows:  # rows were added since it was made
            array = make()
            n_bytes = _size(name) + array.nbytes
            if self._n_bytes + n_bytes > MAX_BYTES:
                arrays.clear()
                self._n_bytes = 0
            self._n_bytes += n_bytes
            arrays[name] = array
        return array

    def has(self, name: Name, n_rows: int) -> bool:
        """Whether `get` would return an array without making it."""
        array = self._arrays.get(name)
        return array is not None and len(array) >= n_rows

    def forget(self) -> None:
        self._arrays, self._n_bytes = {}, 0


def _size(name: Name) -> int:
    parts = [part for each in name for part in (each if isinstance(each, frozenset) else (each,))]
    return OVERHEAD_BYTES + sys.getsizeof(name) + sum(map(sys.getsizeof, parts))
