"""What was worked out from the catalogue as it is, until it changes."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 16 * 2**20
Scalar = TypeVar("Scalar", bound=np.generic)


class Memo(Generic[Scalar]):
    """Arrays of a value for each row, by what they say. Forgets all when they take more than 16 MB, or on `forget`."""

    def __init__(self) -> None:
        self._arrays: dict[Hashable, NDArray[Scalar]] = {}

    def get(self, name: Hashable, n_rows: int, make: Callable[[], NDArray[Scalar]]) -> NDArray[Scalar]:
        """At least `n_rows` values; not to be changed."""
        arrays = self._arrays  # another dict is forgotten too late for what is made from older cells to be in it
        array = arrays.get(name)
        if array is None or len(array) < n_rows:  # rows may have come since
            array = make()
            if (len(arrays) + 1) * array.nbytes > MAX_BYTES:
                arrays.clear()
            arrays[name] = array
        return array

    def forget(self) -> None:
        self._arrays = {}
