"""How much the signals of new users may add to the trend of an item.

A *new* user is one whom no training run has judged yet, see `app.training.quarantine`: one who came after the last run
that published, or whose profile was too small to be judged. Made profiles are new users who come for one item. Most
items get about the same share of their signals from new users, so what known users did with an item tells what to
expect of the new ones:

    expected = known  p / (1 - p),    p: the median share of new users, among the items with the highest scores
    most = (sqrt(expected) + Z / 2)^2

That is the upper limit of a control chart of counts (Shewhart 1931). The square root of a Poisson count has a standard
deviation of about 1/2 whatever its mean (Anscombe, Biometrika 35, 1948), so the limit holds for small counts as well.
What exceeds it waits until a run has judged the users. A real hit is chosen by known users, too, and is not held back.

Refused: a limit by what the item had before, since every new item would begin with none; a fixed number, which is too
high for one service and too low for another.
"""

import numpy as np

from app.store.dialect import ValueArray

Z = 4.0
"""Standard deviations: of 30,000 items, one exceeds the limit by chance. Without known users, 4 signals count."""

N_TYPICAL = 100
"""Items with the highest scores, of which the median share of new users is taken. It moves only if half are pushed."""


def most_of_new(total: ValueArray, new: ValueArray, now: float) -> ValueArray:
    """(n,) the highest sums of signals of new users that count; infinite where there is nothing to compare with.

    All sums are log2 (n,): `total` of all users, highest first, `new` of new users alone, -inf for none; `now`: of one
    signal of weight 1 now.
    """
    share = np.exp2(np.minimum(new - total, 0.0))
    typical = float(np.median(share[:N_TYPICAL])) if len(share) else 1.0
    if typical >= 1:
        return np.full(len(total), np.inf)
    with np.errstate(divide="ignore"):
        expected = total + np.log2(1 - share) + np.log2(typical / (1 - typical))
    # (sqrt(expected) + Z / 2)^2, counted in signals of now
    most: ValueArray = 2 * np.logaddexp2((expected - now) / 2, np.log2(Z / 2)) + now
    return most
