"""Stochastic gradient descent on a grid of blocks, whose result does not depend on the number of threads.

Items are relabelled by a random permutation, users put in a new random order for every epoch, and both cut into B x B
blocks (Gemulla et al. 2011, DSGD; Zhuang et al. 2013, FPSG). A step takes B blocks that share neither users nor items,
so they may be worked off one after the other or all at once, and B steps make an epoch: every number
comes out the same to the bit. Inside a block each user's ratings stand together, so a user's factors are read once and
the items of the block stay in the cache: several times as fast as random order, at the same error.
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
    Floats,
    Layout,
    Rows,
    Steps,
    Weights,
    count_cells,
    mean_squared_error,
    sort_into_cells,
    update_blocks,
)

N_BLOCKS = 8
"""Blocks along each side, as many as threads can work; a power of 2. A constant, because the result depends on it."""

USERS_TOGETHER = 32
"""Users who stay neighbours when the order is drawn: their ratings are, too, and are read in one go."""

RATINGS_WORTH_THREADS = 50_000
"""Below this an epoch is over before threads are under way."""

INITIAL_SPREAD = 0.1
"""Length of an initial p_u: small, so that factors grow one by one in order of their strength."""

LANES = 64
"""Above 32, factors are padded with zeros, which stay zeros, to a multiple of what a step of the compiled loops takes:
the rest of such a loop runs so slowly that 128 factors take less time than 100."""


def draw_weights(n_users: int, n_items: int, n_factors: int, rng: np.random.Generator) -> Weights:
    """Small random factors, zero biases."""
    width = math.ceil(n_factors / LANES) * LANES if n_factors > LANES // 2 else n_factors
    spread = INITIAL_SPREAD * math.sqrt(12 / n_factors)  # the uniform distribution has a variance of 1/12

    def factors(n_rows: int) -> Floats:
        drawn = np.zeros((n_rows, width), np.float32)
        drawn[:, :n_factors] = rng.random((n_rows, n_factors), np.float32)
        drawn[:, :n_factors] -= 0.5
        drawn *= np.float32(spread)
        return drawn

    return Weights(factors(n_users), factors(n_items), np.zeros(n_users, np.float32), np.zeros(n_items, np.float32))


class Pool(NamedTuple):
    executor: Executor
    n_threads: int


@dataclass(frozen=True)
class BlockGrid:
    """The relabelling of items, and what turns ratings into targets: (value - centre) / scale.

    `item_places`: (n_items,), where each item went.
    """

    n_users: int
    item_places: Rows
    centre: float
    scale: float

    @classmethod
    def draw(cls, ratings: RatingMatrix, rng: np.random.Generator, *, biased: bool) -> Self:
        """Random labels; targets of unit variance around 0, or without biases of unit mean square, centre 0."""
        values = ratings.values.astype(np.float64)
        centre = float(values.mean()) if biased and len(values) else 0.0
        scale = float(np.sqrt(np.mean((values - centre) ** 2))) if len(values) else 0.0
        return cls(
            n_users=ratings.n_users,
            item_places=rng.permutation(ratings.n_items).astype(np.int32),
            centre=centre,
            scale=scale or 1.0,  # where all ratings are equal there is nothing to scale
        )

    @property
    def items_per_block(self) -> int:
        return max(1, math.ceil(len(self.item_places) / N_BLOCKS))

    def targets(self, values: Floats) -> Floats:
        targets: Floats = (values - np.float32(self.centre)) / np.float32(self.scale)
        return targets

    def draw_user_order(self, rng: np.random.Generator) -> Rows:
        """All users, (n_users,), in random order, a few neighbours together."""
        firsts = USERS_TOGETHER * rng.permutation(math.ceil(self.n_users / USERS_TOGETHER))
        order = (firsts[:, None] + np.arange(USERS_TOGETHER)).ravel()
        return order[order < self.n_users].astype(np.int32)

    def draw_blocks(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Every block once, (step, place, 3), the last as `update_blocks` takes it; blocks of one step share no row.

        Step s has the blocks (users a, items a XOR s), so that larger squares of blocks come one after the other, too:
        in steps 0 to 3, no block of the first half of the users meets an item that a block of the second half meets.
        """
        bounds = np.linspace(0, self.n_users, N_BLOCKS + 1).astype(np.int64)
        users = np.arange(N_BLOCKS)
        steps = users ^ rng.integers(N_BLOCKS)
        return np.stack([np.stack([bounds[:-1], bounds[1:], users ^ step], axis=1) for step in steps])


