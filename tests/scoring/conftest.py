"""Vectors to search, and who searches."""

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture
def vectors() -> NDArray[np.float32]:
    """Columns of very different size, as of a bias beside a taste."""
    drawn = np.random.default_rng(0).standard_normal((500, 32)) * np.geomspace(0.01, 10, 32)
    return drawn.astype(np.float32)


@pytest.fixture
def queries() -> NDArray[np.float32]:
    drawn = np.random.default_rng(1).standard_normal((30, 32)) / np.geomspace(0.01, 10, 32)
    return drawn.astype(np.float32)
