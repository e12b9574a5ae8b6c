"""Profiles made to push an item: how much nearer it comes to honest users, and how many of them are taken for made.

Each attack adds 3 % of the number of users, in one of three ways, to push an item drawn among the less popular ones.
The snapshots learned with and without the attack, of one seed, are compared over honest users who have not chosen the
item. Made users arrive among the honest ones, and in every second round after them. Large data are those beside the
repository, with the default recipe; small ones are made up.

Then a push comes within a minute, after a run, and another one by users who say that it was a month ago: the caps keep
both out of trends and of the next snapshots. Last, a push comes by many users at once, or in two waves: what is
published does not show the item to more honest users, or the gate refuses it. None that grew honestly is refused.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.algorithms.rating_matrix import RatingMatrix
from app.entities import UNKNOWN_TIME, IncomingRatings, RatingScale
from app.scoring import PublishedScorer
from app.training.errors import SnapshotRejectedError
from faults.trial import Figure, Trial
from tests.support.published import Shop, known_rows, opened_shop, scores_of
from tests.support.shilling import KINDS, attack, honest, with_attack

SHARE = 0.03
N_JUDGES = 1_000
"""Honest users whose lists are looked at, at most."""

K = 10
MOST_HITS, MOST_RISEN, MOST_HONEST = 0.01, 0.05, 0.01

N_BURST = 300
"""Likes of new users within a minute."""

MOST_LEARNED = 5
MONTH = 30 * 86_400_000_000
"""Microseconds."""

WAVES = ((0.12,), (0.03, 0.04))
"""The shares of made users that come one after the other; both are more than the quarantine takes of judged users."""

DATA = Path(__file__).parents[2] / "shared" / "data"
QUICK: dict[str, Any] = {
    "segments": [
        {"name": "rating", "algorithm": "biases"},
        {"name": "taste", "algorithm": "als_implicit"},
        {"name": "popularity", "algorithm": "popularity"},
    ]
}


@dataclass(frozen=True)
class Source:
    name: str
    ratings: RatingMatrix
    scale: RatingScale
    recipe: dict[str, Any] | None


@dataclass(frozen=True)
class Learned:
    """Of a snapshot: `scores` (n_judges, n_items) of all items for the judges, -inf where they know the item, and the
    rows of the users in quarantine.
    """

    scores: NDArray[np.float32]
    quarantined: frozenset[int]

    def places(self, item: int) -> NDArray[np.int64]:
        """The place of an item in the lists of those who do not know it, counted from 0."""
        judged = self.scores[np.isfinite(self.scores[:, item])]
        return np.asarray(np.count_nonzero(judged > judged[:, [item]], axis=1))


def run(trial: Trial) -> Iterator[Figure]:
    for source in _sources(trial):
        n_users, n_items = source.ratings.n_users, source.ratings.n_items
        judges = np.sort(np.random.default_rng(trial.seed).permutation(n_users)[:N_JUDGES])
        # In both orders of arrival, since what is learned depends on it: the rank of a less popular item moves by some
        # per cent of the catalogue, and by a tenth if only one or two users have chosen it.
        n_made = attack(source.ratings, KINDS[0], SHARE, np.random.default_rng(trial.seed)).n_users
        arrivals = None, np.random.default_rng(trial.seed).permutation(n_users + n_made)
        clean = [_learned(trial, source, source.ratings, judges, arrival) for arrival in arrivals]
        hits, rises, taken = [], [], [len(each.quarantined) / n_users for each in clean]
        caught = []
        for seed in range(trial.times(test=1, short=1, long=2)):
            for kind in KINDS[:1] if trial.size == "test" else KINDS:
                made = attack(source.ratings, kind, SHARE, np.random.default_rng([trial.seed, seed, KINDS.index(kind)]))
                order = (seed + 1) % 2
                poisoned = _learned(trial, source, with_attack(source.ratings, made), judges, arrivals[order])
                before, after = clean[order].places(made.target), poisoned.places(made.target)
                hits.append(float(np.mean(after < K) - np.mean(before < K)))
                # What a push is for: nearer than in either order without it. An item that falls is no gain for anybody.
                rises.append(float((min(each.places(made.target).mean() for each in clean) - after.mean()) / n_items))
                of_made = sum(user >= n_users for user in poisoned.quarantined)
                taken.append((len(poisoned.quarantined) - of_made) / n_users)
                caught.append(of_made / made.n_users)
        of = f"{source.name}, the worst of {len(hits)} pushes by {SHARE:.0%} made profiles"
        yield Figure(f"{of}: hit rate@10", f"+{MOST_HITS:.0%}", f"{max(hits):+.2%}", max(hits) <= MOST_HITS)
        seen = f"{max(rises):+.2%} of {n_items:,}"
        yield Figure(f"{of}: rise of the mean rank", f"+{MOST_RISEN:.0%}", seen, max(rises) <= MOST_RISEN)
        seen = f"{max(taken):.2%}; of made ones {min(caught):.0%} or more"
        yield Figure(f"{of}: honest users in quarantine", f"{MOST_HONEST:.0%}", seen, max(taken) <= MOST_HONEST)

    yield from _bursts(trial)
    yield from _shifts(trial)


def _bursts(trial: Trial) -> Iterator[Figure]:
    """A push by likes of new users within a minute, and a hit that known users like as well."""
    ratings, now = honest(150, 100, seed=trial.seed), time.time_ns() // 1_000
    target, hit = "pushed", "hit"
    with opened_shop(trial.fresh_folder("shop"), _incoming(ratings, at=now), RatingScale.parse("pairs")) as shop:
        shop.train(QUICK)
        n_late = 1_000 + N_BURST
        for item, users, at in (
            (target, range(1_000, n_late), now),
            ("back-dated", range(n_late, n_late + N_BURST), now - MONTH),
            (hit, range(0, ratings.n_users, 2), now),
        ):
            # As the API records them.
            shop.store.ratings.record(_likes(item, users, at), untimed_at=np.full(len(users), now))
        keys, _ = shop.store.trends.top_trending()
        ids = shop.store.items.ids_of(keys.tolist())
        order = [ids[key] for key in keys.tolist()]
        seen = f"{order.index(target) + 1} of {len(order)}, by {N_BURST} new users"
        yield Figure("place of a pushed item in trends", f"below {K}", seen, order.index(target) >= K)
        for run in ("next run", "run after it"):
            snapshot = shop.train(QUICK)
            learned_keys, counts = snapshot.arrays.item_keys.tolist(), snapshot.arrays.item_counts.tolist()
            n_learned = {ids[key]: n for key, n in zip(learned_keys, counts, strict=True)}
            for item in (target, "back-dated"):
                seen = f"{n_learned[item]} of {N_BURST}"
                name = f"ratings of a {item} item learned from by the {run}"
                yield Figure(name, f"{MOST_LEARNED}", seen, n_learned[item] <= MOST_LEARNED)
        n_known = len(range(0, ratings.n_users, 2))
        seen = f"{n_learned[hit]} of {n_known}"
        yield Figure("ratings of a hit learned from", "all", seen, n_learned[hit] == n_known)


def _shifts(trial: Trial) -> Iterator[Figure]:
    """Pushes by many users, in one wave or two, and honest growth by a tenth of the users."""
    n = trial.times(test=1, short=1, long=20)
    kept_out, published = 0, 0
    for seed in range(n):
        for waves in WAVES:
            ratings = honest(600, 500, n_each=40, seed=trial.seed + seed)
            earlier = ratings.subset(ratings.user_rows < 540)
            with opened_shop(trial.fresh_folder("shop"), _incoming(earlier), RatingScale.parse("pairs")) as shop:
                shop.train(QUICK)
                shop.store.ratings.record(_incoming(ratings))
                published += _publishes(shop)
                before = shop.live()
                targets, all_ratings, is_refused = [], ratings, False
                for wave, share in enumerate(waves):
                    kind = KINDS[(seed + wave) % len(KINDS)]
                    made = attack(all_ratings, kind, share, np.random.default_rng([trial.seed, seed, wave]))
                    all_ratings = with_attack(all_ratings, made)
                    targets.append(made.target)
                    shop.store.ratings.record(_incoming(all_ratings))
                    is_refused |= not _publishes(shop)
                rises = [_hit_rate(shop, shop.live(), item) - _hit_rate(shop, before, item) for item in targets]
            kept_out += is_refused or max(rises) <= MOST_HITS
    n_pushes = n * len(WAVES)
    what = "pushes by 12 %, or by 3 % and 4 %, made profiles refused, or hit rate@10 +1 % at most"
    yield Figure(what, "all", f"{kept_out} of {n_pushes}", kept_out == n_pushes)
    seen = f"{n_pushes - published} of {n_pushes}"
    yield Figure("snapshots that grew honestly refused", "0", seen, published == n_pushes)


def _hit_rate(shop: Shop, snapshot: PublishedScorer, item: int) -> float:
    """The share of the first 540 users, without those who know the item, whose list of K holds it."""
    names = shop.store.items.ids_of(snapshot.arrays.item_keys.tolist())
    row = [names[key] for key in snapshot.arrays.item_keys.tolist()].index(str(item))
    is_hit = []
    for user_row in range(540):
        scores = scores_of(snapshot, user_row)
        scores[known_rows(snapshot, user_row)] = -np.inf
        if np.isfinite(scores[row]):
            is_hit.append(np.count_nonzero(scores > scores[row]) < K)
    return float(np.mean(is_hit))


def _publishes(shop: Shop) -> bool:
    try:
        shop.train(QUICK)
    except SnapshotRejectedError:
        return False
    return True


def _likes(item: str, users: range, at: int) -> IncomingRatings:
    n = len(users)
    return IncomingRatings([str(user) for user in users], [item] * n, np.ones(n), np.full(n, at))


def _sources(trial: Trial) -> Iterator[Source]:
    """Made-up data and, of size `long`, films and games."""
    n_users, n_items = (600, 500) if trial.size == "test" else (800, 500)
    pairs, stars = RatingScale.parse("pairs"), RatingScale.parse("1:5:1")
    yield Source("made-up choices", honest(n_users, n_items, n_each=40, seed=trial.seed), pairs, QUICK)
    if trial.size != "test":
        yield Source(
            "made-up stars", honest(n_users, n_items, n_each=40, seed=trial.seed, is_graded=True), stars, QUICK
        )
    if trial.size == "long":
        films = np.genfromtxt(DATA / "ml-latest-small" / "ratings.csv", delimiter=",", skip_header=1)
        yield Source("films", _matrix(films[:, 0], films[:, 1], films[:, 2]), RatingScale.parse("0.5:5:0.5"), None)
        games = np.unique(np.genfromtxt(DATA / "steam" / "game_purchase.dat", skip_header=1, usecols=(0, 1)), axis=0)
        yield Source("games", _matrix(games[:, 0], games[:, 1], None), pairs, None)


def _matrix(users: NDArray[np.float64], items: NDArray[np.float64], values: NDArray[np.float64] | None) -> RatingMatrix:
    user_rows, item_rows = (np.unique(keys, return_inverse=True)[1] for keys in (users, items))
    return RatingMatrix(
        int(user_rows.max()) + 1,
        int(item_rows.max()) + 1,
        user_rows,
        item_rows,
        np.ones(len(user_rows)) if values is None else values,
        is_graded=values is not None,
    )


def _learned(
    trial: Trial,
    source: Source,
    ratings: RatingMatrix,
    judges: NDArray[np.int64],
    arrival: NDArray[np.int64] | None,
) -> Learned:
    """`arrival`: as for `_incoming`."""
    with opened_shop(trial.fresh_folder("shop"), _incoming(ratings, arrival), source.scale) as shop:
        snapshot = shop.train(source.recipe)
        quarantined = frozenset(int(each.user_id) for each in shop.store.quarantine.entries(ratings.n_users))
        user_ids = shop.store.users.ids_of(snapshot.arrays.user_keys.tolist())
        item_ids = shop.store.items.ids_of(snapshot.arrays.item_keys.tolist())
    # Rows of the snapshot are in the order of arrival.
    rows_of_users = {int(user_ids[key]): row for row, key in enumerate(snapshot.arrays.user_keys.tolist())}
    items = [int(item_ids[key]) for key in snapshot.arrays.item_keys.tolist()]
    scores = np.full((len(judges), ratings.n_items), -np.inf, np.float32)
    for place, judge in enumerate(judges.tolist()):
        row = rows_of_users[judge]
        of_items = scores_of(snapshot, row)
        of_items[known_rows(snapshot, row)] = -np.inf
        scores[place, items] = of_items
    return Learned(scores, quarantined)


def _incoming(
    ratings: RatingMatrix, arrival: NDArray[np.int64] | None = None, at: int = int(UNKNOWN_TIME)
) -> IncomingRatings:
    """`arrival`: (at least n_users,), the place of each user among all who arrive; None: that of the row."""
    if arrival is not None:
        ratings = ratings.subset(np.argsort(arrival[ratings.user_rows], kind="stable"))
    users, items = ([str(row) for row in rows.tolist()] for rows in (ratings.user_rows, ratings.item_rows))
    # Films have half stars; no time is known.
    return IncomingRatings(users, items, ratings.values.astype(np.float64), np.full(len(users), at))
