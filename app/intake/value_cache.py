"""Ids and rating values repeat: what was made of each distinct one is remembered."""

from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar

from app.intake.blocks import Column

Meaning = TypeVar("Meaning")


class ValueCache(dict[Hashable, Meaning]):
    """`convert` of each distinct value; forgets everything when full, so that memory stays flat.

    Only values of `types` are remembered: elsewhere 1, 1.0 and True would be one key.
    """

    capacity = 200_000

    def __init__(self, convert: Callable[[Any], Meaning], types: frozenset[type]) -> None:
        super().__init__()
        self._convert = convert
        self._types = types

    def __missing__(self, value: Hashable) -> Meaning:
        meaning = self._convert(value)
        if len(self) >= self.capacity:
            self.clear()
        self[value] = meaning
        return meaning

    def of(self, column: Column) -> Iterator[Meaning]:
        """The meaning of each value, in order; raises what `convert` raises."""
        if set(map(type, column)) <= self._types:
            return map(self.__getitem__, column)
        return map(self._convert, column)

    def of_one(self, value: Any) -> Meaning:
        return self[value] if type(value) in self._types else self._convert(value)
