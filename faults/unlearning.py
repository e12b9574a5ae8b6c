"""Nothing that is published depends on an erased user: the arrays are those of data that never held one.

And of alternating least squares: going on from the current factors, without the erased ratings, comes as close to the
solution learned from scratch as another random start does (Xu et al., "Netflix and Forget", arXiv 2302.06676).
Training here starts from scratch in any case, so that nothing of the erased can stay.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.algorithms.als import Alternation
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.entities import IncomingRatings, Item, User
from app.snapshots.manifest import MANIFEST_FILE, read_manifest
from app.store import Store, migrate
from faults.trial import Figure, Trial
from tests.support.trained import N_RATED, train
from tests.support.user_states import tasteful_ratings

QUICK: dict[str, Any] = {
    "segments": [{"name": "rating", "algorithm": "biases"}, {"name": "popularity", "algorithm": "popularity"}]
}
KEYS = {"user_keys.npy"}
"""The one file that may differ: a user who came after an erased one has a higher key."""

N_USERS, N_ITEMS, N_FACTORS = 200, 120, 4
ALTERNATIONS = (0, 1, 2, 5, 10, 20, 50, 100, 200)
NEAR = 1.05
"""A distance this much above that between two random starts counts as no further away."""


def run(trial: Trial) -> Iterator[Figure]:
    yield _published(trial)
    yield _continued(trial, trial.times(test=50, short=200, long=200))


def _published(trial: Trial) -> Figure:
    """Trains twice with the same seed: on data without some users, and after erasing them."""
    ratings = tasteful_ratings()
    erased = set(trial.choose.sample(sorted(set(ratings.user_id)), 12))
    recipe = QUICK if trial.size == "test" else None
    kept = np.array([user_id not in erased for user_id in ratings.user_id])
    never = _digests(trial.fresh_folder("never"), _part(ratings, kept), set(), recipe)
    after = _digests(trial.fresh_folder("erased"), ratings, erased, recipe)
    differing = {name for name in never.keys() | after.keys() if never.get(name) != after.get(name)}
    seen = f"{len(differing)} of {len(never)} files differ{': ' if differing else ''}{', '.join(sorted(differing))}"
    what = f"files of a snapshot after erasing {len(erased)} of 120 users, against one that never knew them"
    return Figure(what, "equal bytes, but for keys", seen, is_reached=differing <= KEYS)


def _digests(folder: Path, ratings: IncomingRatings, erased: set[str], recipe: dict[str, Any] | None) -> dict[str, str]:
    migrate("", folder)
    store = Store.open("", folder)
    try:
        store.items.record([Item(f"item-{n}", title=f"Item {n}", categories=("all",)) for n in range(N_RATED)])
        store.users.record([User(each, "FI") for each in dict.fromkeys(ratings.user_id)])
        store.ratings.record(ratings)
        for user_id in erased:
            store.users.delete(user_id)
        entry = store.snapshots.get(train(store, folder, recipe=recipe))
    finally:
        store.close()
    files = read_manifest((folder / entry.path / MANIFEST_FILE).read_bytes()).files
    return {name: digest.sha256 for name, digest in files.items()}


def _part(ratings: IncomingRatings, kept: NDArray[np.bool_]) -> IncomingRatings:
    rows = np.flatnonzero(kept).tolist()
    ids = ([ratings.user_id[row] for row in rows], [ratings.item_id[row] for row in rows])
    return IncomingRatings(*ids, ratings.value[kept], ratings.rated_at[kept])


def _continued(trial: Trial, n_alternations: int) -> Figure:
    rng = np.random.default_rng(trial.seed)
    everything = _made_up(rng)
    erased = rng.choice(N_USERS, N_USERS // 10, replace=False)
    rest = everything.subset(~np.isin(everything.user_rows, erased))
    others = np.setdiff1d(np.arange(N_USERS), erased)
    known, without = Alternation(everything, 1), Alternation(rest, 1)
    current = _alternated(known, _start(rng), n_alternations)
    retrained = _alternated(without, _start(rng), n_alternations)
    floor = _distance(_alternated(without, _start(rng), n_alternations), retrained, others)
    distances = {}
    for n in range(n_alternations + 1):
        if n in ALTERNATIONS:
            distances[n] = _distance(current, retrained, others)
        current = without.step(current)
    seen = ", ".join(f"{n}: {distance:.2%}" for n, distance in distances.items())
    last = next(reversed(distances.values()))
    what = "ALS without 10 % of the users: distance of the predictions to those learned from scratch, by alternations"
    # Two random starts may end at the very same place: then a thousandth is near.
    reach = max(NEAR * floor, 0.001)
    return Figure(what, f"<= {reach:.2%} (two random starts: {floor:.2%})", seen, is_reached=last <= reach)


def _made_up(rng: np.random.Generator) -> RatingMatrix:
    """A third of a table of rank 4 with noise, standardised."""
    table = rng.standard_normal((N_USERS, N_FACTORS)) @ rng.standard_normal((N_FACTORS, N_ITEMS))
    table += 0.5 * rng.standard_normal(table.shape)
    user_rows, item_rows = np.nonzero(rng.random(table.shape) < 1 / 3)
    values = (table[user_rows, item_rows] / table.std()).astype(np.float32)
    return RatingMatrix(N_USERS, N_ITEMS, user_rows.astype(np.int32), item_rows.astype(np.int32), values)


def _start(rng: np.random.Generator) -> RatingVectors:
    return RatingVectors(
        mean=0.0,
        user_biases=np.zeros(N_USERS, np.float32),
        item_biases=np.zeros(N_ITEMS, np.float32),
        user_factors=np.zeros((N_USERS, N_FACTORS), np.float32),
        item_factors=0.1 * rng.standard_normal((N_ITEMS, N_FACTORS), np.float32),
        regularization=0.02,
    )


def _alternated(alternation: Alternation, vectors: RatingVectors, n: int) -> RatingVectors:
    for _ in range(n):
        vectors = alternation.step(vectors)
    return vectors


def _distance(one: RatingVectors, other: RatingVectors, users: NDArray[np.intp]) -> float:
    """|A - B| / |B| of the predictions for these users: factors themselves may be rotated."""
    a, b = (_predictions(each, users) for each in (one, other))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def _predictions(vectors: RatingVectors, users: NDArray[np.intp]) -> NDArray[np.float64]:
    factors = vectors.user_factors[users].astype(np.float64) @ vectors.item_factors.T
    return factors + vectors.user_biases[users, None] + vectors.item_biases[None, :]
