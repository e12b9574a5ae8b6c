"""Groups of profiles that were made to push an item up or down (shilling), found without labelled examples.

A made profile holds the item to be pushed and fillers: random items, items as popular as any, or bestsellers. Mehta
("Unsupervised shilling detection for collaborative filtering", AAAI 2007; Mehta & Nejdl, User Modeling and User-Adapted
Interaction 19, 2009) finds such profiles with principal components (PCA VarSelect): real users go with the leading
components of taste, and users whose items go together by chance hardly do. This is that idea, for stars and for mere
choices:

1. **Coherence of a profile** (`_Coherence`). The items have vectors of the leading components of the normalised matrix,
   without the mean of items of like popularity. A profile is as coherent as the vectors of its items point the same
   way. The vectors come from the other half of the users, so that no profile confirms itself. Bestsellers are left out:
   all kinds of users hold them, and so do made profiles.
2. **Twins** (`_with_twins`). A copy of each profile, with a random item of like popularity in place of each item, is
   what a made profile looks like. A logistic regression of coherence and size tells real profiles from their twins, and
   gives the log-likelihood ratio of a profile: made against real.
3. **Groups.** A single odd profile harms nothing and is often an honest one. For each item, the profiles that voted for
   it are taken as a mixture of made and real ones, without the item itself. Only where a good share of them is made,
   with more evidence than chance gives among all items, is the item a pushed one and are these profiles flagged.
   Of users who came one after the other, as made ones do, that tells as well.
4. **Copies** (`_copied`). Profiles with hardly anything but the same bestsellers and the pushed item have no fillers
   whose coherence could be judged. They are found as what they are: most of those who chose the item share several more
   popular items, which make up much of their profiles and do not belong together for other users.

Refused: flagging the users with the lowest coherence alone, as in the paper, which takes a number of users to be
flagged and finds as many honest ones where there is no attack; deviations of ratings from the means of items, which do
not exist for choices.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds

from app.algorithms.rating_matrix import RatingMatrix

LEAST_USERS = 200
"""With fewer users, components of taste are not told from chance, and nothing is flagged."""

LEAST_GROUP = 5
"""A group has at least so many profiles."""

LEAST_PROFILE = 3
"""A profile has at least so many items besides bestsellers: without the pushed one, one pair is left to judge."""

N_COMPONENTS = 16
HEAD_SHARE = 0.2
"""The bestsellers that are left out of profiles: the share of all choices that they have."""

SHRINKAGE = 5.0
"""The number of choices that halves the length of an item's vector."""

N_BANDS = 20
LEAST_BAND = 20
"""Bands of items of like popularity: about equal shares of the choices, with at least so many items."""

SURPLUS = float(np.log(100))
"""What the evidence for an item exceeds the logarithm of the number of items by: 1 false item in 100 data sets."""

MOST_EVIDENCE = (-6.0, 3.0)
"""The range of one profile's log-likelihood ratio, so that no single profile decides."""

MOST_MADE, LEAST_MADE = 0.5, 0.2
"""The share of an item's votes that are made, above which it is a pushed one; in the first pass, and in the last one.

What made profiles have in common besides is voted for by many honest users as well, and looks pushed, too, until the
profiles are known.
"""

BURST = 0.1
"""The share of all users within which a group arrived, if its profiles were made at once."""

COPIED_USERS = 0.005
"""The share of all users, at least 10, from which on copies are looked for among those who chose an item."""

LEAST_COPIED_USERS = 10
COPIED_BY = 0.8
"""The share of those who chose the item that must have a shared item."""

LEAST_SHARED = 3
COPIED_SHARE = 0.4
"""The share of half of these profiles, at least, that the shared items and the pushed one make up."""

MOST_LIFT = 5.0
"""Items that other users have together more often than this times what chance gives are a pack, not a disguise."""

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Push:
    """An item that was pushed, and the profiles that were made for it.

    `evidence`: the log-likelihood ratio of the group; for copies, the number of them.
    `is_copies`: found by what the profiles share, not by their coherence.
    """

    item_row: int
    user_rows: Rows
    evidence: float
    is_copies: bool = False


