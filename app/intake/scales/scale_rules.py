"""The rules by which values are a rating scale, pairs or amounts, judged by the bulk of the values.

`detect_scale` first takes out values that stand for a missing rating; the rules here see the others.
"""

import numpy as np

from app.entities import RatingScale
from app.intake.scales.value_counts import Float64Array, ValueCounts

STEPPED_SCALES = (RatingScale(1, 5, 1), RatingScale(0.5, 5, 0.5), RatingScale(1, 10, 1))
WIDE_SCALES = (RatingScale(0, 100), RatingScale(-10, 10))
KNOWN_SCALES = (RatingScale(0, 1), *STEPPED_SCALES, *WIDE_SCALES)
"""The scales in common use, narrow before wide, because the first that fits is taken."""

_FINER = {RatingScale(1, 5, 1): RatingScale(0.5, 5, 0.5)}
"""Half stars may be few. What is liked on the finer scale is the same, so it changes nothing for whole stars."""

ENOUGH_EQUAL = 20
"""So many equal values are pairs, whatever the value; fewer may be the first few ratings on a scale."""

ENOUGH_VALUES = 10
"""With fewer values, none is called an outlier."""

MANY_VALUES = 100
"""Of so many ratings some reach the top of their scale, and a single one off the scale is an error."""

OUTLIER_SHARE = 0.001
"""The share of all values that may be outliers. A heavy tail holds more than this."""

LARGEST_GRADE = 100.0
"""No scale in use has higher grades."""

HEAVY_TAIL = 10.0
"""Amounts reach beyond this multiple of their median; the top of a scale is at most a few times the median."""

NEGATIVE_SHARE = 0.05
"""The share of amounts that may be negative, such as refunds, which are rejected; a signed scale has more."""

RARE = 0.01
"""A share of its neighbour's occurrences that no grade of a scale falls below."""


def scale_of(all_values: ValueCounts) -> RatingScale:
    """Return what the values, of which there is at least one, are. The first rule that applies decides.

    1. All values are 1, or at least 20 values are one positive number: pairs.
    2. All values are 0 or 1: binary.
    3. At least 100 whole numbers become ever rarer, and the largest is at most a hundredth as frequent as the smallest:
       amounts, such as quantities. Rare ends are left out as in the last rule.
    4. All are on one of `KNOWN_SCALES`: the narrowest such scale. Of at least 100 values, one in a thousand may lie
       off it, or a single one other than 0, and its top must be reached. A tenth of the values must reach half of the
       maximum of a scale without steps (on the scale 0:100, ratings from 0 to 10 would all be disliked); more than one
       in twenty must be negative for -10:10.
    5. At most one in twenty is negative, and the largest is above 100 or more than 10 times the median of the positive
       ones: amounts.
    6. Stars from the lowest to the highest value. Ends that hold at most one value in a thousand are left out where
       they are at most a hundredth as frequent as the value next to them.

    Every rule leaves out outliers as `without_outliers` does; the fifth only from 100 values on.
    """
    bulk = without_outliers(all_values)
    lowest, highest = float(bulk.values[0]), float(bulk.values[-1])
    if lowest == highest and (lowest == 1 or (lowest > 0 and bulk.counts[0] >= ENOUGH_EQUAL)):
        return RatingScale.parse("pairs")
    if np.isin(bulk.values, (0, 1)).all():
        return RatingScale.parse("binary")
    if _taper(_without_rare_ends(bulk)):
        return RatingScale.parse("amounts")
    known = next((scale for scale in KNOWN_SCALES if _fits(scale, bulk)), None)
    if known is not None:
        finer = _FINER.get(known, known)
        return finer if n_on(finer, bulk) > n_on(known, bulk) else known
    if _are_amounts(bulk if bulk.total >= MANY_VALUES else all_values):
        return RatingScale.parse("amounts")
    return _range_as_scale(_without_rare_ends(bulk).values)


def n_on(scale: RatingScale, counts: ValueCounts) -> int:
    """The number of values on `scale`."""
    return counts.n_of(scale.contains(counts.values))


def n_outliers_at_most(n_values: int) -> int:
    """How many of `n_values` may be outliers at each end: one in a thousand, or one of at least 10."""
    return max(1, int(OUTLIER_SHARE * n_values)) if n_values >= ENOUGH_VALUES else 0


