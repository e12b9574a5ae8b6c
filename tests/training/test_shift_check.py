"""What the quarantine does not find, here among too few users, is refused by the gate until it is accepted."""

from pathlib import Path

import numpy as np
import pytest

from app.entities import RatingScale
from app.training.errors import SnapshotRejectedError
from tests.support.published import live_version, opened_shop
from tests.support.ratings import incoming
from tests.support.shilling import attack, honest, with_attack
from tests.training.test_quarantine import QUICK, as_incoming

pytestmark = pytest.mark.slow


def test_push(tmp_path: Path) -> None:
    ratings = honest(n_users=150)
    made = attack(ratings, "random", 0.12, np.random.default_rng(1))
    with opened_shop(tmp_path, as_incoming(ratings), RatingScale.parse("pairs")) as shop:
        first = shop.train(QUICK)
        shop.store.ratings.record(as_incoming(with_attack(ratings, made)))
        with pytest.raises(SnapshotRejectedError, match="items rose") as rejected:
            shop.train(QUICK)
        assert "--accept" in str(rejected.value.advice)
        assert live_version(shop.store) == first.version
        assert [folder.name for folder in shop.trainer.publisher.root.iterdir()] == ["000001"]
        # What was rejected has judged no user.
        assert np.count_nonzero(shop.store.training_reads.load().is_new) == made.n_users

        accepted = shop.train(QUICK, accept=True).manifest.accepted
        assert accepted is not None
        assert "items rose" in accepted.reason
        assert accepted.kinds == ("shift",)
        # What is live has learned from them already.
        assert shop.train(QUICK).manifest.accepted is None


def test_honest_growth(tmp_path: Path) -> None:
    ratings = honest(n_users=300)
    earlier = ratings.subset(ratings.user_rows < 240)
    hit = [(f"u{user:04}", "hit") for user in range(40, 300, 3)]
    with opened_shop(tmp_path, as_incoming(earlier), RatingScale.parse("pairs")) as shop:
        shop.train(QUICK)
        shop.store.ratings.record(as_incoming(ratings))
        assert shop.train(QUICK, seed=1).manifest.accepted is None
        shop.store.ratings.record(incoming(*[(*pair, 1, None) for pair in hit]))
        assert shop.train(QUICK, seed=2).manifest.accepted is None
