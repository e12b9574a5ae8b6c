"""Changes of placements, and the versions that they leave: what the API and the console do with placements."""

from collections.abc import Collection
from dataclasses import dataclass

from app.errors import ConflictError, NotFoundError
from app.serving.placement import Placement, check_name, parse_placement
from app.serving.placement_config import CompiledPlacement
from app.serving.query import DEFAULT_PLACEMENT
from app.serving.serving_state import ServingStateHolder
from app.store.placements import CurrentPlacement, PlacementChange, Placements, PlacementVersion


class DeletedVersionError(ConflictError):
    """The version is the deletion of the placement, so it has no settings."""

    type = "deleted-version"
    title = "The version has no settings"

    def __init__(self, name: str, number: int) -> None:
        super().__init__(f"version {number} of the placement {name!r} is its deletion; delete it instead")


@dataclass(frozen=True, slots=True)
class NumberedPlacement:
    """`number`: of the version that the settings are; 0: the placement was never changed."""

    name: str
    number: int
    settings: Placement


class PlacementEditor:
    """`home` always exists; it has the default settings until others are stored.

    In all methods, `changed_by` is the id of the API key of the operator, None if the service is open. `expected` are
    the numbers of the version that the operator has seen, None if any may be changed; `ChangedMeanwhileError` is raised
    if the current version has none of them, and then nothing is changed.
    """

    def __init__(self, placements: Placements, serving: ServingStateHolder) -> None:
        self._placements = placements
        self._serving = serving

    def all(self) -> list[NumberedPlacement]:
        """`home` first."""
        stored = self._placements.all_current()
        home = {DEFAULT_PLACEMENT: stored.get(DEFAULT_PLACEMENT, CurrentPlacement(0, None))}
        return [
            _numbered(name, current)
            for name, current in (home | stored).items()
            if current.settings is not None or name == DEFAULT_PLACEMENT
        ]

    def get(self, name: str) -> NumberedPlacement:
        """Raises `NotFoundError`."""
        current = self._placements.current(name)
        if current.settings is None and name != DEFAULT_PLACEMENT:
            raise NotFoundError("placement", name)
        return _numbered(name, current)

    def put(
        self, name: str, settings: Placement, *, changed_by: str | None, expected: Collection[int] | None = None
    ) -> PlacementChange:
        """Stores the whole placement. Raises `InvalidInputError` for an expression that does not parse, or that names
        an attribute or a category that no item has, unless the placement allows that.
        """
        # Before anything is stored.
        self.check(name, settings)
        return self._placements.put(name, settings.document, changed_by=changed_by, expected=expected)

    def check(self, name: str, settings: Placement) -> None:
        """Raises `InvalidInputError` as `put` does; stores nothing."""
        check_name(name)
        catalogue = self._serving.current.catalogue
        # Items that were stored through another process count, too.
        catalogue.refresh()
        CompiledPlacement(settings).check_names(catalogue)

    def delete(self, name: str, *, changed_by: str | None, expected: Collection[int] | None = None) -> bool:
        """`home` returns to the default settings. False if there is nothing to delete."""
        return self._placements.delete(name, changed_by=changed_by, expected=expected)

    def versions(self, name: str, limit: int) -> list[PlacementVersion]:
        """The newest versions that are kept, newest first, also of a deleted placement.

        Raises `NotFoundError` for a placement that never was.
        """
        found = self._placements.versions(name, limit)
        if not found and name != DEFAULT_PLACEMENT:
            raise NotFoundError("placement", name)
        return found

    def restore(
        self, name: str, number: int, *, changed_by: str | None, expected: Collection[int] | None = None
    ) -> NumberedPlacement:
        """Stores the settings of an earlier version as a new version, unless they are those of the current one.

        Raises `NotFoundError` for a version that is not kept, `DeletedVersionError` for one without settings, and
        `InvalidInputError` as `put`: what its expressions name, and settings themselves, may be gone.
        """
        version = self._placements.version(name, number)
        if version.settings is None:
            raise DeletedVersionError(name, number)
        settings = parse_placement(version.settings)
        change = self.put(name, settings, changed_by=changed_by, expected=expected)
        return NumberedPlacement(name, change.number, settings)


def _numbered(name: str, current: CurrentPlacement) -> NumberedPlacement:
    return NumberedPlacement(name, current.number, parse_placement(current.settings or {}))