def ends_of_bulk(counts: ValueCounts) -> tuple[int, int]:
    """The places of the lowest and the highest value that are too frequent, with those beyond them, for outliers."""
    n_allowed = n_outliers_at_most(counts.total)
    start = int(np.searchsorted(np.cumsum(counts.counts), n_allowed, side="right"))
    last = len(counts.values) - 1 - int(np.searchsorted(np.cumsum(counts.counts[::-1]), n_allowed, side="right"))
    return start, last


def without_outliers(counts: ValueCounts) -> ValueCounts:
    """Leave out the highest values if they are farther from all others than these are from each other; likewise lowest.

    At each end, one value in a thousand may be left out, or one of at least 10.
    """
    values = counts.values
    # From the ends of the bulk outwards, the first wide gap ends it, so that outliers that are near each other do not
    # pass for a part of it.
    start, last = ends_of_bulk(counts)
    while start > 0 and values[start] - values[start - 1] <= width(values[start : last + 1]):
        start -= 1
    while last < len(values) - 1 and values[last + 1] - values[last] <= width(values[start : last + 1]):
        last += 1
    return ValueCounts(values[start : last + 1], counts.counts[start : last + 1])


def width(values: Float64Array) -> float:
    """From the lowest to the highest, (n,) ascending; where all are equal, their distance from 0 serves as well."""
    return float(values[-1] - values[0]) or abs(float(values[0]))


def _taper(counts: ValueCounts) -> bool:
    """Whether the values are counts of which most are the smallest, as most purchases are of one piece."""
    if counts.total < MANY_VALUES or counts.values[0] < 0 or (counts.values != np.rint(counts.values)).any():
        return False
    return bool((np.diff(counts.counts) < 0).all() and counts.counts[-1] <= RARE * counts.counts[0])


def _fits(scale: RatingScale, bulk: ValueCounts) -> bool:
    has_many = bulk.total >= MANY_VALUES
    n_allowed = n_outliers_at_most(bulk.total) if has_many else 0
    is_off = ~scale.contains(bulk.values)
    # A single 0 may be the lowest grade; another single value off the scale is hardly one.
    n_zeros = bulk.n_of(is_off & (bulk.values == 0))
    if bulk.n_of(is_off) > n_allowed or n_zeros > OUTLIER_SHARE * bulk.total:
        return False
    if scale.minimum < 0 and bulk.n_of(bulk.values < 0) <= NEGATIVE_SHARE * bulk.total:
        return False
    if scale in STEPPED_SCALES:
        return not has_many or bulk.n_of(bulk.values == scale.maximum) > n_allowed
    is_reached = bulk.n_of(np.abs(bulk.values) >= scale.maximum / 2) >= 0.1 * bulk.total
    return is_reached or (scale not in WIDE_SCALES and not has_many)


def _are_amounts(counts: ValueCounts) -> bool:
    positive = counts.only(counts.values > 0)
    if counts.n_of(counts.values < 0) > NEGATIVE_SHARE * counts.total or not positive.total:
        return False
    reached = np.cumsum(positive.counts)
    # The median is the first value at which half of the positive ones are reached.
    median = positive.values[np.searchsorted(reached, reached[-1] / 2)]
    return bool(positive.values[-1] > min(LARGEST_GRADE, HEAVY_TAIL * median))


def _without_rare_ends(bulk: ValueCounts) -> ValueCounts:
    """Leave out what lies beyond the last frequent value at each end, where it is rare beside that value."""
    n_allowed = int(OUTLIER_SHARE * bulk.total)
    start, last = ends_of_bulk(bulk)
    if bulk.n_of(np.arange(len(bulk.values)) < start) > min(n_allowed, RARE * bulk.counts[start]):
        start = 0
    if bulk.n_of(np.arange(len(bulk.values)) > last) > min(n_allowed, RARE * bulk.counts[last]):
        last = len(bulk.values) - 1
    return ValueCounts(bulk.values[start : last + 1], bulk.counts[start : last + 1])


def _range_as_scale(values: Float64Array) -> RatingScale:
    lowest, highest = float(values[0]), float(values[-1])
    if lowest < highest:
        return RatingScale(lowest, highest)
    # A single distinct value gives only one end of the scale; zero serves as the other.
    return RatingScale(min(0.0, lowest), max(0.0, highest))
