"""Parallel stochastic gradient descent on a grid of blocks, with a result that does not depend on the threads.

R. Gemulla et al., "Large-Scale Matrix Factorization with Distributed Stochastic Gradient Descent" (2011); Y. Zhuang et
al., "A Fast Parallel SGD for Matrix Factorization in Shared Memory Systems" (2013).

Items are relabelled by one random permutation, users get a new random order in every epoch, and both are cut into
B x B blocks. B blocks that share neither users nor items form a step, and B steps form an epoch. The blocks of a step
touch disjoint rows, so working them off one after the other or in parallel gives the same bits.

Within a block the ratings of a user are adjacent. A user's factors are read once, and the items of the block stay in
the cache: several times as fast as random order, at the same error.
"""

import math
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from app.algorithms.fold_in import PRIOR_RATINGS
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.sgd_kernel import (
    BlockAssignment,
    BlockLayout,
    Float32Array,
    Rows,
    StepSizes,
    Weights,
    count_cells,
    mean_squared_error,
    sort_into_cells,
    update_blocks,
)
from app.algorithms.standardisation import Standardisation
from app.algorithms.storage import count_rows, spans

# B, the blocks along each side and the most threads that can work. Constant, because the result depends on it.
N_BLOCKS = 8

# Users that stay adjacent in the random order, so that their ratings, adjacent in memory, are read in one go.
USERS_TOGETHER = 32

# Below this number of ratings, an epoch takes less time than starting threads.
RATINGS_WORTH_THREADS = 50_000

# Expected length of an initial p_u or q_i: small, so that factors grow in order of their strength.
INITIAL_LENGTH = 0.1

# More than 32 factors are padded with zeros to a multiple of this, the numbers one pass of the unrolled SIMD loop
# takes. The scalar remainder of such a loop is so slow that 128 factors take less time than 100.
LANES = 64


def draw_weights(n_users: int, n_items: int, n_factors: int, rng: np.random.Generator) -> Weights:
    """Small random factors, uniform around 0, and zero biases. Padding columns are 0, and every step keeps them 0."""
    width = math.ceil(n_factors / LANES) * LANES if n_factors > LANES // 2 else n_factors
    # The uniform distribution on -1/2..1/2 has variance 1/12, so this factor gives an expected |p|^2 of 0.1^2.
    factor = INITIAL_LENGTH * math.sqrt(12 / n_factors)

    def factors(n_rows: int) -> Float32Array:
        drawn = np.zeros((n_rows, width), np.float32)
        drawn[:, :n_factors] = rng.random((n_rows, n_factors), np.float32)
        drawn[:, :n_factors] -= 0.5
        drawn *= np.float32(factor)
        return drawn

    return Weights(factors(n_users), factors(n_items), np.zeros(n_users, np.float32), np.zeros(n_items, np.float32))


class Pool(NamedTuple):
    """An executor and the number of its threads, which executors do not tell."""

    executor: Executor
    n_threads: int