def find_pushes(ratings: RatingMatrix, rng: np.random.Generator) -> list[Push]:
    """The pushed items, those with the most evidence first; a profile is in one group only."""
    chosen = _pattern(ratings.with_positive(0.0).by_user)
    if np.count_nonzero(np.diff(chosen.indptr)) < LEAST_USERS:
        return []
    votes = [_pattern(ratings.liked)]
    if ratings.is_graded and (low := ratings.subset(ratings.values < ratings.low_below)):
        votes.append(_pattern(low.by_user))  # an item may be pushed down as well
    coherence = _Coherence.of(chosen, rng)
    is_made = np.zeros(ratings.n_users, bool)
    pushes: list[Push] = []
    for votes_of_items in (vote.tocsc() for vote in votes):
        for push in chain(
            coherence.pushes(votes_of_items, is_made, MOST_MADE),
            _copied(chosen, votes_of_items, is_made),
            coherence.pushes(votes_of_items, is_made, LEAST_MADE),
        ):
            # Before the next one is looked for: the searches are lazy and leave out what is known.
            is_made[push.user_rows] = True
            pushes.append(push)
    return pushes


def can_be_judged(ratings: RatingMatrix) -> NDArray[np.bool_]:
    """(n_users,) whose profiles are large enough for `find_pushes`; of smaller ones it says nothing."""
    chosen = _pattern(ratings.with_positive(0.0).by_user)
    is_head = _head(np.asarray(chosen.sum(axis=0), np.float64).ravel())
    judged: NDArray[np.bool_] = chosen @ (~is_head).astype(float) >= LEAST_PROFILE
    return judged


def _pattern(matrix: sparse.csr_array) -> sparse.csr_array:
    """1 where there is an entry, whatever its value."""
    return sparse.csr_array((np.ones(len(matrix.data)), matrix.indices, matrix.indptr), shape=matrix.shape)


@dataclass(frozen=True)
class _Coherence:
    """How coherent profiles are, and how that tells made ones.

    `vectors`: (2, n_items, c), of both halves of the users; 0 for bestsellers. `scales`: (2,), the standard deviation
    of v . w for random items. `half`: (n_users,) whose vectors judge a user.
    `sums`: (n_users, c) of a user's items. `pairs`: (n_users,) the sum of v . w over pairs of different items.
    `sizes`: (n_users,) items without bestsellers.
    `weights`: of the logistic regression.
    """

    vectors: Floats
    scales: Floats
    half: Rows
    is_head: NDArray[np.bool_]
    sums: Floats
    pairs: Floats
    sizes: Floats
    weights: Floats

    @classmethod
    def of(cls, chosen: sparse.csr_array, rng: np.random.Generator) -> "_Coherence":
        counts = np.asarray(chosen.sum(axis=0), np.float64).ravel()
        is_head = _head(counts)
        tail = chosen @ sparse.diags_array((~is_head).astype(float))
        tail.eliminate_zeros()
        bands = _bands(np.where(is_head, 0, counts))
        half = rng.integers(2, size=chosen.shape[0])
        vectors = np.stack([_item_vectors(tail[np.flatnonzero(half != side)], bands, is_head, rng) for side in (0, 1)])
        share = np.asarray(tail.sum(axis=0)).ravel() / max(tail.sum(), 1.0)
        # For random items, E (v . w)^2 = tr C^2 with C = sum over items of share v v^T.
        scales = np.array([np.linalg.norm((side * share[:, None]).T @ side) for side in vectors])
        twins = _with_twins(tail, bands, rng)
        own, of_twins = (_summed(profiles, vectors, half) for profiles in (tail, twins))
        examples = [(_standardised(pairs, sizes, scales[half]), sizes) for _, pairs, sizes in (own, of_twins)]
        return cls(vectors, scales, half, is_head, *own, weights=_regression(*examples))

    def pushes(self, votes: sparse.csc_array, is_made: NDArray[np.bool_], least_share: float) -> Iterator[Push]:
        """`votes`: (n_users, n_items). `is_made`: (n_users,) profiles that are known already, updated by the caller."""
        least = np.log(max(votes.shape[1], 1)) + SURPLUS
        found = []
        for item in np.flatnonzero(np.diff(votes.indptr) >= LEAST_GROUP).tolist():
            users = _votes_of(votes, item)
            users = users[~is_made[users]]
            evidence, _ = self._group(item, users, least_share)
            if evidence > least:
                found.append((evidence, item))
        for _, item in sorted(found, reverse=True):
            users = _votes_of(votes, item)
            users = users[~is_made[users]]
            evidence, made = self._group(item, users, least_share)
            if evidence > least:
                yield Push(item, users[made], evidence)

    def _group(self, item: int, users: Rows, least_share: float) -> tuple[float, NDArray[np.bool_]]:
        """The evidence that more than `least_share` of the votes of `users` (m,) for the item are made, and which are.

        No evidence where it is less.
        """
        if len(users) < LEAST_GROUP:
            return 0.0, np.zeros(len(users), bool)
        half = self.half[users]
        pairs, sizes = self.pairs[users], self.sizes[users]
        if not self.is_head[item]:
            # Without the item: sum over pairs - 2 (sum . v - v . v)
            of_item = self.vectors[half, item]
            pairs = pairs - 2 * (np.einsum("uc,uc->u", self.sums[users], of_item) - np.square(of_item).sum(axis=1))
            sizes = sizes - 1
        ratios = np.exp(_log_ratios(_standardised(pairs, sizes, self.scales[half]), sizes, self.weights))
        # Expectation maximisation of the share of made profiles.
        share = 0.5
        for _ in range(20):
            share = float(np.mean(share * ratios / (share * ratios + 1 - share)))
        if share <= least_share:
            return 0.0, np.zeros(len(users), bool)
        evidence = float(np.log(share * ratios + 1 - share).sum())
        # Rows are in order of arrival. Profiles that were made in a row are told from the few honest ones by that.
        first, last = np.quantile(users[ratios > 1], [0.05, 0.95]) if (ratios > 1).any() else (0, len(self.half))
        if last - first <= BURST * len(self.half):
            margin = 0.1 * (last - first)
            return evidence, (users >= first - margin) & (users <= last + margin)
        made = share * ratios > 1 - share
        # One vote stays at least: an item without any is ranked by its features, often far higher.
        made[np.argmin(ratios)] = False
        return evidence, made


