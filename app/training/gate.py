"""The gate in front of publication. Vectors are never scored on ratings that they were fitted on.

A candidate must be finite, predict ratings no worse than `biases` and rank better than bestsellers. It must not be
worse than what is live. Where both were made the same way, it is compared with the live snapshot's recorded figure;
otherwise the live recipe is fitted anew on the candidate's own training part, and the two are compared user by user.

Each check returns the comparison that the candidate passed, a sentence, and raises with the one that it failed.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.training.errors import SnapshotRejectedError
from app.training.measure import NDCG, RecipeReport
from app.training.validation_split import RMSE

MARGIN = 0.10
"""How far a candidate may fall behind the live snapshot's nDCG, as a share of it. The hold-out is another one after
every new rating, so figures of equally good snapshots differ; without a margin, chance would keep old lists live."""

NORMAL_95 = 1.96
"""Standard deviations from the mean to the end of a 95 % interval of a normal distribution."""


@dataclass(frozen=True)
class RecordedReport:
    """The live snapshot's own figures, from the run that made it: nDCG, and that of bestsellers at the time."""

    ndcg: float
    bestsellers_ndcg: float


@dataclass(frozen=True)
class PairedReport:
    """The live snapshot's recipe, fitted on the candidate's training part: (n_users,) nDCG, the candidate's users."""

    ndcg_of_users: NDArray[np.float64]


LiveReport = RecordedReport | PairedReport


def check_alone(report: RecipeReport) -> str:
    """The comparison with both baselines, a sentence.

    Raises `SnapshotRejectedError`, with the figures, unless the candidate is finite and beats both.
    """
    if not report.is_finite:
        raise SnapshotRejectedError("what was learned is not finite")
    ndcg, rmse = report.snapshot.values.get(NDCG), report.snapshot.values.get(RMSE)
    bestsellers_ndcg, biases_rmse = report.bestsellers.values.get(NDCG), report.biases.values.get(RMSE)
    if ndcg is None or rmse is None or bestsellers_ndcg is None or biases_rmse is None:
        raise SnapshotRejectedError("there are too few ratings to measure what was learned")
    # Both conditions are negated, so that a NaN fails them. An equal error passes, since `biases` itself may be what
    # the data chose; then the lists alone decide.
    if not rmse <= biases_rmse:
        raise SnapshotRejectedError(f"{RMSE} {rmse:.4f} is above that of biases, {biases_rmse:.4f}")
    if not ndcg > bestsellers_ndcg:
        raise SnapshotRejectedError(f"{NDCG} {ndcg:.4f} is not above that of bestsellers, {bestsellers_ndcg:.4f}")
    return (
        f"{RMSE} {rmse:.4f} is not above that of biases, {biases_rmse:.4f}, "
        f"and {NDCG} {ndcg:.4f} is above that of bestsellers, {bestsellers_ndcg:.4f}"
    )


def check_against_live(report: RecipeReport, live: LiveReport) -> str:
    """The comparison with what is live, a sentence.

    Raises `SnapshotRejectedError`, with the figures, if the candidate ranks worse.
    """
    if isinstance(live, PairedReport):
        return _check_pairs(report.ndcg_of_users, live.ndcg_of_users)
    return _check_recorded(report, live)


def _check_pairs(candidate: NDArray[np.float64], live: NDArray[np.float64]) -> str:
    """Both were measured on the same users, so their differences cancel what makes a user easy or hard to serve."""
    gains = candidate - live
    # The upper end of the 95 % interval of the mean gain: mean + 1.96 s / sqrt(n). The spread of one gain is unknown,
    # and a single user is no evidence against a candidate.
    highest = gains.mean() + NORMAL_95 * gains.std(ddof=1) / math.sqrt(len(gains)) if len(gains) > 1 else math.inf
    # The candidate is rejected only if the whole interval lies below the margin: in doubt, newer data are better.
    if highest < -MARGIN * live.mean():
        raise SnapshotRejectedError(
            f"{NDCG} {candidate.mean():.4f} is below the live recipe's {live.mean():.4f}, on the same training part"
        )
    return (
        f"{NDCG} {candidate.mean():.4f} beside the live recipe's {live.mean():.4f}, on the same training part: the "
        f"95 % interval of the difference reaches {highest:+.4f}, and the margin is {-MARGIN * live.mean():+.4f}"
    )


def _check_recorded(report: RecipeReport, live: RecordedReport) -> str:
    ndcg, bestsellers_ndcg = report.snapshot.values[NDCG], report.bestsellers.values[NDCG]
    # Bestsellers need no learning, so a fall that they share comes from the newer ratings and not from the candidate.
    # A rise does not raise the bar: lists of bestsellers may improve for reasons that personal lists do not share.
    fall = min(1.0, bestsellers_ndcg / live.bestsellers_ndcg) if live.bestsellers_ndcg > 0 else 1.0
    # least = (1 - margin) nDCG_live min(1, nDCG_bestsellers now / then)
    least = (1 - MARGIN) * live.ndcg * fall
    if ndcg < least:
        raise SnapshotRejectedError(
            f"{NDCG} {ndcg:.4f} is more than {MARGIN:.0%} below the live snapshot's {live.ndcg:.4f}"
        )
    return f"{NDCG} {ndcg:.4f} beside the live snapshot's {live.ndcg:.4f}: at least {least:.4f} passes"
