import numpy as np
import pytest

from app.algorithms.standardisation import MAX_DEVIATION, Standardisation


def test_mean_and_deviation() -> None:
    values = np.random.default_rng(0).integers(1, 6, 1000).astype(np.float32)
    found = Standardisation.of(values)
    assert (found.centre, found.scale) == pytest.approx((values.mean(), values.std()))
    targets = found.targets(values)
    assert (targets.mean(), targets.std()) == pytest.approx((0, 1), abs=1e-5)


def test_not_centred() -> None:
    found = Standardisation.of(np.array([3.0, -4.0], np.float32), centred=False)
    assert (found.centre, found.scale) == pytest.approx((0, np.sqrt(12.5)))


@pytest.mark.parametrize("outlier", [500.0, 1e30])
def test_outlier_moves_little(outlier: float) -> None:
    values = np.random.default_rng(0).integers(1, 6, 5000).astype(np.float32)
    plain, found = Standardisation.of(values), Standardisation.of(np.append(values, np.float32(outlier)))
    assert (found.centre, found.scale) == pytest.approx((plain.centre, plain.scale), rel=0.02)
    assert found.targets(np.array([outlier], np.float32)) == MAX_DEVIATION


@pytest.mark.parametrize("values", [[], [4.0], [4.0, 4.0]])
def test_nothing_to_scale(values: list[float]) -> None:
    found = Standardisation.of(np.array(values, np.float32))
    assert found.scale == 1
    np.testing.assert_array_equal(found.targets(np.array(values, np.float32)), 0)