def _votes_of(votes: sparse.csc_array, item: int) -> Rows:
    users: Rows = votes.indices[votes.indptr[item] : votes.indptr[item + 1]].astype(np.int64)
    return users


def _head(counts: Floats) -> NDArray[np.bool_]:
    """(n_items,) the items with the most choices, together `HEAD_SHARE` of all."""
    order = np.argsort(-counts, kind="stable")
    is_head = np.zeros(len(counts), bool)
    is_head[order[np.cumsum(counts[order]) <= HEAD_SHARE * counts.sum()]] = True
    return is_head


def _bands(counts: Floats) -> Rows:
    """(n_items,) the band of each item; 0 has the most popular ones."""
    order = np.argsort(-counts, kind="stable")
    wanted = (np.cumsum(counts[order]) / max(counts.sum(), 1.0) * N_BANDS).astype(int)
    bands, band, start = np.empty(len(counts), np.int64), 0, 0
    for place, item in enumerate(order.tolist()):
        if place - start >= LEAST_BAND and wanted[place] > wanted[start]:
            band, start = band + 1, place
        bands[item] = band
    return bands


def _item_vectors(
    chosen: sparse.csr_array, bands: Rows, is_head: NDArray[np.bool_], rng: np.random.Generator
) -> Floats:
    """(n_items, c) the directions of the items in the leading components, shrunk by support."""
    of_users, of_items = (np.asarray(chosen.sum(axis=axis)).ravel() for axis in (1, 0))
    # x_ui = 1 / sqrt(n_u n_i)
    normalised = (
        sparse.diags_array(1 / np.sqrt(np.maximum(of_users, 1)))
        @ chosen
        @ sparse.diags_array(1 / np.sqrt(np.maximum(of_items, 1)))
    )
    n_components = min(N_COMPONENTS + 1, min(chosen.shape) - 1)
    if n_components <= 1:
        return np.zeros((chosen.shape[1], 1))
    start = rng.standard_normal(min(chosen.shape))
    _, strengths, components = svds(normalised, k=n_components, v0=start)
    # The leading component is popularity itself, sqrt(n_i), and would hide the taste of popular items.
    leading = int(np.argmax(strengths))
    vectors = np.delete(components.T * strengths, leading, axis=1)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    vectors *= (of_items / (of_items + SHRINKAGE))[:, None]
    sizes = np.maximum(np.bincount(bands), 1)
    means = np.stack([np.bincount(bands, column) for column in vectors.T], axis=1) / sizes[:, None]
    vectors -= means[bands]
    vectors[is_head] = 0
    return np.asarray(vectors, np.float64)


def _with_twins(chosen: sparse.csr_array, bands: Rows, rng: np.random.Generator) -> sparse.csr_array:
    """`chosen` with a random item of the same band in place of each."""
    order = np.lexsort((rng.random(len(bands)), bands))
    starts = np.searchsorted(bands[order], np.arange(bands.max() + 2))
    band = bands[chosen.indices]
    drawn = order[starts[band] + (rng.random(len(band)) * (starts[band + 1] - starts[band])).astype(np.int64)]
    twins = sparse.csr_array((np.ones(len(drawn)), drawn, chosen.indptr), shape=chosen.shape)
    twins.sum_duplicates()
    return _pattern(twins)


