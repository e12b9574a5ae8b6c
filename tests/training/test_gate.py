import numpy as np
import pytest

from app.training import gate
from app.training.errors import SnapshotRejectedError
from app.training.gate import PairedReport, RecordedReport
from app.training.measure import Figures, RecipeReport


def report(ndcg: float = 0.10, rmse: float = 0.85, **changes: object) -> RecipeReport:
    parts = {
        "snapshot": Figures({"rmse": rmse, "ndcg@10": ndcg}),
        "bestsellers": Figures({"ndcg@10": 0.08}),
        "biases": Figures({"rmse": 0.90, "ndcg@10": 0.05}),
        "ndcg_of_users": np.full(10, ndcg),
    }
    return RecipeReport(**(parts | changes))  # type: ignore[arg-type]  # a builder: the parts are as above


def test_good_candidate_passes() -> None:
    gate.check_alone(report())


def test_better_than_popular_of_late() -> None:
    passed = gate.check_alone(report(recent=Figures({"ndcg@10": 0.09}), recent_half_life_days=3.0))
    assert passed.endswith("above that of bestsellers, 0.0800, and of what was popular of late, 0.0900")


def test_biases_may_be_what_is_best() -> None:
    gate.check_alone(report(rmse=0.90))


def test_lists_alone_decide_without_predictions() -> None:
    candidate = report(snapshot=Figures({"ndcg@10": 0.1}), biases=None)
    assert candidate.by_name.keys() == {"snapshot", "bestsellers", "recent"}
    assert "biases" not in gate.check_alone(candidate)
    with pytest.raises(SnapshotRejectedError, match="bestsellers"):
        gate.check_alone(report(snapshot=Figures({"ndcg@10": 0.08}), biases=None))


@pytest.mark.parametrize(
    ("candidate", "problem"),
    [
        (report(is_finite=False), "not finite"),
        (report(rmse=0.901), "biases"),
        (report(rmse=float("nan")), "biases"),
        (report(ndcg=0.08), "bestsellers"),
        (report(ndcg=float("nan")), "bestsellers"),
        (report(recent=Figures({"ndcg@10": 0.10}), recent_half_life_days=3.0), "popular of late"),
        (RecipeReport(), "too few ratings"),
        (RecipeReport(unmeasured="no rating is liked"), "too few ratings .*: no rating is liked"),
    ],
)
def test_bad_candidate_is_rejected(candidate: RecipeReport, problem: str) -> None:
    with pytest.raises(SnapshotRejectedError, match=problem) as error:
        gate.check_alone(candidate)
    assert error.value.advice


@pytest.mark.parametrize(("live_ndcg", "passes"), [(0.09, True), (0.11, True), (0.112, False)])
def test_recorded_figure_with_margin(live_ndcg: float, *, passes: bool) -> None:
    live = RecordedReport(ndcg=live_ndcg, bestsellers_ndcg=0.08)
    if passes:
        gate.check_against_live(report(ndcg=0.10), live)
    else:
        with pytest.raises(SnapshotRejectedError, match="below the live"):
            gate.check_against_live(report(ndcg=0.10), live)


def test_fall_shared_by_bestsellers_passes() -> None:
    """The newer ratings are harder to foresee: bestsellers fell from 0.12 to 0.08, the candidate from 0.14 to 0.10."""
    gate.check_against_live(report(ndcg=0.10), RecordedReport(ndcg=0.14, bestsellers_ndcg=0.12))


def test_rise_of_bestsellers_asks_no_more() -> None:
    gate.check_against_live(report(ndcg=0.10), RecordedReport(ndcg=0.10, bestsellers_ndcg=0.04))


@pytest.mark.parametrize(("loss", "passes"), [(-0.01, True), (0.0, True), (0.008, True), (0.03, False)])
def test_pairs_with_margin(loss: float, *, passes: bool) -> None:
    rng = np.random.default_rng(0)
    live = rng.uniform(0, 0.2, 500)
    ours = live - loss + rng.standard_normal(500) * 0.001
    candidate = report(ndcg_of_users=ours)
    if passes:
        gate.check_against_live(candidate, PairedReport(live))
    else:
        with pytest.raises(SnapshotRejectedError, match="live recipe"):
            gate.check_against_live(candidate, PairedReport(live))


def test_pairs_in_doubt_pass() -> None:
    """A mean loss beyond the margin, but the interval reaches above it."""
    live = np.array([0.5, 0.0, 0.0, 0.3])
    gate.check_against_live(report(ndcg_of_users=np.array([0.0, 0.2, 0.0, 0.3])), PairedReport(live))


def test_one_pair_decides_nothing() -> None:
    gate.check_against_live(report(ndcg_of_users=np.zeros(1)), PairedReport(np.ones(1)))


def test_noise_of_few_users_is_no_fall() -> None:
    """The recorded figure is of other ratings: a fall within the candidate's own interval may be chance."""
    live = RecordedReport(0.2, 0.05)
    unsure = report(snapshot=Figures({"ndcg@10": 0.15, "rmse": 0.8}, {"ndcg@10": (0.1, 0.21)}))
    assert "reaches 0.2100" in gate.check_against_live(unsure, live)
    sure = report(snapshot=Figures({"ndcg@10": 0.15, "rmse": 0.8}, {"ndcg@10": (0.14, 0.16)}))
    with pytest.raises(SnapshotRejectedError, match="below the live"):
        gate.check_against_live(sure, live)
