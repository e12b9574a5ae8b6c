"""A user's interactions with items, from stored events: which were positive, disliked, consumed, shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.algorithms.labels import TypeWeights, label_items
from app.entities import EventType
from app.serving.rows import NO_ROWS, Rows, within
from app.store.serving_reads import Interactions

VIEWED = 0
"""The `type_key` of items that a guest looked at. No stored type has it: surrogate keys start at 1."""

VIEWED_WEIGHT = 1.0
"""As much as a click, the unit of weights, whatever types are declared."""


class EventTypeIndex:
    """The declared event types by name and by role: weights of labels, exposures, consumptions."""

    def __init__(self, types: Mapping[int, EventType]) -> None:
        """`types`: by `type_key`."""
        event_types = types.values()
        self.by_name = {kind.name: (key, kind) for key, kind in types.items()}
        self.weights = TypeWeights(
            [VIEWED, *types],
            [VIEWED_WEIGHT, *(kind.weight for kind in event_types)],
            [False, *(kind.is_exposure for kind in event_types)],
        )
        self.exposures = np.array([key for key, kind in types.items() if kind.is_exposure], np.int64)
        self.consumptions = np.array([key for key, kind in types.items() if kind.is_consumption], np.int64)


@dataclass(frozen=True, slots=True)
class Occurrences:
    """What happened to n items, rows ascending: how often, when first and when last.

    `counts`: (n,) int64. `first_at`, `last_at`: (n,) int64 microseconds UTC.
    """

    rows: Rows
    counts: NDArray[np.int64]
    first_at: NDArray[np.int64]
    last_at: NDArray[np.int64]


NO_OCCURRENCES = Occurrences(NO_ROWS, NO_ROWS, NO_ROWS, NO_ROWS)


class _Labelled(NamedTuple):
    """Catalogue rows by label, the latest interaction first."""

    positive: Rows
    negative: Rows
    disliked: Rows
    positive_at: NDArray[np.int64]


@dataclass(frozen=True)
class UserInteractions:
    """One user's interactions by item and type; `rows`: (n,) the catalogue rows of their items, -1 where gone."""

    interactions: Interactions
    rows: Rows
    event_types: EventTypeIndex

    @property
    def positive_rows(self) -> Rows:
        """The items labelled 1, the latest interaction first."""
        return self._labelled.positive

    @property
    def positive_at(self) -> NDArray[np.int64]:
        """When the latest interaction with each of `positive_rows` was, microseconds UTC."""
        return self._labelled.positive_at

    @property
    def negative_rows(self) -> Rows:
        """The items labelled 0, the latest interaction first."""
        return self._labelled.negative

    @property
    def disliked_rows(self) -> Rows:
        """The items that the events count against, the latest interaction first."""
        return self._labelled.disliked

    @cached_property
    def _labelled(self) -> _Labelled:
        stored = self.interactions
        labels = label_items(self.event_types.weights, stored.item_key, stored.type_key, stored.count, stored.portion)
        # Labels are by item key; rows in the order of time make the newest the first of each item.
        newest_first = (-stored.last_at).argsort(kind="stable")
        keys, rows = stored.item_key[newest_first], self.rows[newest_first]
        times, is_there = stored.last_at[newest_first], rows >= 0
        positive, negative, disliked = (np.flatnonzero(is_there & within(keys, each)) for each in labels)
        positive = positive[_is_first(rows[positive])]
        each_once = (places[_is_first(rows[places])] for places in (negative, disliked))
        negative_rows, disliked_rows = (rows[places] for places in each_once)
        return _Labelled(rows[positive], negative_rows, disliked_rows, times[positive])

    @cached_property
    def consumed(self) -> Occurrences:
        return self._occurrences(self.event_types.consumptions)

    @cached_property
    def shown(self) -> Occurrences:
        return self._occurrences(self.event_types.exposures)

    def _occurrences(self, type_keys: NDArray[np.int64]) -> Occurrences:
        stored = self.interactions
        chosen = ((self.rows >= 0) & within(stored.type_key, type_keys)).nonzero()[0]
        if not len(chosen):
            return NO_OCCURRENCES
        # Sorted by row, the interactions of each item are one segment, which `reduceat` aggregates.
        chosen = chosen[self.rows[chosen].argsort(kind="stable")]
        rows = self.rows[chosen]
        starts = np.concatenate(([0], (rows[1:] != rows[:-1]).nonzero()[0] + 1))
        return Occurrences(
            rows[starts],
            np.add.reduceat(stored.count[chosen], starts),
            np.minimum.reduceat(stored.first_at[chosen], starts),
            np.maximum.reduceat(stored.last_at[chosen], starts),
        )


def _is_first(rows: Rows) -> NDArray[np.bool_]:
    """(n,) bool: which of `rows` come for the first time."""
    # A stable sort keeps equal rows in their order, so the first of each run is the first of that row.
    by_row = rows.argsort(kind="stable")
    ascending = rows[by_row]
    is_first = np.ones(len(rows), np.bool_)
    is_first[by_row[1:]] = ascending[1:] != ascending[:-1]
    return is_first
