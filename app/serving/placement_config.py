"""What operators declare: placements and event types, as of one version of both."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from app.errors import InvalidInputError, ReckonError
from app.serving.expressions import Boost, Filter, parse_boost, parse_filter
from app.serving.interactions import EventTypeIndex
from app.serving.placement import Placement, check_name, parse_placement
from app.serving.query import DEFAULT_PLACEMENT
from app.store.events import Events
from app.store.placements import Placements, Settings


class UnknownPlacementError(InvalidInputError):
    type = "unknown-placement"
    title = "There is no such placement"

    def __init__(self, name: str, known: Mapping[str, object]) -> None:
        names = ", ".join(sorted(known))
        super().__init__(f"there is no placement {name!r}; there are: {names}", field="placement")


@dataclass(frozen=True)
class CompiledPlacement:
    """The settings of one placement, their expressions parsed."""

    settings: Placement
    filter: Filter | None
    boost: Boost | None
    promote: Filter | None
    demote: Filter | None

    @classmethod
    def from_settings(cls, placement: Placement) -> "CompiledPlacement":
        """Raises `InvalidInputError`, naming the setting whose expression does not parse."""
        return cls(
            placement,
            filter=_parsed_filter(placement.filter, "filter"),
            boost=None if placement.boost is None else parse_boost(placement.boost),
            promote=_parsed_filter(placement.promote, "promote"),
            demote=_parsed_filter(placement.demote, "demote"),
        )

    @cached_property
    def changes_with_time(self) -> bool:
        """Whether the same question a minute later may be answered otherwise, though nothing was written."""
        placement = self.settings
        expressions = (self.filter, self.boost, self.promote, self.demote)
        return bool(
            placement.freshness
            or placement.recurring
            or placement.exploration
            or any(each is not None and each.looks_at_clock for each in expressions)
        )

    @cached_property
    def depends_on_trends(self) -> bool:
        """Whether what trends may enter the list: beside all others it is but named as a source, unless an order rule
        is on. Not counted is rotation, which is on by default, for those who were shown something.
        """
        placement = self.settings
        if placement.sources is not None:
            return "trending" in placement.sources
        return bool(
            self.boost
            or placement.freshness
            or placement.novelty
            or self.demote
            or placement.diversity
            or placement.category_cap
            or placement.exploration
            or (self.promote and placement.promoted_share)
            or placement.recurring
        )


def _parsed_filter(text: str | None, field: str) -> Filter | None:
    return None if text is None else parse_filter(text, field)


@dataclass(frozen=True, slots=True)
class PlacementConfig:
    """As of `version`."""

    version: int
    placements: Mapping[str, CompiledPlacement]
    event_types: EventTypeIndex

    def placement(self, name: str) -> CompiledPlacement:
        """Raises `UnknownPlacementError`, listing those there are."""
        if name not in self.placements:
            raise UnknownPlacementError(name, self.placements)
        return self.placements[name]


class PlacementConfigHolder:
    """Follows the store; what was declared before a request was received holds for it."""

    def __init__(self, placements: Placements, events: Events) -> None:
        self._placements = placements
        self._events = events
        self._reading = threading.Lock()
        self.current = PlacementConfig(-1, {}, EventTypeIndex({}))
        self.refresh()

    def refresh(self) -> PlacementConfig:
        """Read all of it anew: it is little."""
        with self._reading:
            version, documents = self._placements.read()
            placements = {DEFAULT_PLACEMENT: CompiledPlacement.from_settings(Placement())}
            placements |= {name: _compiled(document) for name, document in documents.items()}
            self.current = PlacementConfig(version, placements, EventTypeIndex(self._events.types()))
            return self.current


def settings_to_store(name: str, document: Mapping[str, object]) -> Settings:
    """All settings, where `document` says some; raises `InvalidInputError`, whose field is what is at fault."""
    check_name(name)
    placement = parse_placement(document)
    CompiledPlacement.from_settings(placement)  # its expressions parse
    return placement.document


def _compiled(document: Mapping[str, object]) -> CompiledPlacement:
    """What a newer release stored and this one cannot read falls back to the defaults, rather than to no answer."""
    try:
        return CompiledPlacement.from_settings(parse_placement(document))
    except ReckonError:
        return CompiledPlacement.from_settings(Placement())
