"""What was worked out from the catalogue as it is, until it changes."""

import sys
from collections.abc import Callable, Hashable
from typing import Any

from numpy.typing import NDArray

from app.serving.catalogue.cells import Scalar

MAX_BYTES = 16 * 2**20

OVERHEAD_BYTES = 200
"""Of a remembered array: the object itself, and its place in the dictionary."""

Name = tuple[Hashable, ...]


class ArrayCache:
    """Arrays of a value for each row, by name. Forgets all before they take more than 16 MB, and on `forget`.

    Names count too: that of a filter is its text, which in a small catalogue is longer than what it says of the rows.
    """

    def __init__(self) -> None:
        self._arrays: dict[Name, NDArray[Any]] = {}
        self._n_bytes = 0

    def get(self, name: Name, n_rows: int, make: Callable[[], NDArray[Scalar]]) -> NDArray[Scalar]:
        """At least `n_rows` values."""
        arrays = (
            self._arrays
        )  # while this is read it may be forgotten: what is put into it now is lost, as it should be
        array: NDArray[Scalar] | None = arrays.get(name)
        if array is None or len(array) < n_rows:  # rows may have come since
            array = make()
            n_bytes = _size(name) + array.nbytes
            if self._n_bytes + n_bytes > MAX_BYTES:
                arrays.clear()
                self._n_bytes = 0
            self._n_bytes += n_bytes
            arrays[name] = array
        return array

    def forget(self) -> None:
        self._arrays, self._n_bytes = {}, 0


def _size(name: Name) -> int:
    return OVERHEAD_BYTES + sys.getsizeof(name) + sum(map(sys.getsizeof, name))
