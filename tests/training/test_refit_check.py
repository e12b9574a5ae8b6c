"""What was spoilt between the gate and the publication is refused. The fault `gate` tries many ways."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.entities import IncomingRatings, RatingScale
from app.errors import ReckonError
from app.snapshots.arrays import SnapshotArrays
from faults.gate import QUICK, SABOTAGE, spoilt
from tests.support.published import live_version, opened_shop
from tests.support.user_states import tasteful_ratings

TABLE = {
    "segments": [
        {"name": "rating", "algorithm": "funk_svd"},
        {"name": "item_item", "algorithm": "ease"},
        {"name": "popularity", "algorithm": "popularity"},
    ]
}
"""As is learned from many purchases: without grades there is no rating segment, and of the vectors only popularity."""


def _opposite_table(arrays: SnapshotArrays, _rng: np.random.Generator) -> SnapshotArrays:
    entries = arrays.extra["item_item.entries"]
    return replace(arrays, extra={**arrays.extra, "item_item.entries": -np.asarray(entries)})


def test_spoilt_beside_a_table(tmp_path: Path) -> None:
    """Vectors of popularity alone, and the table itself; items on another scale weigh the two otherwise."""
    ratings = tasteful_ratings(n_users=300, n_items=120)
    pairs = replace(ratings, value=np.ones(len(ratings)))
    ways = {
        "table": (_opposite_table, "lists misplace"),
        "upside down": (SABOTAGE["upside down"], "lists misplace"),
        "items on another scale": (SABOTAGE["items on another scale"], "weighed by"),
    }
    with opened_shop(tmp_path, pairs, RatingScale.parse("pairs")) as shop:
        first = shop.train(TABLE)
        assert [entry.name for entry in first.manifest.segments] == ["item_item", "popularity"]
        for sabotage, reason in ways.values():
            with spoilt(sabotage, np.random.default_rng(0)), pytest.raises(ReckonError, match=reason):
                shop.train(TABLE)
        assert live_version(shop.store) == first.version


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


@pytest.mark.slow
def test_what_comes_next(tmp_path: Path) -> None:
    """Everybody takes the items in one order, so what comes next takes all weight: it is never what came before."""
    choose = random.Random(0)  # noqa: S311  made-up ratings
    rows = [
        (user, item, choose.choice([4, 5]) if user % 2 == item % 2 else choose.choice([1, 2]))
        for user in range(120)
        for item in sorted(choose.sample(range(40), 18))
    ]
    users, items, values = zip(*rows, strict=True)
    times = 1_600_000_000_000_000 + 1_000_000 * np.arange(len(rows))
    ratings = IncomingRatings([f"u{n}" for n in users], [f"i{n}" for n in items], np.array(values, float), times)
    with opened_shop(tmp_path, ratings) as shop:
        manifest = shop.train().manifest
    weights = {entry.name: entry.weight for entry in manifest.segments}
    assert (manifest.reason, weights["transitions"] > 0) == (None, True)
