"""The gate in front of publication. Vectors are never scored on ratings that they were fitted on.

A candidate must be finite, predict ratings no worse than `biases` and rank better than bestsellers. It must not be
worse than what is live. Where both were made the same way, it is compared with the live snapshot's recorded figure;
otherwise the live recipe is fitted anew on the candidate's own training part, and the two are compared user by user.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.training.errors import SnapshotRejectedError
from app.training.measure import NDCG, RecipeReport
from app.training.validation_split import RMSE

MARGIN = 0.10
"""How far a candidate may fall behind the live snapshot's nDCG, as a share of it."""

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


def check_alone(report: RecipeReport) -> None:
    """Raises `SnapshotRejectedError`, with the figures, unless the candidate is finite and beats both baselines."""
    if not report.is_finite:
        raise SnapshotRejectedError("what was learned is not finite")
    ndcg, rmse = report.snapshot.values.get(NDCG), report.snapshot.values.get(RMSE)
    bestsellers_ndcg, biases_rmse = report.bestsellers.values.get(NDCG), report.biases.values.get(RMSE)
    if ndcg is None or rmse is None or bestsellers_ndcg is None or biases_rmse is None:
        raise SnapshotRejectedError("there are too few ratings to measure what was learned")
    # Equal where `biases` is what the data chose; then the lists alone decide.
    if not rmse <= biases_rmse:
        raise SnapshotRejectedError(f"{RMSE} {rmse:.4f} is above that of biases, {biases_rmse:.4f}")
    if not ndcg > bestsellers_ndcg:
        raise SnapshotRejectedError(f"{NDCG} {ndcg:.4f} is not above that of bestsellers, {bestsellers_ndcg:.4f}")


def check_against_live(report: RecipeReport, live: LiveReport) -> None:
    """Raises `SnapshotRejectedError`, with the figures, if the candidate ranks worse than what is live."""
    if isinstance(live, PairedReport):
        _check_pairs(report.ndcg_of_users, live.ndcg_of_users)
    else:
        _check_recorded(report, live)


def _check_pairs(ours: NDArray[np.float64], live: NDArray[np.float64]) -> None:
    gains = ours - live
    # The upper end of the 95 % interval of the mean gain.
    highest = gains.mean() + NORMAL_95 * gains.std(ddof=1) / math.sqrt(len(gains)) if len(gains) > 1 else math.inf
    if highest < -MARGIN * live.mean():
        raise SnapshotRejectedError(
            f"{NDCG} {ours.mean():.4f} is below the live recipe's {live.mean():.4f}, on the same training part"
        )


def _check_recorded(report: RecipeReport, live: RecordedReport) -> None:
    ndcg, bestsellers_ndcg = report.snapshot.values[NDCG], report.bestsellers.values[NDCG]
    # A fall that bestsellers share comes from the newer ratings, not from what was learned.
    fall = min(1.0, bestsellers_ndcg / live.bestsellers_ndcg) if live.bestsellers_ndcg > 0 else 1.0
    if ndcg < (1 - MARGIN) * live.ndcg * fall:
        raise SnapshotRejectedError(
            f"{NDCG} {ndcg:.4f} is more than {MARGIN:.0%} below the live snapshot's {live.ndcg:.4f}"
        )
