"""The networks are drawn, not learned, so torch is not needed."""

from collections.abc import Iterator

import numpy as np
import pytest

from app.segments.base import SegmentStateError
from app.segments.dense import LearnedDenseSegment
from app.segments.towers import TowersSegment
from tests.segments.contract import N_ITEMS, SegmentContract
from tests.support.made_up_towers import drawn


class TestTowersSegment(SegmentContract):
    segment = TowersSegment()
    algorithm = "two_tower"
    learns_without_features = False

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _drawn(cls) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("app.algorithms.two_tower.TwoTower.fit", drawn)
            yield

    def test_check_knows_the_catalogue(self, learned: LearnedDenseSegment) -> None:
        learned.fold.check(N_ITEMS, 2, 2)
        with pytest.raises(SegmentStateError, match="do not fit the features"):
            learned.fold.check(N_ITEMS, 3, 2)
        with pytest.raises(SegmentStateError, match="top_items"):
            learned.fold.check(int(np.max(learned.fold.arrays["top_items"])), 2, 2)
