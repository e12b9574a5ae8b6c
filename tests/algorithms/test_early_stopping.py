import math

import numpy as np
import pytest

from app.algorithms.early_stopping import MAX_HELD_OUT, MIN_NOISE, EarlyStopping, Schedule, noise_variance


def epochs_run(values: list[float], patience: float, relative_gain: float = 0.0) -> int:
    stopping = EarlyStopping(patience, relative_gain)
    for epoch, value in enumerate(values):
        if not stopping.improves(epoch, value) and stopping.is_over(epoch):
            return epoch + 1
    return len(values)


def test_stops_after_patience() -> None:
    assert epochs_run([3, 2, 2.5, 2.5, 2.5, 1], patience=3) == 5


def test_improvement_resets_patience() -> None:
    assert epochs_run([3, 2, 2.5, 1.9, 2.5, 1.8], patience=3) == 6


def test_small_gain_is_none() -> None:
    assert epochs_run([1.0, 0.999, 0.998], patience=1, relative_gain=0.01) == 2


def test_nan_is_no_improvement() -> None:
    assert epochs_run([1.0, math.nan, math.nan], patience=1) == 2


def test_best_epoch_is_kept() -> None:
    stopping = EarlyStopping(patience=5)
    for epoch, value in enumerate([3.0, 1.0, 2.0]):
        stopping.improves(epoch, value)
    assert (stopping.best, stopping.best_epoch) == (1.0, 1)


def test_schedule_holds_out_a_slice() -> None:
    schedule = Schedule.draw(1000, 30, np.random.default_rng(0))
    assert schedule.n_search_epochs == 20
    assert len(np.unique(schedule.held_out)) == 50
    assert np.count_nonzero(~schedule.is_train(1000)) == 50


def test_slice_is_bounded() -> None:
    assert len(Schedule.draw(1_000_000, 30, np.random.default_rng(0)).held_out) == MAX_HELD_OUT


@pytest.mark.parametrize(("n_ratings", "n_epochs"), [(199, 30), (1000, 1), (0, 30)])
def test_no_search(n_ratings: int, n_epochs: int) -> None:
    """Too few ratings to measure an error, or too few epochs for two phases."""
    schedule = Schedule.draw(n_ratings, n_epochs, np.random.default_rng(0))
    assert schedule.n_search_epochs == 0
    assert schedule.is_train(n_ratings).all()


@pytest.mark.parametrize(("error", "noise"), [(0.4, 0.4), (7.0, 1.0), (0.0, MIN_NOISE)])
def test_noise_is_clipped(error: float, noise: float) -> None:
    assert noise_variance(error) == noise
