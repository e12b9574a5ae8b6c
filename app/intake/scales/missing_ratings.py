"""Recognises, while ratings are imported, the values that stand for a missing rating."""

from collections.abc import Mapping

import numpy as np

from app.entities import RatingScale
from app.intake.scales.scale import Detection, detect_scale
from app.intake.scales.value_counts import Float64Array, ValueTally


class MissingRatings:
    """The values to set aside, from a first pass over the ratings or else from those added so far.

    `scale`: the scale by which ratings are accepted; no value on it is set aside.
    `found`: the result of a first pass; None without one.

    `values`: (n,) values that stand for a missing rating.
    `is_learning`: whether values are to be added, because there was no first pass.
    """

    def __init__(self, scale: RatingScale, found: Detection | None) -> None:
        self._scale = scale
        self._found = found
        self._tally = ValueTally()
        self._n_judged = 0
        self.values = np.empty(0) if found is None else found.missing_of(scale).values
        self.is_learning = found is None

    def add(self, batch: Float64Array) -> None:
        """Add values before they are read as ratings; from then on `values` may be others."""
        self._tally.add(batch)
        counts = self._tally.counts
        # Judging again only when there are twice as many values costs little.
        if counts.total >= max(1, 2 * self._n_judged):
            self._n_judged = counts.total
            is_accepted = self._scale.contains(counts.values).all()
            self.values = np.empty(0) if is_accepted else detect_scale(counts).missing_of(self._scale).values

    def notes(self, places: Mapping[float, str], *, is_asking: bool) -> list[str]:
        """Return the notes of all values, see `Detection.notes`."""
        if self.is_learning and self._tally.counts.total:
            self._found = detect_scale(self._tally.counts)
        return [] if self._found is None else self._found.notes(self._scale, self.values, places, is_asking=is_asking)
