"""Figures of the data that a snapshot was learned from, against a count by hand."""

import gc
from collections import Counter
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest

from app.serving.data_quality import (
    MANY_VALUES,
    N_RANGES,
    RememberedDataQuality,
    data_quality,
    density_grid,
    doubling,
    ratings_by_value,
)
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
    assert dict(found.values) == Counter(str(value) for *_, value in rows)
    assert (list(crawler.values()), found.busiest[0][1]) == (["crawler"], 400)
    assert found.n_alike == 2  # u7, and u10, for whom n m mod 5 is 0
    assert found.untimed == 1


@pytest.mark.parametrize("n", [MANY_VALUES, MANY_VALUES + 1, 10_000])
def test_values(n: int) -> None:
    """Few values are counted one by one, and many in ranges: amounts may all differ."""
    values = np.repeat(np.arange(n) + 0.1, 2).astype(np.float32)
    counted = ratings_by_value(values)
    assert len(counted) == (n if n == MANY_VALUES else N_RANGES)
    assert sum(number for _, number in counted) == 2 * n
    assert counted[0][0].split(" to ")[0] == "0.1"
    assert counted[-1][0].split(" to ")[-1] == f"{n - 1}.1"


def test_large_values() -> None:
    assert ratings_by_value(np.array([1_234_567.0, 0.00015], np.float32)) == [("0.00015", 1), ("1234567", 1)]
    assert ratings_by_value(np.empty(0)) == []


class Snapshot:
    """In place of a scorer."""


def test_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted once for a snapshot, which is not kept alive for it."""
    counted: list[Any] = []
    monkeypatch.setattr("app.serving.data_quality.data_quality", lambda scorer: counted.append(ref(scorer)))
    remembered, first, second = RememberedDataQuality(), Snapshot(), Snapshot()
    for each in (first, first, second, second):
        remembered.of(each)  # type: ignore[arg-type]  # a stand-in
    assert [each() for each in counted] == [first, second]
    del each, second
    gc.collect()
    assert counted[1]() is None