def share_out(blocks: NDArray[np.int64], n_threads: int) -> list[list[NDArray[np.int64]]]:
    """The blocks of an epoch in rounds; tasks of a round share no row, and each row keeps the order of one thread.

    Two threads meet twice in an epoch, four meet four times: the fewer there are, the less they wait.
    """
    n_tasks = 1 << (min(n_threads, N_BLOCKS).bit_length() - 1)
    size = N_BLOCKS // n_tasks
    return [
        [blocks[first : first + size, place : place + size].reshape(-1, 3) for place in range(0, N_BLOCKS, size)]
        for first in range(0, N_BLOCKS, size)
    ]


class BlockRatings:
    """Ratings in block order, ready for epochs."""

    def __init__(self, ratings: RatingMatrix, is_kept: NDArray[np.bool_], grid: BlockGrid) -> None:
        """Copies the ratings kept, 8 bytes each, and needs 4 more for a moment."""
        labels = BlockAssignment(ratings.n_users, grid.item_places, grid.items_per_block)
        columns = ratings.user_rows, ratings.item_rows, is_kept, labels
        starts = count_cells(*columns, N_BLOCKS * ratings.n_users)
        order = sort_into_cells(*columns, starts)
        item_rows = grid.item_places[ratings.item_rows[order]]
        user_counts = np.diff(starts).reshape(N_BLOCKS, ratings.n_users).sum(axis=0)
        self.grid = grid
        self.layout = Layout(
            starts=starts,
            item_rows=item_rows,
            targets=grid.targets(ratings.values[order]),
            user_priors=_priors(user_counts),
            item_priors=_priors(np.bincount(item_rows, minlength=ratings.n_items)),
        )

    def epoch(self, weights: Weights, steps: Steps, rng: np.random.Generator, pool: Pool | None = None) -> float:
        """One step for every rating; returns the mean squared error met on the way. `pool` changes no weight.

        Users are put into blocks anew: a fixed order lets items follow their last users, at 0.001 of RMSE.
        """
        user_order = self.grid.draw_user_order(rng)
        blocks = self.grid.draw_blocks(rng)

        def update(some: NDArray[np.int64]) -> float:
            return update_blocks(some, user_order, self.layout, weights, steps)

        if pool is None:
            loss = update(blocks.reshape(-1, 3))
        else:
            rounds = share_out(blocks, pool.n_threads)
            loss = sum(sum(pool.executor.map(update, tasks)) for tasks in rounds)
        return loss / max(1, len(self.layout.targets))


def _priors(counts: NDArray[np.integer]) -> Floats:
    priors: Floats = (PRIOR_RATINGS / np.maximum(counts, 1)).astype(np.float32)
    return priors


@dataclass(frozen=True)
class HeldOut:
    """A few ratings that no epoch sees: they tell the noise, and when learning has stopped helping."""

    user_rows: Rows
    item_rows: Rows
    targets: Floats

    @classmethod
    def pick(cls, ratings: RatingMatrix, positions: NDArray[np.int64], grid: BlockGrid) -> Self:
        return cls(
            ratings.user_rows[positions],
            grid.item_places[ratings.item_rows[positions]],
            grid.targets(ratings.values[positions]),
        )

    def error(self, weights: Weights) -> float:
        """Their mean squared error: a share of the variance of the ratings."""
        return mean_squared_error(self.user_rows, self.item_rows, self.targets, weights)
