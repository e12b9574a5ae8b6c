"""What operators configure, as of one version: event types, and placements compiled to the parts that are on."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from app.errors import InvalidInputError, ReckonError
from app.serving.catalogue import Catalogue
from app.serving.expressions import Boost, Filter, UnknownName
from app.serving.interactions import EventTypeIndex
from app.serving.parts import Part, Plan, with_settings
from app.serving.placement import Placement, check_name, parse_placement
from app.serving.query import DEFAULT_PLACEMENT
from app.serving.reranking import ORDER_RULES, RESTRICTIONS
from app.serving.retrieval import SOURCES
from app.serving.serving_state import ServingState
from app.store.events import Events
from app.store.placements import Placements, Settings

MAX_PLANS = 100
"""Kinds of requests that a placement remembers the plans of: usually two or three of the snapshot served."""

AnyPart = TypeVar("AnyPart", bound=Part)


class UnknownPlacementError(InvalidInputError):
    type = "unknown-placement"
    title = "There is no such placement"

    def __init__(self, name: str, known: Mapping[str, object]) -> None:
        names = ", ".join(sorted(known))
        super().__init__(f"there is no placement {name!r}; there are: {names}", field="placement")


class CompiledPlacement:
    """A placement ready for requests: every source and rule with its own settings, their expressions parsed."""

    def __init__(self, settings: Placement) -> None:
        """Raises `InvalidInputError`, naming the setting whose expression does not parse."""
        chosen = settings.sources
        self._sources = [with_settings(each, settings) for each in SOURCES if chosen is None or each.name in chosen]
        self._restrictions = [with_settings(each, settings) for each in RESTRICTIONS]
        self._rules = [with_settings(each, settings) for each in ORDER_RULES]
        self._names_sources = chosen is not None
        self._allows_unknown = settings.allow_unknown
        parts: tuple[Part, ...] = (*self._sources, *self._restrictions, *self._rules)
        self.expressions = _expressions_of(parts)
        self._plans: dict[tuple[str, int | None, frozenset[str], bool], Plan] = {}

    def unknown_names(self, catalogue: Catalogue) -> list[UnknownName]:
        """The attributes and categories that its expressions name and no item has."""
        return [name for each in self.expressions for name in each.unknown_names(catalogue)]

    def check_names(self, catalogue: Catalogue) -> None:
        """Raise `ExpressionError` for an unknown name in an expression, unless the placement allows them."""
        if not self._allows_unknown:
            for name in self.unknown_names(catalogue):
                raise name.error(catalogue, "; `allow_unknown` stores the placement for items to come")

    def plan(self, serving: ServingState, given: frozenset[str], *, has_events: bool) -> Plan:
        """The parts that are on, for this snapshot, the options given and a user with or without stored events."""
        # A restored database may give the version of one snapshot to another.
        kind = serving.generation, serving.version, given, has_events
        plan = self._plans.get(kind)
        if plan is None:
            if len(self._plans) >= MAX_PLANS:  # of many snapshots: most are served no more
                self._plans.clear()
            plan = self._plans[kind] = self._compile(serving, given, has_events=has_events)
        return plan

    def _compile(self, serving: ServingState, given: frozenset[str], *, has_events: bool) -> Plan:
        def on(parts: Iterable[AnyPart]) -> tuple[AnyPart, ...]:
            return tuple(
                part
                for part in parts
                if (part.is_on or not given.isdisjoint(part.request_options))
                and (has_events or not part.needs_events)
                and part.works_with(serving.scorer)
            )

        sources, restrictions, rules = on(self._sources), on(self._restrictions), on(self._rules)
        parts: tuple[Part, ...] = (*sources, *restrictions, *rules)
        # Among all sources, what is trending is only named as another proposer of what would be shown anyway, unless a
        # rule moves it up. A placement that names its sources may show what no other source proposes.
        decides = self._names_sources or bool(rules)
        return Plan(
            sources,
            restrictions,
            rules,
            expressions=_expressions_of(parts),
            costly=tuple(part for part in parts if type(part).microseconds is not Part.microseconds),
            has_events=has_events,
            depends_on_clock=any(part.depends_on_clock for part in parts),
            depends_on_trends=decides and any(source.depends_on_trends for source in sources),
        )


def _expressions_of(parts: Iterable[Part]) -> tuple[Filter | Boost, ...]:
    # A source and a rule may share an expression.
    return tuple({(each.field, each.text): each for part in parts for each in part.expressions}.values())


DEFAULTS = CompiledPlacement(Placement())
"""A placement with the default settings."""


@dataclass(frozen=True, slots=True)
class PlacementConfig:
    """Placements by name, and the event types, as of `version` of a `generation` of the database."""

    generation: str
    version: int
    placements: Mapping[str, CompiledPlacement]
    event_types: EventTypeIndex

    def placement(self, name: str) -> CompiledPlacement:
        """Raises `UnknownPlacementError`, which lists the names that there are."""
        placement = self.placements.get(name)
        if placement is None:
            raise UnknownPlacementError(name, self.placements)
        return placement


class PlacementConfigHolder:
    """Follows the store: what was stored before a request was received holds for it."""

    def __init__(self, placements: Placements, events: Events) -> None:
        self._placements = placements
        self._events = events
        self._reading = threading.Lock()
        self.current = PlacementConfig("", -1, {}, EventTypeIndex({}))

    def refresh(self, generation: str) -> PlacementConfig:
        """Reads all of it again: it is little. `generation`: read before this."""
        with self._reading:
            version, documents = self._placements.read()
            placements = {DEFAULT_PLACEMENT: DEFAULTS}
            placements |= {name: _compiled(document) for name, document in documents.items()}
            self.current = PlacementConfig(generation, version, placements, EventTypeIndex(self._events.types()))
            return self.current


def settings_to_store(name: str, document: Mapping[str, object]) -> Settings:
    """All settings of a placement of which `document` gives some. Raises `InvalidInputError`, naming what is wrong."""
    check_name(name)
    placement = parse_placement(document)
    CompiledPlacement(placement)  # raises where an expression does not parse
    return placement.document


def _compiled(document: Mapping[str, object]) -> CompiledPlacement:
    """Falls back to the defaults for what a newer release stored and this one cannot read: a list beats an error."""
    try:
        return CompiledPlacement(parse_placement(document))
    except ReckonError:
        return CompiledPlacement(Placement())
