"""Real ratings, where they lie beside the repository; tests that need them skip, saying so, where they do not."""

from pathlib import Path

import pytest

MOVIELENS = Path(__file__).parents[3] / "shared" / "data" / "ml-latest-small"

needs_movielens = pytest.mark.skipif(
    not MOVIELENS.exists(), reason="needs MovieLens ml-latest-small in ../shared/data beside the repository"
)
