"""What was spoilt between the gate and the publication is refused. The fault `gate` tries many ways."""

from pathlib import Path

import numpy as np
import pytest

from app.errors import ReckonError
from faults.gate import QUICK, SABOTAGE, spoilt
from tests.support.published import live_version, opened_shop
from tests.support.user_states import tasteful_ratings


def test_spoilt_after_the_gate(tmp_path: Path) -> None:
    with opened_shop(tmp_path, tasteful_ratings()) as shop:
        first = shop.train(QUICK)
        for name in ("items permuted", "one user for all"):
            with (
                spoilt(SABOTAGE[name], np.random.default_rng(0)),
                pytest.raises(ReckonError, match=r"misplace|vector|rmse|items"),
            ):
                shop.train(QUICK)
        assert live_version(shop.store) == first.version
        assert [folder.name for folder in shop.trainer.publisher.root.iterdir()] == ["000001"]
