"""Notices what is wrong with placements while they make lists: names of nothing in expressions, and empty lists.

A stored placement goes on when an attribute that it names vanishes with the last item that had it: a list beats an
error. So an operator must hear of it otherwise: in the log, in the metrics, and in a preview of the placement.
"""

from collections.abc import Callable
from typing import NamedTuple

import structlog

from app.serving.catalogue import Catalogue
from app.serving.expressions import UnknownName
from app.serving.near_names import MICROSECONDS as NEAR_NAMES
from app.serving.placement_config import CompiledPlacement

log = structlog.get_logger()


class PlacementNames(NamedTuple):
    """What a placement names that no item has, as of a version of the catalogue."""

    placement: CompiledPlacement
    catalogue_version: int
    unknown: tuple[UnknownName, ...]


class PlacementWatch:
    """Shared by all requests of a process."""

    def __init__(self, count_problem: Callable[[str, str], None]) -> None:
        """`count_problem` takes the name of a placement and of a problem, as `Metrics.count_placement_problem` does."""
        self._count_problem = count_problem
        self._names: dict[str, PlacementNames] = {}

    def microseconds(self, name: str, placement: CompiledPlacement, catalogue: Catalogue) -> float:
        """How long `look_at` takes: nearly nothing where placement and catalogue are those of the last look."""
        look = self._names.get(name)
        if look is not None and look.placement is placement and look.catalogue_version == catalogue.version:
            return 0.0
        return len(placement.expressions) * NEAR_NAMES

    def look_at(self, name: str, placement: CompiledPlacement, catalogue: Catalogue) -> None:
        """Count a list of the placement if its expressions name what no item has; log each such name once."""
        look = self._names.get(name)
        if look is None or look.placement is not placement or look.catalogue_version != catalogue.version:
            logged = () if look is None else look.unknown
            look = self._names[name] = PlacementNames(
                placement, catalogue.version, tuple(placement.unknown_names(catalogue))
            )
            for each in look.unknown:
                if each not in logged:
                    log.warning("placement names nothing", placement=name, why=each.error(catalogue).described)
        if look.unknown:
            self._count_problem(name, "unknown_name")

    def count_empty(self, name: str) -> None:
        """Count a list that the settings of the placement left without an item."""
        self._count_problem(name, "empty_list")
