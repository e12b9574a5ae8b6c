"""Detects the rating scale of files, and the values that are no ratings on it.

Files write a rating that is missing as a value, such as 0 beside grades from 1 to 10, -1 or 99. Such a value would set
the scale and would be learned as the worst or the best grade, so it is set aside.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from app.entities import RatingScale
from app.intake.scales.scale_rules import (
    ENOUGH_VALUES,
    KNOWN_SCALES,
    MANY_VALUES,
    STEPPED_SCALES,
    ends_of_bulk,
    n_outliers_at_most,
    scale_of,
    width,
    without_outliers,
)
from app.intake.scales.value_counts import Float64Array, ValueCounts

MISSING_SHARE = 0.01
"""A larger share of zeros below a scale may stand for missing ratings."""

MISSING_RATIO = 10
"""Zeros that stand for missing ratings are so many times as frequent as the lowest grade."""

DOUBTFUL_RATIO = 2
"""Zeros that may stand for missing ratings are more than so many times as frequent as the lowest grade."""

ENOUGH_GRADES = 3
"""So many different values are a scale; of fewer, one that is far from the others may be a grade."""

_N_SHOWN = 5
_WATCHED = -1.0
"""Lists of anime and games use it for an item that was consumed and not rated; no scale begins with it but -1:1."""


@dataclass(frozen=True, slots=True)
class Detection:
    """What the values of files are.

    `counts`: all values.
    `scale`: that of all values but `missing` and `outliers`.
    `missing`: values that stand for a missing rating; none of them is on `scale`.
    `outliers`: the other values that are not on `scale`, where it is stars or binary.
    `doubtful`: a value on `scale` that may stand for a missing rating; None where there is none.
    """

    counts: ValueCounts
    scale: RatingScale
    missing: ValueCounts
    outliers: ValueCounts
    doubtful: float | None = None

    def notes(
        self, used: RatingScale, set_aside: Float64Array, places: Mapping[float, str], *, is_asking: bool
    ) -> list[str]:
        """Return what was set aside and what is doubtful, in sentences for the user.

        `used`: the scale by which ratings were accepted, `scale` or a stated one.
        `set_aside`: the values that were taken for missing ratings.
        `places`: outlier to the place of its first row, such as `line 7`; may lack any of them.
        `is_asking`: whether to mention `doubtful`, which is settled where the user stated the scale.
        """
        notes = [self._missing_note(value) for value in set_aside.tolist()]
        if is_asking and self.doubtful is not None:
            notes.append(
                f"{_shown(self.doubtful)} is the value of {self._frequency(self.doubtful)} and was taken for a rating;"
                f" if it stands for a missing one, import into an empty database with --missing {_shown(self.doubtful)}"
            )
        if used == self.scale and len(self.outliers.values):
            notes += _outlier_notes(self.outliers, used, places)
        return notes

    def missing_of(self, used: RatingScale) -> ValueCounts:
        """The part of `missing` that is not on a scale that may be another than the detected one."""
        return self.missing.only(~used.contains(self.missing.values))

    def _missing_note(self, value: float) -> str:
        ends = min(value, self.scale.minimum), max(value, self.scale.maximum)
        # No scale holds both amounts and a negative number.
        keep = f" --scale {':'.join(map(_shown, ends))} keeps these ratings," if self.scale.is_graded else ""
        return (
            f"{_shown(value)} is the value of {self._frequency(value)} and lies off the scale of the others, so it was"
            f" taken for a missing rating and set aside; --missing {_shown(value)} confirms this,{keep} and if the rows"
            " say that an item was used, import them as events"
        )

    def _frequency(self, value: float) -> str:
        n_rows = self.counts.n_of(self.counts.values == value)
        share = f" ({share_text(n_rows / self.counts.total)})" if self.counts.total >= MANY_VALUES else ""
        return f"{n_rows:,} of {self.counts.total:,} rows{share}"


def detect_scale(counts: ValueCounts, *, are_amounts: bool = False) -> Detection:
    """Return what the values, of which there is at least one, are, by their bulk as `scale_of` says.

    The outermost value at each end that is too frequent for an outlier stands for a missing rating if it is not on the
    scale of the others and one of these rules applies; the first applies however rare it is.

    1. It is -1, no other value but outliers is negative, and the largest is at least 3.
    2. It is 0, the others are on one of `STEPPED_SCALES`, there are at least 100 values, and 0 is more than one in a
       hundred, more frequent than any other value and at least 10 times as frequent as the lowest grade.
    3. The others are on one of `STEPPED_SCALES`, it is more than one step away from that scale, and there are at least
       100 values.
    4. It is farther from the others than these are from each other. Of less than 100 values, the others are on one of
       `KNOWN_SCALES`, and all together are not on one of `STEPPED_SCALES`.

    A 0 below one of `STEPPED_SCALES` is doubtful where the others are on that scale and either there are less than 100
    values, or 0 is more than one in a hundred and more than twice as frequent as the lowest grade.

    `are_amounts`: whether the values are known to be amounts, such as quantities, however much they look like grades.
    They are pairs if they are all equal.
    """
    if are_amounts:
        found = scale_of(counts)
        scale = found if found.kind == "pairs" else RatingScale.parse("amounts")
        nothing = counts.only(np.zeros(len(counts.values), np.bool_))
        return Detection(counts, scale, missing=nothing, outliers=nothing)
    rest = counts
    if _is_watched(rest):
        rest = _without(_WATCHED, rest)
    # A value at one end hides the scale by which one at the other end is judged, so the ends are judged in turn.
    while (value := next((end for end in _ends(rest) if _stands_for_missing(end, rest)), None)) is not None:
        rest = _without(value, rest)
    scale = scale_of(rest)
    is_outlier = ~scale.contains(rest.values) & scale.is_graded
    lowest = float(without_outliers(rest).values[0])
    is_doubtful = bool(scale.contains(np.asarray(lowest))) and _is_doubtful(lowest, rest)
    return Detection(
        counts,
        scale,
        missing=counts.only(~np.isin(counts.values, rest.values)),
        outliers=rest.only(is_outlier),
        doubtful=lowest if is_doubtful else None,
    )


def is_own_range(scale: RatingScale) -> bool:
    """Whether a detected scale is the range of the values, which a later rating may exceed."""
    return scale.kind == "stars" and scale not in KNOWN_SCALES


def share_text(share: float) -> str:
    """Format a share as `3.2 %`, with two digits."""
    percent = 100 * share
    return ("100" if percent >= 99.5 else f"{percent:.2g}") + " %"  # noqa: PLR2004  rounded up


def _ends(counts: ValueCounts) -> list[float]:
    """The lowest and the highest value that is too frequent for an outlier."""
    return [float(counts.values[place]) for place in ends_of_bulk(counts)]


def _without(value: float, counts: ValueCounts) -> ValueCounts:
    return counts.only(counts.values != value)


def _is_watched(counts: ValueCounts) -> bool:
    others = _without(_WATCHED, counts)
    if len(others.values) == len(counts.values) or not others.total:
        return False
    lowest, highest = _ends(others)
    return lowest >= 0 and highest >= 3  # noqa: PLR2004  beyond thumbs, which are -1, 0 and 1


def _stands_for_missing(value: float, counts: ValueCounts) -> bool:
    others = _without(value, counts)
    n_rows = counts.total - others.total
    if not others.total or counts.total < ENOUGH_VALUES or n_rows <= n_outliers_at_most(counts.total):
        return False
    scale, bulk = scale_of(others), without_outliers(others)
    if scale.contains(np.asarray(value)) or len(bulk.values) == 1:
        return False
    has_many = counts.total >= MANY_VALUES
    if value == 0 and scale in STEPPED_SCALES:
        n_lowest, n_most = int(bulk.counts[0]), int(bulk.counts.max())
        is_massive = n_rows > MISSING_SHARE * counts.total and n_rows > n_most
        return has_many and is_massive and n_rows >= MISSING_RATIO * n_lowest
    if has_many and scale.step is not None and scale in STEPPED_SCALES:
        return max(scale.minimum - value, value - scale.maximum) > scale.step
    has_grades = len(bulk.values) >= ENOUGH_GRADES
    is_far = max(bulk.values[0] - value, value - bulk.values[-1]) > width(bulk.values)
    if has_many:
        return is_far and (scale.kind == "binary" or (scale.kind == "stars" and has_grades))
    return is_far and has_grades and scale in KNOWN_SCALES and scale_of(counts) not in STEPPED_SCALES


def _is_doubtful(value: float, counts: ValueCounts) -> bool:
    others = _without(value, counts)
    if value != 0 or not others.total or scale_of(others) not in STEPPED_SCALES:
        return False
    n_rows = counts.total - others.total
    n_lowest = int(without_outliers(others).counts[0])
    is_frequent = n_rows > max(MISSING_SHARE * counts.total, DOUBTFUL_RATIO * n_lowest)
    return counts.total < MANY_VALUES or is_frequent


def _shown(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def _outlier_notes(outliers: ValueCounts, scale: RatingScale, places: Mapping[float, str]) -> list[str]:
    """One sentence on the values that are far from the scale, and one on those that are near."""
    distance = np.maximum(scale.minimum - outliers.values, outliers.values - scale.maximum)
    is_far = distance > scale.maximum - scale.minimum
    notes = []
    for part, is_not in (
        (outliers.only(is_far), "far from the others"),
        (outliers.only(~is_far), f"not on the scale {scale} of the others"),
    ):
        if part.total:
            subject = "1 value is" if part.total == 1 else f"{part.total:,} values are"
            were = "was" if part.total == 1 else "were"
            notes.append(f"{subject} {is_not} and {were} set aside: {_listed(part, places)}")
    return notes


def _listed(counts: ValueCounts, places: Mapping[float, str]) -> str:
    shown = []
    for value, n_rows in zip(counts.values[:_N_SHOWN].tolist(), counts.counts.tolist(), strict=False):
        repeated = [f"{n_rows:,} times"] if n_rows > 1 else []
        place = [("first in " if n_rows > 1 else "") + places[value]] if value in places else []
        details = ", ".join([*repeated, *place])
        shown.append(f"{_shown(value)} ({details})" if details else _shown(value))
    n_more = len(counts.values) - len(shown)
    return ", ".join(shown) + (f" and {n_more:,} more" if n_more else "")
