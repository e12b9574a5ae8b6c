"""The last check before publication: what was fitted on everything must know what it was fitted on.

The gate measures a recipe on a hold-out, fitted on the other ratings. What is published is that recipe fitted again on
everything, assembled, written and opened. No ratings are left to measure its quality by, and none is measured here. But
vectors that were mixed up, lost or spoilt on that way no longer rank what their users chose above the rest.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from app.scoring import PublishedScorer, UserSide
from app.scoring.sides import item_moments
from app.segments.popularity import POPULARITY
from app.segments.registry import SEGMENTS
from app.training.errors import SnapshotRejectedError
from app.training.measure import RecipeReport
from app.training.validation_split import RMSE

N_USERS = 200
"""Users that are looked at, evenly among all: enough for a mean, and little beside a run."""

LEAST_USERS = 10
"""With fewer, chance decides."""

MOST_WORSE = 1.05
"""Of the error of the list for unknown users: what personal lists may reach. They are far below where taste tells users
apart, and hardly where the recipe gives popularity nearly all of the weight.
"""

LEAST_SPOKEN_FOR = 0.5
"""The share of users for whom a segment with a weight has a vector."""

MOMENTS_TOLERANCE = 1e-3
"""Relative to the largest entry of the covariance."""

RMSE_MARGIN = 1.1
"""Ratings that were fitted are predicted better than those held out; by chance, on few users, hardly worse."""

MOST_EMPTY = 0.1
"""The share of the chosen items that may have no vector."""

MOST_SHARED = 2
"""The width up to which a segment may have the same vector for all users."""

AGAIN = "Train again. If it happens again, this is a defect of the learner or of the machine: report it with the log."


def check_refit(scorer: PublishedScorer, report: RecipeReport, item_keys: NDArray[np.int64]) -> str:
    """What was found, a sentence. `report`: of the recipe on the hold-out. `item_keys`: of the data.

    Raises `SnapshotRejectedError` unless every item is there and has a vector, users have vectors, the users' own lists
    rank what they chose no worse than the list for unknown users does, and ratings are predicted no worse than those
    held out. How good the list for unknown users is proves nothing: chance orders data without taste.

    The dense segments are judged by themselves as well: beside a table, which is read from the history, spoilt vectors
    would hardly show. A table is judged beside them alone, since by itself it says little of users with one choice, and
    one of what comes next is not judged at all, since that need not be what came before.
    """
    _check_vectors(scorer, item_keys)
    arrays = scorer.arrays
    dense, own, unknown, squares = [], [], [], []
    rows = np.arange(scorer.n_items)
    by_unknown = _dense_scores(scorer, scorer.unknown_side)
    for user_row in np.unique(np.linspace(0, len(arrays.user_keys) - 1, N_USERS).astype(int)).tolist():
        rated, values, _ = arrays.history(user_row)
        positive, _, negative = arrays.labels(user_row)
        is_liked = values >= scorer.liked_from
        liked, others = np.concatenate([rated[is_liked], positive]), np.concatenate([rated[~is_liked], negative])
        if not len(others):
            # Of a user who likes everything that is known of, the rest are the others: less telling, as liked ones that
            # the user has not met are among them.
            others = np.setdiff1d(np.arange(scorer.n_items), liked)
        if not len(liked) or not len(others):
            continue
        side = _without_next(scorer.user_side(user_row))
        dense.append(_error(_dense_scores(scorer, side), liked, others))
        own.append(_error(scorer.scores(side, rows, scorer.item_vectors), liked, others))
        unknown.append(_error(by_unknown, liked, others))
        if scorer.rating is not None:
            squares.extend(np.square(scorer.predict(side, scorer.item_vectors[rated]) - values).tolist())
    if len(own) < LEAST_USERS:
        return "too few users to check what was fitted on everything"
    error_unknown = float(np.mean(unknown))
    personal = [
        entry
        for entry in scorer.manifest.segments
        if entry.weight > 0 and entry.name != POPULARITY and SEGMENTS[entry.name].ranks_what_was_chosen
    ]
    said = ""
    for name, errors, is_judged in (
        ("vectors", dense, any(entry.columns is not None for entry in personal)),
        ("lists", own, bool(personal)),
    ):
        error = float(np.mean(errors))
        said = f"{name} misplace {error:.1%} of what users chose before, the list of unknown users {error_unknown:.1%}"
        # Negated, so that a NaN fails.
        if is_judged and not error <= MOST_WORSE * error_unknown:
            raise SnapshotRejectedError(said, AGAIN)
    _check_ratings(squares, report.snapshot.values.get(RMSE))
    return said


def _check_vectors(scorer: PublishedScorer, item_keys: NDArray[np.int64]) -> None:
    """Raises `SnapshotRejectedError` unless all items are there, and items and users have vectors of their own."""
    arrays = scorer.arrays
    if not np.array_equal(arrays.item_keys, item_keys):
        raise SnapshotRejectedError("the snapshot does not hold the items of the data", AGAIN)
    is_chosen = arrays.item_counts > 0
    n_empty = int(np.count_nonzero(~arrays.item_vectors[is_chosen].any(axis=1)))
    if n_empty > MOST_EMPTY * np.count_nonzero(is_chosen):
        raise SnapshotRejectedError(f"{n_empty} chosen items have no vector", AGAIN)
    # The user side is weighed by these moments, so that another scale of the items would weigh the segments otherwise.
    mean, covariance = item_moments(arrays.item_vectors, is_chosen)
    largest = float(np.abs(arrays.item_covariance).max(initial=0.0))
    differs = [
        not np.allclose(measured, noted, rtol=0.0, atol=MOMENTS_TOLERANCE * scale)
        for measured, noted, scale in (
            (mean, arrays.item_mean, np.sqrt(largest)),
            (covariance, arrays.item_covariance, largest),
        )
    ]
    if any(differs):
        raise SnapshotRejectedError("the vectors of the items are not those that the users' were weighed by", AGAIN)
    for entry in scorer.manifest.segments:
        if entry.columns is not None and entry.weight > 0:
            # Of users in quarantine, or whose ratings wait, nothing was learned: their versions are negative.
            of_users = scorer.user_vectors[arrays.user_versions >= 0, entry.slice]
            n_spoken_for = int(np.count_nonzero(of_users.any(axis=1)))
            if n_spoken_for < LEAST_SPOKEN_FOR * len(of_users):
                raise SnapshotRejectedError(f"only {n_spoken_for} users have a vector of {entry.name}", AGAIN)
            # A narrow segment, such as popularity or biases, may say the same of all users.
            if len(of_users) > 1 and of_users.shape[1] > MOST_SHARED and not np.ptp(of_users, axis=0).any():
                raise SnapshotRejectedError(f"all users have the same vector of {entry.name}", AGAIN)


def _check_ratings(squares: Sequence[float], held_out: float | None) -> None:
    """`squares`: of the errors of fitted ratings. Raises `SnapshotRejectedError`."""
    rmse = float(np.sqrt(np.mean(squares))) if squares else 0.0
    if held_out is not None and not rmse <= RMSE_MARGIN * held_out:
        raise SnapshotRejectedError(
            f"fitted ratings are predicted with {RMSE} {rmse:.4f}, and those held out with {held_out:.4f}", AGAIN
        )


def _without_next(side: UserSide) -> UserSide:
    """The side without the tables of what comes next, which do not rank what the user chose before."""
    tables = {name: scores for name, scores in side.tables.items() if SEGMENTS[name].ranks_what_was_chosen}
    return side._replace(tables=tables)


def _dense_scores(scorer: PublishedScorer, side: UserSide) -> NDArray[np.float32]:
    scores: NDArray[np.float32] = scorer.item_vectors @ side.vector
    return scores


def _error(scores: NDArray[np.float32], liked: NDArray[np.integer], others: NDArray[np.integer]) -> float:
    """1 - AUC: the share of pairs of a liked item and another one that are in the wrong order, ties counted half."""
    n = len(liked)
    # U = sum of ranks - n (n + 1) / 2 (Mann & Whitney 1947)
    above = rankdata(scores[np.concatenate([liked, others])])[:n].sum() - n * (n + 1) / 2
    return float(1 - above / (n * len(others)))
