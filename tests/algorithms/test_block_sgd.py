import numpy as np
import pytest

from app.algorithms.block_sgd import N_BLOCKS, BlockGrid, BlockRatings, HeldOut, draw_weights, share_out
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.sgd_kernel import StepSizes, Weights
from app.algorithms.standardisation import Standardisation


def random_ratings(n_users: int = 50, n_items: int = 30, n_ratings: int = 600) -> RatingMatrix:
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, n_users, n_ratings), rng.integers(0, n_items, n_ratings)
    return RatingMatrix(n_users, n_items, users, items, rng.random(n_ratings))


@pytest.mark.parametrize("n_threads", [1, 2, 3, 4, 8, 100])
def test_tasks_share_no_row(n_threads: int) -> None:
    grid = BlockGrid.draw(random_ratings(), np.random.default_rng(0), biased=True)
    blocks = grid.draw_blocks(np.random.default_rng(1))
    seen: list[tuple[int, ...]] = []
    for tasks in share_out(blocks, n_threads):
        assert len(tasks) <= n_threads
        for column in (0, 2):
            rows = [set(task[:, column]) for task in tasks]
            assert len(set.union(*rows)) == sum(map(len, rows))
        seen += [tuple(block) for task in tasks for block in task]
    assert len(seen) == len(set(seen)) == N_BLOCKS**2
    for column in (0, 2):  # what one row goes through, it goes through in the order of a single thread
        for row in range(N_BLOCKS):
            alone = [tuple(block) for block in blocks.reshape(-1, 3) if block[column] == blocks[0, row, column]]
            assert [block for block in seen if block[column] == blocks[0, row, column]] == alone


@pytest.mark.parametrize("n_users", [0, 1, 31, 32, 33, 100])
def test_user_order_holds_everybody(n_users: int) -> None:
    grid = BlockGrid(n_users, np.zeros(1, np.int32), Standardisation(0.0, 1.0))
    first, second = (grid.draw_user_order(np.random.default_rng(seed)) for seed in (0, 1))
    assert sorted(first) == sorted(second) == list(range(n_users))


@pytest.mark.parametrize(("n_users", "n_items"), [(50, 30), (3, 30), (50, 1), (8, 9)])
def test_every_rating_once(n_users: int, n_items: int) -> None:
    ratings = random_ratings(n_users, n_items)
    is_kept = np.random.default_rng(1).random(len(ratings)) < 0.7
    grid = BlockGrid.draw(ratings, np.random.default_rng(0), biased=True)
    layout, found = BlockRatings(ratings, is_kept, grid).layout, []
    order = grid.draw_user_order(np.random.default_rng(2))
    for first, past, item_block in grid.draw_blocks(np.random.default_rng(3)).reshape(-1, 3):
        for user in order[first:past]:
            cell = slice(*layout.starts[item_block * n_users + user :][:2])
            items, targets = layout.item_rows[cell], layout.targets[cell]
            assert (items // grid.items_per_block == item_block).all()
            found += [(user, item, target) for item, target in zip(items, targets, strict=True)]
    kept = ratings.subset(is_kept)
    items = grid.item_places[kept.item_rows]
    assert sorted(found) == sorted(zip(kept.user_rows, items, grid.standardisation.targets(kept.values), strict=True))


def test_one_step_by_hand() -> None:
    # The update of the documents, U - eta 2 V (U.V - M), with g = 2 eta = 0.1; and the penalty's share, 0.1 (1 + 60).
    ratings = RatingMatrix(1, 1, [0], [0], [2.0])
    grid = BlockGrid(1, np.zeros(1, np.int32), Standardisation(0.0, 1.0))
    weights = Weights(*(np.full(shape, 0.5, np.float32) for shape in ((1, 2), (1, 2), 1, 1)))
    steps = StepSizes(np.float32(0.1), np.float32(0.1), np.float32(0.01))
    loss = BlockRatings(ratings, np.ones(1, np.bool_), grid).epoch(weights, steps, np.random.default_rng(0))
    error = 2.0 - 0.5 - 0.5 - 2 * 0.25
    assert loss == pytest.approx(error**2)
    np.testing.assert_allclose(weights.user_factors, 0.5 + 0.1 * (error * 0.5 - 0.01 * 61 * 0.5), rtol=1e-6)
    np.testing.assert_allclose(weights.item_factors, weights.user_factors, rtol=1e-6)
    np.testing.assert_allclose(weights.user_biases, 0.5 + 0.1 * (error - 0.01 * 60 * 0.5), rtol=1e-6)
    np.testing.assert_allclose(weights.item_biases, weights.user_biases, rtol=1e-6)


def test_padding_stays_zero() -> None:
    ratings = random_ratings()
    rng = np.random.default_rng(0)
    weights = draw_weights(50, 30, 40, rng)
    blocks = BlockRatings(ratings, np.ones(len(ratings), np.bool_), BlockGrid.draw(ratings, rng, biased=True))
    blocks.epoch(weights, StepSizes(np.float32(0.05), np.float32(0.05), np.float32(0.01)), rng)
    assert weights.user_factors.shape == (50, 64)
    assert weights.user_factors[:, :40].all()
    assert not weights.user_factors[:, 40:].any()
    assert not weights.item_factors[:, 40:].any()


def test_held_out_error() -> None:
    ratings = random_ratings()
    grid = BlockGrid.draw(ratings, np.random.default_rng(0), biased=True)
    weights = draw_weights(50, 30, 4, np.random.default_rng(1))
    for array in weights:
        array[:] = 0
    everything = HeldOut.from_positions(ratings, np.arange(len(ratings)), grid)
    assert everything.error(weights) == pytest.approx(1.0, rel=1e-5)  # all variance, in units of itself