@dataclass(frozen=True)
class BlockGrid:
    """The relabelling of items, and the standardisation of ratings.

    `item_places`: (n_items,) int32, the new row of each item.
    """

    n_users: int
    item_places: Rows
    standardisation: Standardisation

    @classmethod
    def draw(cls, ratings: RatingMatrix, rng: np.random.Generator, *, biased: bool) -> Self:
        """Random item places; the standardisation of all ratings, centred where `biased`."""
        return cls(
            n_users=ratings.n_users,
            # Random places spread popular items evenly over the blocks, which balances the threads.
            item_places=rng.permutation(ratings.n_items).astype(np.int32),
            standardisation=Standardisation.of(ratings.values, centred=biased, storage=ratings.storage),
        )

    @property
    def items_per_block(self) -> int:
        return max(1, math.ceil(len(self.item_places) / N_BLOCKS))

    def draw_user_order(self, rng: np.random.Generator) -> Rows:
        """(n_users,) int32, all users in random order; runs of `USERS_TOGETHER` stay adjacent."""
        # Runs of users are permuted, not single users.
        firsts = USERS_TOGETHER * rng.permutation(math.ceil(self.n_users / USERS_TOGETHER))
        order = (firsts[:, None] + np.arange(USERS_TOGETHER)).ravel()
        return order[order < self.n_users].astype(np.int32)

    def draw_blocks(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Every block once, (step, place, 3) with rows as `update_blocks` takes them; blocks of a step share no row.

        Step s has the blocks (user block a, item block a XOR s).
        """
        # The first and past position of each user block in the order of users
        bounds = np.linspace(0, self.n_users, N_BLOCKS + 1).astype(np.int64)
        users = np.arange(N_BLOCKS)
        # XOR, unlike the usual (a + s) mod B, keeps larger squares of blocks together: in steps 0 to 3 the first half
        # of the user blocks shares no item with the second half, so two threads meet twice per epoch (`share_out`).
        # The random number gives every epoch another order of steps; squares stay squares under XOR.
        steps = users ^ rng.integers(N_BLOCKS)
        return np.stack([np.stack([bounds[:-1], bounds[1:], users ^ step], axis=1) for step in steps])


def share_out(blocks: NDArray[np.int64], n_threads: int) -> list[list[NDArray[np.int64]]]:
    """The blocks of an epoch as rounds of tasks; the tasks of a round share no row and may run in parallel.

    Every row meets its blocks in the same order as on one thread, so the result has the same bits. Two threads wait for
    each other twice per epoch, four threads four times.
    """
    # The largest power of 2 that is not above the number of threads, because N_BLOCKS is divided by it.
    n_tasks = 1 << (min(n_threads, N_BLOCKS).bit_length() - 1)
    # A task is a size x size square of blocks: `size` steps, and `size` user blocks in each.
    size = N_BLOCKS // n_tasks
    return [
        [blocks[first : first + size, place : place + size].reshape(-1, 3) for place in range(0, N_BLOCKS, size)]
        for first in range(0, N_BLOCKS, size)
    ]


class BlockRatings:
    """Ratings in block order, ready for epochs."""

    def __init__(self, ratings: RatingMatrix, is_selected: NDArray[np.bool_], grid: BlockGrid) -> None:
        """Copies the selected ratings: 8 bytes each."""
        assignment = BlockAssignment(ratings.n_users, grid.item_places, grid.items_per_block)
        storage = ratings.storage
        # A counting sort in two passes: count the cells, then place every rating.
        starts = np.zeros(N_BLOCKS * ratings.n_users + 1, np.int64)
        for span in spans(len(ratings), storage):
            count_cells(ratings.user_rows[span], ratings.item_rows[span], is_selected[span], assignment, starts)
        np.cumsum(starts, out=starts)
        item_rows, targets = storage.empty(starts[-1], np.int32), storage.empty(starts[-1], np.float32)
        free = starts[:-1].copy()  # the next free place of each cell
        # Memory follows the order of access: (item block, user), then the input order of a user's ratings.
        for span in spans(len(ratings), storage):
            columns = ratings.user_rows[span], ratings.item_rows[span], is_selected[span], assignment
            sort_into_cells(*columns, grid.standardisation.targets(ratings.values[span]), free, item_rows, targets)
        user_counts = np.diff(starts).reshape(N_BLOCKS, ratings.n_users).sum(axis=0)
        self.grid, self.storage = grid, storage
        self.layout = BlockLayout(
            starts=starts,
            item_rows=item_rows,
            targets=targets,
            user_priors=_priors(user_counts),
            item_priors=_priors(count_rows(item_rows, ratings.n_items, storage)),
        )

    def epoch(self, weights: Weights, steps: StepSizes, rng: np.random.Generator, pool: Pool | None = None) -> float:
        """One step for every rating; returns the mean squared error, each measured before its step.

        `pool`: runs the blocks of a round in parallel; the weights do not depend on it.
        """
        # A new order for every epoch: with a fixed one, items follow their last users, which costs 0.001 of RMSE.
        user_order = self.grid.draw_user_order(rng)
        blocks = self.grid.draw_blocks(rng)

        def update(some: NDArray[np.int64]) -> float:
            return update_blocks(some, user_order, self.layout, weights, steps)

        if pool is None:
            # On one thread the blocks run in the order of steps.
            loss = update(blocks.reshape(-1, 3))
        else:
            # All tasks of a round end before the next round starts; losses are summed in task order.
            rounds = share_out(blocks, pool.n_threads)
            loss = sum(sum(pool.executor.map(update, tasks)) for tasks in rounds)
        return loss / max(1, len(self.layout.targets))


def _priors(counts: NDArray[np.integer]) -> Float32Array:
    """60 / m of every row; rows without ratings get no step, so their value does not matter."""
    priors: Float32Array = (PRIOR_RATINGS / np.maximum(counts, 1)).astype(np.float32)
    return priors


@dataclass(frozen=True)
class HeldOut:
    """The held-out slice, with items relabelled and ratings standardised. All arrays (m,)."""

    user_rows: Rows
    item_rows: Rows
    targets: Float32Array

    @classmethod
    def from_positions(cls, ratings: RatingMatrix, positions: NDArray[np.int64], grid: BlockGrid) -> Self:
        """The ratings at `positions`, (m,)."""
        return cls(
            ratings.user_rows[positions],
            grid.item_places[ratings.item_rows[positions]],
            grid.standardisation.targets(ratings.values[positions]),
        )

    def error(self, weights: Weights) -> float:
        """Their mean squared error, as a share of the variance of the ratings."""
        return mean_squared_error(self.user_rows, self.item_rows, self.targets, weights)