def _summed(profiles: sparse.csr_array, vectors: Floats, half: Rows) -> tuple[Floats, Floats, Floats]:
    """Of each profile: the sum of its vectors, the sum of v . w over pairs, and its size."""
    sums = np.where((half == 0)[:, None], profiles @ vectors[0], profiles @ vectors[1])
    squares = np.square(vectors).sum(axis=2)
    own = np.where(half == 0, profiles @ squares[0], profiles @ squares[1])
    # sum over pairs v . w = |sum|^2 - sum |v|^2
    return sums, np.square(sums).sum(axis=1) - own, np.diff(profiles.indptr).astype(np.float64)


def _standardised(pairs: Floats, sizes: Floats, scales: Floats) -> Floats:
    """(m,) the sum over pairs, in standard deviations of that of random items."""
    deviations = np.sqrt(2 * np.maximum(sizes * (sizes - 1), 0)) * scales
    standardised: Floats = pairs / np.maximum(deviations, 1e-9)
    return standardised


def _columns(coherence: Floats, sizes: Floats) -> Floats:
    # The inverse hyperbolic sine is a logarithm that negative numbers have as well.
    a, b = np.arcsinh(coherence), np.log(np.maximum(sizes, 1))
    return np.stack([np.ones_like(a), a, b, a * b, a * a, b * b], axis=1)


def _regression(real: tuple[Floats, Floats], made: tuple[Floats, Floats]) -> Floats:
    """Logistic regression by Newton's method, with a little regularisation; made profiles are the positive class."""
    columns, labels = [], []
    for label, (coherence, sizes) in enumerate((real, made)):
        can_tell = sizes >= LEAST_PROFILE
        columns.append(_columns(coherence[can_tell], sizes[can_tell]))
        labels.append(np.full(np.count_nonzero(can_tell), float(label)))
    x, y = np.concatenate(columns), np.concatenate(labels)
    weights = np.zeros(x.shape[1])
    for _ in range(25):
        expected = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        curvature = (x * (expected * (1 - expected))[:, None]).T @ x + np.eye(len(weights))
        weights += np.linalg.solve(curvature, x.T @ (y - expected) - weights)
    return weights


def _log_ratios(coherence: Floats, sizes: Floats, weights: Floats) -> Floats:
    """(m,) log p(made) / p(real); 0 where a profile has too few items to tell."""
    ratios = np.clip(_columns(coherence, sizes) @ weights, *MOST_EVIDENCE)
    return np.asarray(np.where(sizes > 1, ratios, 0.0))


def _copied(chosen: sparse.csr_array, votes: sparse.csc_array, is_made: NDArray[np.bool_]) -> Iterator[Push]:
    """Groups of profiles that are mostly the same; arguments as of `_Coherence.pushes`."""
    sizes = np.diff(chosen.indptr)
    counts = np.asarray(chosen.sum(axis=0)).ravel()
    least = max(LEAST_COPIED_USERS, int(COPIED_USERS * np.count_nonzero(sizes)))
    n_votes = np.diff(votes.indptr)
    # The least popular first: what the copies share besides has more votes than the pushed item.
    for item in np.argsort(n_votes, kind="stable").tolist():
        if n_votes[item] < least:
            continue
        users = _votes_of(votes, item)
        users = users[~is_made[users]]
        if len(users) < least:
            continue
        profiles = chosen[users]
        shares = np.bincount(profiles.indices, minlength=chosen.shape[1]) / len(users)
        shared = np.flatnonzero((shares >= COPIED_BY) & (counts > counts[item]))
        if len(shared) < LEAST_SHARED:
            continue
        held = np.asarray(profiles[:, shared].sum(axis=1)).ravel()
        is_copy = (held >= COPIED_BY * len(shared)) & (held + 1 >= COPIED_SHARE * sizes[users])
        if np.count_nonzero(is_copy) >= max(least, len(users) / 2) and not _is_pack(chosen, shared, users):
            yield Push(item, users[is_copy], float(np.count_nonzero(is_copy)), is_copies=True)


def _is_pack(chosen: sparse.csr_array, items: Rows, users: Rows) -> bool:
    """Whether users other than `users` have the items together far more often than by chance."""
    others = np.ones(chosen.shape[0], bool)
    others[users] = False
    columns = chosen[np.flatnonzero(others)][:, items]
    together = (columns.T @ columns).toarray()
    alone = np.diag(together)
    # lift_ij = n_ij N / (n_i n_j)
    lift = together * columns.shape[0] / np.maximum(np.outer(alone, alone), 1)
    return bool(np.median(lift[np.triu_indices(len(items), 1)]) > MOST_LIFT)
