"""The gate in front of publication. Vectors are never scored on ratings that they were fitted on.

A candidate must be finite, rank better than bestsellers and than what was popular of late and, where values are grades,
predict ratings no worse than `biases`. It must not be worse than what is live. Where both were made the same way of
largely the same data, it is compared with the live snapshot's recorded figure; otherwise the live recipe is fitted anew
on the candidate's own training part, and the two are compared user by user, on users and items that both know. `Live`
decides which, and whether they can be compared at all. What was refitted is compared with what is served as well: an
item that new users alone chose must not rise (`shift_check.py`).

Each check returns the comparison that the candidate passed, a sentence, and raises with the one that it failed.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.training.errors import BASELINES, LEARN_OTHERWISE, LIVE, NotFiniteError, SnapshotRejectedError
from app.training.measure import NDCG, Figures, RecipeReport
from app.training.validation_split import RMSE

MARGIN = 0.10
"""How far a candidate may fall behind the live snapshot's nDCG, as a share of it. The hold-out is another one after
every new rating, so figures of equally good snapshots differ; without a margin, chance would keep old lists live."""

NORMAL_95 = 1.96
"""Standard deviations from the mean to the end of a 95 % interval of a normal distribution."""

MORE_HISTORY = (
    "Personal lists need users with several choices and items with several users: import more ratings or send events, "
    "then train again."
)
COMPARE = "Compare algorithms on your ratings with `reckon evaluate`."
ACCEPT = "To publish it nevertheless: `reckon train --accept`, or `POST /training-jobs` with `accept`."
KEEP_UP = (
    "Items lose their appeal within {days:.3g} days or so: train often (`RECKON_TRAIN_INTERVAL_SECONDS`), and describe "
    "items, so that new ones are recommended at once."
)
NOT_RATINGS = "The values may say nothing about taste, or not be of one scale: look at `reckon scale show`. " + COMPARE


@dataclass(frozen=True)
class RecordedReport:
    """The live snapshot's own figures, from the run that made it: nDCG, and that of bestsellers at the time."""

    ndcg: float
    bestsellers_ndcg: float


@dataclass(frozen=True)
class PairedReport:
    """The live snapshot's recipe, fitted on the candidate's training part.

    `ndcg_of_users`: (m,) of the users and items that both know, in the order of the candidate's.
    """

    ndcg_of_users: NDArray[np.float64]


SAME_ERROR = 1e-4
"""Errors that differ by a smaller share are equal: sums of floating-point numbers depend on their order."""

LiveReport = RecordedReport | PairedReport


def check_alone(report: RecipeReport) -> str:
    """The comparison with the baselines, a sentence. Where no ratings are predicted, the lists alone decide.

    Raises `SnapshotRejectedError`, with the figures and advice, unless the candidate beats all, and `NotFiniteError`
    unless it is finite.
    """
    if not report.is_finite:
        raise NotFiniteError("what was learned is not finite", LEARN_OTHERWISE)
    ndcg, bestsellers_ndcg = report.snapshot.values.get(NDCG), report.bestsellers.values.get(NDCG)
    if ndcg is None or bestsellers_ndcg is None:
        reason = "there are too few ratings to measure what was learned"
        detail = f"{reason}: {report.unmeasured}" if report.unmeasured else reason
        raise SnapshotRejectedError(detail, MORE_HISTORY, BASELINES)
    of_errors = "" if report.biases is None else f"{_check_errors(report.snapshot, report.biases)}, and "
    beaten = f"bestsellers, {bestsellers_ndcg:.4f}"
    # Negated, so that a NaN fails.
    if not ndcg > bestsellers_ndcg:
        detail, advice = f"{NDCG} {ndcg:.4f} is not above that of {beaten}", f"{MORE_HISTORY} {COMPARE}"
        raise SnapshotRejectedError(detail, advice, BASELINES)
    # Without times there is no figure of what was popular of late.
    recent_ndcg, days = report.recent.values.get(NDCG), report.recent_half_life_days
    if recent_ndcg is not None and days is not None:
        of_late = f"what was popular of late, {recent_ndcg:.4f}"
        if not ndcg > recent_ndcg:
            detail, advice = f"{NDCG} {ndcg:.4f} is not above that of {of_late}", KEEP_UP.format(days=days)
            raise SnapshotRejectedError(detail, advice, BASELINES)
        beaten += f", and of {of_late}"
    return f"{of_errors}{NDCG} {ndcg:.4f} is above that of {beaten}"


def _check_errors(snapshot: Figures, biases: Figures) -> str:
    rmse, biases_rmse = snapshot.values[RMSE], biases.values[RMSE]
    # Negated, so that a NaN fails. An equal error passes, since `biases` itself may be what the data chose, learned by
    # another engine perhaps; then the lists alone decide.
    if not rmse <= biases_rmse * (1 + SAME_ERROR):
        detail = f"{RMSE} {rmse:.4f} is above that of biases, {biases_rmse:.4f}"
        raise SnapshotRejectedError(detail, NOT_RATINGS, BASELINES)
    return f"{RMSE} {rmse:.4f} is not above that of biases, {biases_rmse:.4f}"


def check_against_live(report: RecipeReport, live: LiveReport) -> str:
    """The comparison with what is live, a sentence.

    Raises `SnapshotRejectedError`, with the figures, if the candidate ranks worse.
    """
    # It has passed without a figure, which takes an acceptance.
    if NDCG not in report.snapshot.values:
        return "the candidate could not be measured"
    if isinstance(live, PairedReport):
        return _check_pairs(report.ndcg_of_users, live.ndcg_of_users)
    return _check_recorded(report, live)


def _check_pairs(candidate: NDArray[np.float64], live: NDArray[np.float64]) -> str:
    """Both were measured on the same users, so their differences cancel what makes a user easy or hard to serve."""
    if not len(candidate):
        return "no user whom both know can be measured on items that both know"
    gains = candidate - live
    # The upper end of the 95 % interval of the mean gain: mean + 1.96 s / sqrt(n). The spread of one gain is unknown,
    # and a single user is no evidence against a candidate.
    highest = gains.mean() + NORMAL_95 * gains.std(ddof=1) / math.sqrt(len(gains)) if len(gains) > 1 else math.inf
    # The candidate is rejected only if the whole interval lies below the margin: in doubt, newer data are better.
    if highest < -MARGIN * live.mean():
        raise SnapshotRejectedError(
            f"{NDCG} {candidate.mean():.4f} is below the live recipe's {live.mean():.4f}, on the same training part",
            COMPARE,
            LIVE,
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
    # As with pairs, the candidate is rejected only if its whole 95 % interval lies below: on few users, two seeds may
    # differ by more than the margin.
    _, highest = report.snapshot.intervals.get(NDCG, (ndcg, ndcg))
    if highest < least:
        raise SnapshotRejectedError(
            f"{NDCG} {ndcg:.4f} is more than {MARGIN:.0%} below the live snapshot's {live.ndcg:.4f}",
            f"The ratings that came in since may be wrong ones. {COMPARE}",
            LIVE,
        )
    return (
        f"{NDCG} {ndcg:.4f} beside the live snapshot's {live.ndcg:.4f}: the 95 % interval reaches {highest:.4f}, and "
        f"at least {least:.4f} passes"
    )
