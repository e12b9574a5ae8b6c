"""The step of a run that caps what comes in a burst, of one user and for one item. The excess waits.

- **Of a user**: `MOST_AN_HOUR` ratings of each hour are learned from, the first ones. Who rates more is a program.
- **For an item**: what new users add to its trend above what is expected (`app.store.bursts`) is not learned from in
  the run that first sees them. That run judges them, and later ones learn from those who are not in quarantine. A run
  in which more users look made than the quarantine takes judges no user.

Capped ratings are stored, and their users' own lists know them. Ratings without a time are never capped: they come from
files. Ratings from files with their times came in when they say, so an import is no burst. Users whom an operator
released are never capped.
"""

from dataclasses import replace

import numpy as np
import structlog
from numpy.typing import NDArray

from app.algorithms.progress import Stage
from app.entities import UNKNOWN_TIME
from app.store.store import Store
from app.store.trends import HALF_LIFE
from app.training.dataset import Dataset

MOST_AN_HOUR = 1_000
"""The busiest of 610 users of MovieLens (ml-latest-small) rated 574 films within an hour, and 392 within a minute."""

HOUR = 3_600_000_000
"""Microseconds."""

log = structlog.get_logger()

Rows = NDArray[np.integer]
Times = NDArray[np.int64]


def cap_bursts(dataset: Dataset, store: Store, stage: Stage) -> Dataset:
    """`dataset`, to be learned without what exceeds the caps."""
    ratings, labels, keys = dataset.ratings, dataset.ratings.labels, dataset.data.user_keys
    bursts, released = store.trends.bursts(), np.isin(keys, store.quarantine.released())
    is_new = (keys > bursts.judged) & ~released
    dataset = replace(dataset, judged=bursts.judged)
    # The share of what new users did that counts.
    counted = np.ones(ratings.n_items)
    is_known = np.isin(bursts.item_key, dataset.data.item_keys)
    counted[np.searchsorted(dataset.data.item_keys, bursts.item_key[is_known])] = bursts.counted[is_known]
    parts = [(ratings.user_rows, ratings.item_rows, ratings.times)]
    if labels is not None:
        parts.append((labels.user_rows, labels.item_rows, labels.last_at))
    users, items, times = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    of_user = _over_the_hour(users, times) & ~released[users]
    of_item = np.zeros(len(users), bool)
    concerned = np.flatnonzero(is_new[users] & (counted[items] < 1) & (times != UNKNOWN_TIME))
    of_item[concerned] = _newest(items[concerned], times[concerned], 1 - counted)
    capped = of_user | of_item
    stage.note(n_capped=int(np.count_nonzero(capped)))
    if not capped.any():
        return dataset
    n_users, n_items = len(np.unique(users[of_user])), len(np.unique(items[of_item]))
    found = (
        f"bursts: {np.count_nonzero(capped):,} ratings and events are not learned from: {np.count_nonzero(of_user):,}"
        f" of {n_users:,} users with more than {MOST_AN_HOUR:,} an hour, and {np.count_nonzero(of_item):,} of new users"
        f" for {n_items:,} items"
    )
    stage.decide(found)
    # A decision is logged as information, which an operator may not read.
    log.warning("ratings came in bursts", n_capped=int(np.count_nonzero(capped)), n_users=n_users, n_items=n_items)
    return dataset.capped(capped[: len(ratings)], capped[len(ratings) :], found)


def _over_the_hour(users: Rows, times: Times) -> NDArray[np.bool_]:
    """(n,) those of a user that come after the first `MOST_AN_HOUR` of an hour."""
    is_over = np.zeros(len(users), bool)
    timed = np.flatnonzero(times != UNKNOWN_TIME)
    order = timed[np.lexsort((times[timed], users[timed]))]
    hours = times[order] // HOUR
    is_first = np.ones(len(order), bool)
    is_first[1:] = (np.diff(users[order]) != 0) | (np.diff(hours) != 0)
    starts = np.flatnonzero(is_first)
    place = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    is_over[order] = place >= MOST_AN_HOUR
    return is_over


def _newest(items: Rows, times: Times, share: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) the newest of each item, which make up `share` (n_items,) of its sum, decayed as in trends."""
    is_one = np.zeros(len(items), bool)
    if not len(items):
        return is_one
    order = np.lexsort((-times, items))
    weights = np.exp2((times[order] - times.max()) / HALF_LIFE)
    is_first = np.diff(items[order], prepend=-1) != 0
    starts = np.flatnonzero(is_first)
    # Sums up to and with each one, of its item.
    sums = np.cumsum(weights)
    group = np.cumsum(is_first) - 1
    so_far = sums - (sums[starts] - weights[starts])[group]
    totals = np.add.reduceat(weights, starts)[group]
    is_one[order] = so_far <= share[items[order]] * totals
    return is_one
