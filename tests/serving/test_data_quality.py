"""Figures of the data that a snapshot was learned from, against a count by hand."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from app.serving.data_quality import data_quality, density_grid, doubling
from tests.support.published import opened_shop
from tests.support.ratings import incoming
from tests.support.trained import RATED_LIGHTLY


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([1, 1, 2, 3, 4, 7, 8], [(1, 2), (3, 2), (7, 2), (15, 1)]),
        ([0, 0, 1], [(0, 2), (1, 1)]),
        ([5], [(1, 0), (3, 0), (7, 1)]),
    ],
)
def test_doubling(counts: list[int], expected: list[tuple[int, int]]) -> None:
    assert doubling(np.array(counts)) == expected


def test_grid() -> None:
    rng = np.random.default_rng(1)
    rated = rng.random((40, 30)) < rng.random((40, 1))
    of_user, of_item = rated.sum(axis=1), rated.sum(axis=0)
    grid = density_grid(of_user, of_item, np.nonzero(rated)[1].astype(np.int32))
    users, items = np.argsort(-of_user, kind="stable"), np.argsort(-of_item, kind="stable")
    expected = rated[np.ix_(users, items)].reshape(10, 4, 10, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(grid, expected)


def test_of_a_snapshot(tmp_path: Path) -> None:
    rows = [(f"u{n}", f"i{m}", 5 if n == 7 else 1 + (n * m) % 5) for n in range(12) for m in range(1 + 3 * n)]
    rows += [("crawler", f"i{m}", 1 + m % 5) for m in range(400)]
    with opened_shop(tmp_path, incoming(*rows)) as shop:
        scorer = shop.train(RATED_LIGHTLY, accept=True)
        found = data_quality(scorer)
        assert found is not None
        crawler = shop.store.users.ids_of([key for key, _ in found.busiest])
    of_item = Counter(item_id for _, item_id, _ in rows)
    assert (found.n_users, found.n_items, found.n_ratings) == (13, 400, len(rows))
    assert found.density == pytest.approx(len(rows) / (13 * 400))
    assert found.n_users_of_one == 1
    assert found.n_items_of_one == sum(n == 1 for n in of_item.values())
    assert dict(found.values) == Counter(float(value) for *_, value in rows)
    assert (list(crawler.values()), found.busiest[0][1]) == (["crawler"], 400)
    assert found.n_alike == 2  # u7, and u10, for whom n m mod 5 is 0
    assert found.untimed == 1
