"""The part of the gate that looks for items which new users have lifted over the heads of all others.

What the quarantine and the caps let through shows in the lists of users whom the live snapshot knows: the candidate
ranks an item far higher, and those who chose it are new users, whom no run has judged. A hit rises as well, but
known users choose it, too; how many new ones are expected then is the formula of trends (`app.store.bursts`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from app.algorithms.storage import IN_MEMORY, count_rows
from app.scoring import PublishedScorer
from app.training.bursts import choices_of, most_expected
from app.training.dataset import Dataset
from app.training.errors import SHIFT, SnapshotRejectedError
from app.training.gate import ACCEPT

K = 10
MOST_HITS = 0.05
"""By how much the share of lists of K that hold an item may rise."""

MOST_MOVED = 0.10
"""By how much its mean rank may rise, as a share of the catalogue.

In 9 runs on made-up data (800 users, 500 items) with 2 to 30 % new users, honest items rose by up to 14 % of
the lists and 21 % of the catalogue; of films, by up to 84 % of it. A rise alone tells nothing, but no such item was
unexpected. In 9 pushes by 3 % made users, with the quarantine turned off, one item was, and rose by 25 to 39 %.
"""

SURPLUS = 2.0
"""What new users chose is unexpected above this times the most that is expected: the caps let the most through."""

N_USERS = 300
"""Users that are looked at, evenly among those whom both snapshots know; fewer of a large catalogue."""

LEAST_USERS, N_SCORES = 20, 50_000_000

LEAST_KNOWN = 0.5
"""The share of live's users and items that must be left: otherwise it says little of today."""

ADVICE = (
    "Made-up users may have pushed them: look at who chose them of late. `reckon quarantine list` names the users that "
    f"were found. {ACCEPT}"
)


@dataclass(frozen=True)
class Rise:
    """Of n items that both snapshots have, as (n,) arrays.

    `item_keys`: ascending. `hits`, `moved`: by how much the share of lists and the mean rank rose, see `MOST_HITS`.
    `is_unexpected`: whether new users chose it more than others let one expect.
    """

    item_keys: NDArray[np.int64]
    hits: NDArray[np.float64]
    moved: NDArray[np.float64]
    is_unexpected: NDArray[np.bool_]


def check_shift(candidate: PublishedScorer, live: PublishedScorer, dataset: Dataset) -> str:
    """What was found, a sentence. `dataset`: what the candidate was learned from.

    Raises `SnapshotRejectedError`, with the number of items, if items rose that only new users chose.
    """
    rise = rise_of(candidate, live, dataset)
    if rise is None:
        return "the lists of too few users can be compared with those of the live snapshot"
    is_pushed = rise.is_unexpected & ((rise.hits > MOST_HITS) | (rise.moved > MOST_MOVED))
    if is_pushed.any():
        raise SnapshotRejectedError(
            f"{np.count_nonzero(is_pushed):,} items rose by {rise.hits[is_pushed].max():.0%} of all lists or"
            f" {rise.moved[is_pushed].max():.0%} of the catalogue, chosen by users who are new since"
            f" snapshot {live.version}",
            ADVICE,
            SHIFT,
        )
    n_unexpected = int(np.count_nonzero(rise.is_unexpected))
    return f"no item rose by what new users alone chose; they chose {n_unexpected:,} items more than expected"


def rise_of(candidate: PublishedScorer, live: PublishedScorer, dataset: Dataset) -> Rise | None:
    """None where too few users or items of live are left."""
    keys, of_candidate, of_live = np.intersect1d(
        candidate.arrays.item_keys, live.arrays.item_keys, assume_unique=True, return_indices=True
    )
    user_keys, learned_by_live = candidate.arrays.user_keys, live.arrays.user_keys[live.arrays.user_versions >= 0]
    # The table of a snapshot may hold a share of the users alone.
    rows = np.searchsorted(dataset.data.user_keys, user_keys)
    is_known = (dataset.user_versions >= 0) & ~dataset.data.is_new
    users = np.flatnonzero(is_known[rows] & np.isin(user_keys, learned_by_live))
    n_left = np.count_nonzero(np.isin(live.arrays.user_keys, dataset.data.user_keys))
    is_gone = n_left < LEAST_KNOWN * len(live.arrays.user_keys) or len(keys) < LEAST_KNOWN * live.n_items
    if is_gone or len(users) < LEAST_USERS:
        return None
    n_users = int(np.clip(N_SCORES // max(len(keys), 1), LEAST_USERS, N_USERS))
    judges = users[np.unique(np.linspace(0, len(users) - 1, n_users).astype(int))]
    rows = np.searchsorted(live.arrays.user_keys, candidate.arrays.user_keys[judges])
    now = _Places.of(candidate, judges.tolist(), of_candidate)
    before = _Places.of(live, rows.tolist(), of_live)
    return Rise(
        keys, now.hits - before.hits, before.mean_rank - now.mean_rank, _unexpected(candidate, live, dataset, keys)
    )


def _unexpected(
    candidate: PublishedScorer, live: PublishedScorer, dataset: Dataset, keys: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """(n,) of the items `keys`."""
    ratings = dataset.ratings
    is_new = dataset.data.is_new
    of_all = ratings.item_choice_counts.astype(float)
    if ratings.storage is IN_MEMORY:
        kept = ratings.subset(~is_new[ratings.user_rows])
        if kept.labels is not None:
            kept = kept.with_labels(kept.labels.subset(~is_new[kept.labels.user_rows]))
        known = kept.item_choice_counts.astype(float)
    else:
        rows = ratings.user_rows
        counts = count_rows(ratings.item_rows, ratings.n_items, ratings.storage, lambda span: ~is_new[rows[span]])
        known = counts.astype(float)
    new = of_all - known
    is_unexpected = new > SURPLUS * most_expected(known, new, choices_of(live.arrays, candidate.arrays.item_keys))
    chosen: NDArray[np.bool_] = is_unexpected[np.searchsorted(candidate.arrays.item_keys, keys)]
    return chosen


@dataclass(frozen=True)
class _Places:
    """(n,) of items: the share of lists of K that hold each, and its mean rank as a share of the catalogue."""

    hits: NDArray[np.float64]
    mean_rank: NDArray[np.float64]

    @classmethod
    def of(cls, scorer: PublishedScorer, user_rows: Sequence[int], item_rows: NDArray[np.intp]) -> "_Places":
        all_rows = np.arange(scorer.n_items)
        hits, ranks, n_judged = (np.zeros(len(item_rows)) for _ in range(3))
        for user_row in user_rows:
            scores = scorer.scores(scorer.user_side(user_row), all_rows, scorer.item_vectors)
            rated, _, _ = scorer.arrays.history(user_row)
            positive, _, negative = scorer.arrays.labels(user_row)
            is_known = np.zeros(scorer.n_items, bool)
            is_known[np.concatenate([rated, positive, negative])] = True
            scores[is_known] = -np.inf
            rank = rankdata(-scores)[item_rows]
            judged = ~is_known[item_rows]
            hits += judged & (rank <= K)
            ranks += np.where(judged, rank / scorer.n_items, 0)
            n_judged += judged
        n_judged = np.maximum(n_judged, 1)
        return cls(hits / n_judged, ranks / n_judged)
