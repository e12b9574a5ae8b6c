"""Placements in memory: kept and answered, while their rules do nothing."""

from typing import Any

from ..errors import invalid
from ..operations.placements import Placement, Placements, PlacementSettings
from .memory import DEFAULT_PLACEMENT, Memory


class PlacementAnswers:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def placements(self) -> Placements:
        names = dict.fromkeys([DEFAULT_PLACEMENT, *self._memory.placements])
        return Placements(tuple(self.placement(name) for name in names))

    def placement(self, name: str) -> Placement:
        return Placement(name, self._memory.settings_of(name))

    def put_placement(self, name: str, **settings: Any) -> Placement:
        for setting in settings.keys() - PlacementSettings.__annotations__.keys():
            raise invalid(f"body.{setting}", f"body.{setting}: Unexpected keyword argument")
        self._memory.placements[name] = PlacementSettings(**settings)  # type: ignore[typeddict-item]  # checked above
        return self.placement(name)

    def delete_placement(self, name: str) -> None:
        self._memory.placements.pop(name, None)
