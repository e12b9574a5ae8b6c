"""What a user did, from the events stored: which items were engaged with, consumed, shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.algorithms.labels import Sorted, TypeWeights, label_items
from app.entities import EventType
from app.serving.rows import NO_ROWS, Rows
from app.store.events import Interactions

NEVER_AGAIN, NEVER_YET = np.iinfo(np.int64).max, np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Occasions:
    """Something that happened to items, equal lengths n, rows ascending: how often, when first and when last.

    `first_at`, `last_at`: (n,) int64 microseconds UTC.
    """

    rows: Rows
    counts: NDArray[np.int64]
    first_at: NDArray[np.int64]
    last_at: NDArray[np.int64]


NO_OCCASIONS = Occasions(NO_ROWS, NO_ROWS, NO_ROWS, NO_ROWS)


@dataclass(frozen=True)
class Behaviour:
    """One user's interactions by item and type; `rows`: (n,) the catalogue rows of their items, -1 where gone."""

    interactions: Interactions
    rows: Rows
    types: Mapping[int, EventType]

    @property
    def engaged_rows(self) -> Rows:
        """The items whose label is 1, the newest engagement first."""
        return self._newest_first(self._labels.engaged)

    @property
    def declined_rows(self) -> Rows:
        """The items whose label is 0, what happened last first."""
        return self._newest_first(self._labels.declined)

    @cached_property
    def _labels(self) -> Sorted:
        found, kinds = self.interactions, self.types.values()
        weights = TypeWeights([*self.types], [kind.weight for kind in kinds], [kind.is_exposure for kind in kinds])
        return label_items(weights, found.item_key, found.type_key, found.count, found.portion)

    def _newest_first(self, item_keys: NDArray[np.int64]) -> Rows:
        found = self.interactions
        chosen = np.isin(found.item_key, item_keys) & (self.rows >= 0)
        newest_first = self.rows[chosen][np.argsort(-found.last_at[chosen], kind="stable")]
        _, places = np.unique(newest_first, return_index=True)
        return newest_first[np.sort(places)]

    @cached_property
    def consumed(self) -> Occasions:
        return self._occasions(lambda kind: kind.is_consumption)

    @cached_property
    def shown(self) -> Occasions:
        return self._occasions(lambda kind: kind.is_exposure)

    def _occasions(self, belongs: Callable[[EventType], bool]) -> Occasions:
        keys = [key for key, kind in self.types.items() if belongs(kind)]
        found = self.interactions
        chosen = np.flatnonzero(np.isin(found.type_key, keys) & (self.rows >= 0))
        if not len(chosen):
            return NO_OCCASIONS
        rows, places = np.unique(self.rows[chosen], return_inverse=True)
        counts = np.zeros(len(rows), np.int64)
        np.add.at(counts, places, found.count[chosen])
        first_at, last_at = np.full(len(rows), NEVER_AGAIN), np.full(len(rows), NEVER_YET)
        np.minimum.at(first_at, places, found.first_at[chosen])
        np.maximum.at(last_at, places, found.last_at[chosen])
        return Occasions(rows, counts, first_at, last_at)
