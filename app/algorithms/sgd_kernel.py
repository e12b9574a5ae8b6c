"""The inner loop of Funk SVD, compiled: one stochastic gradient step per rating, block by block.

The objective is that of `funk_svd.py`. Its penalty of a row is shared out over the row's m ratings, so that each step
descends along the gradient of its own term:

    (t_ui - b_u - b_i - p_u . q_i)^2 + regularization ((1 + 60/m_u) |p_u|^2 + 60/m_u b_u^2 + the same of the item)

with targets t of mean 0 and variance 1; the factor 2 of the gradient is part of the learning rate. All arithmetic is
float32: twice as many SIMD lanes as float64, and rounding is far below the noise of a stochastic gradient.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.algorithms.compiled import compiled

Float32Array = NDArray[np.float32]
Rows = NDArray[np.int32]


class Weights(NamedTuple):
    """The parameters, in units of the standard deviation of the ratings; every step changes them in place.

    `user_factors`: (n_users, k), `item_factors`: (n_items, k), `user_biases`: (n_users,), `item_biases`: (n_items,).
    """

    user_factors: Float32Array
    item_factors: Float32Array
    user_biases: Float32Array
    item_biases: Float32Array


class BlockLayout(NamedTuple):
    """n ratings in the order of (item block, user); items are relabelled so that a block is a range of rows.

    `starts`: (n_item_blocks * n_users + 1,), where the ratings of each user in each item block begin.
    `item_rows`, `targets`: (n,).
    `user_priors`, `item_priors`: (n_users,), (n_items,), 60 / m, the share of the row's prior that one rating carries.
    """

    starts: NDArray[np.int64]
    item_rows: Rows
    targets: Float32Array
    user_priors: Float32Array
    item_priors: Float32Array


class StepSizes(NamedTuple):
    """The step sizes g of factors and biases, and the penalty weight. `bias_rate` 0 leaves the biases unchanged."""

    learning_rate: np.float32
    bias_rate: np.float32
    regularization: np.float32


@compiled
def update_blocks(
    blocks: NDArray[np.int64], user_order: Rows, layout: BlockLayout, weights: Weights, steps: StepSizes
) -> float:
    """One step for every rating of some blocks, in order.

    `blocks`: (n, 3) rows (first, past, item block); the users of a block are `user_order[first:past]`. Returns the sum
    of squared errors, each measured before its step. The step, with learning rate g:

        e   = t_ui - b_u - b_i - p_u . q_i
        b_u = b_u + g (e - regularization 60/m_u b_u)             b_i likewise
        p_u = p_u + g (e q_i - regularization (1 + 60/m_u) p_u)   q_i likewise, with the old p_u
    """
    user_factors, item_factors, user_biases, item_biases = weights
    learning_rate, bias_rate, regularization = steps
    n_users, n_factors = user_factors.shape
    # float32 constants: numba would promote float32 arithmetic with a Python float to float64.
    one, zero = np.float32(1.0), np.float32(0.0)
    # A local copy of p_u stays in the first-level cache while the user's ratings pass; q_i is updated in place.
    p = np.empty(n_factors, np.float32)
    loss = 0.0
    for block in range(blocks.shape[0]):
        # Users of one block row by row, and for each the ratings in one item block.
        first_user, past_user, item_block = blocks[block]
        for place in range(first_user, past_user):
            user = user_order[place]
            # (item block, user) cells are numbered block by block, as they lie in memory.
            cell = item_block * n_users + user
            first, past = layout.starts[cell], layout.starts[cell + 1]
            if first == past:
                continue
            for f in range(n_factors):
                p[f] = user_factors[user, f]
            # Scalars stay in registers while the user's ratings pass.
            b_u = user_biases[user]
            # keep = 1 - g penalty, the factor of weight decay. Clipped at 0: a huge penalty shrinks a row to 0 but must
            # not flip its sign, which would oscillate and diverge.
            keep_p = max(zero, one - learning_rate * regularization * (one + layout.user_priors[user]))
            keep_b_u = max(zero, one - bias_rate * regularization * layout.user_priors[user])
            for rating in range(first, past):
                item = layout.item_rows[rating]
                q = item_factors[item]
                # The error before the step, e = t_ui - b_u - b_i - p_u . q_i
                dot = zero
                for f in range(n_factors):
                    dot += p[f] * q[f]
                error = layout.targets[rating] - b_u - item_biases[item] - dot
                loss += error * error
                # Weight decay of the item's share: q_i has its own count m_i.
                keep_q = max(zero, one - learning_rate * regularization * (one + layout.item_priors[item]))
                keep_b_i = max(zero, one - bias_rate * regularization * layout.item_priors[item])
                # b = (1 - g penalty) b + g e, for the user and the item alike
                b_u = keep_b_u * b_u + bias_rate * error
                item_biases[item] = keep_b_i * item_biases[item] + bias_rate * error
                # p += g e q and q += g e p together, each with the old value of the other.
                step = learning_rate * error
                for f in range(n_factors):
                    p_f, q_f = p[f], q[f]
                    p[f] = keep_p * p_f + step * q_f
                    q[f] = keep_q * q_f + step * p_f
            # Write p_u and b_u back once per user and block.
            for f in range(n_factors):
                user_factors[user, f] = p[f]
            user_biases[user] = b_u
    return loss


@compiled
def mean_squared_error(user_rows: Rows, item_rows: Rows, targets: Float32Array, weights: Weights) -> float:
    """The mean of (t_ui - b_u - b_i - p_u . q_i)^2 over at least one rating; items are relabelled rows."""
    user_factors, item_factors, user_biases, item_biases = weights
    total = 0.0  # float64: a sum over 20,000 float32 terms would lose digits
    for rating in range(user_rows.shape[0]):
        user, item = user_rows[rating], item_rows[rating]
        error = targets[rating] - user_biases[user] - item_biases[item]
        for f in range(user_factors.shape[1]):
            error -= user_factors[user, f] * item_factors[item, f]
        total += error * error
    return float(total / user_rows.shape[0])


class BlockAssignment(NamedTuple):
    """The block grid as kernels take it: `item_places` (n_items,), the new row of every item, and the block size."""

    n_users: int
    item_places: Rows
    items_per_block: int


@compiled
def count_cells(
    user_rows: Rows,
    item_rows: Rows,
    is_selected: NDArray[np.bool_],
    assignment: BlockAssignment,
    counts: NDArray[np.int64],
) -> None:
    """Add 1 to `counts`, (n_cells + 1,), one place behind the cell (item block, user) of every selected rating."""
    n_users, item_places, items_per_block = assignment
    # One place to the right, so that the running sum of all counts is `BlockLayout.starts`.
    for rating in range(user_rows.shape[0]):
        if is_selected[rating]:
            block = item_places[item_rows[rating]] // items_per_block
            counts[block * n_users + user_rows[rating] + 1] += 1


@compiled
def sort_into_cells(
    user_rows: Rows,
    item_rows: Rows,
    is_selected: NDArray[np.bool_],
    assignment: BlockAssignment,
    targets: Float32Array,
    free: NDArray[np.int64],
    sorted_items: Rows,
    sorted_targets: Float32Array,
) -> None:
    """Put relabelled items and targets of the selected ratings in the order of `BlockLayout`: linear and stable.

    `free`: (n_cells,), the next free place of each cell, which is moved on.
    """
    n_users, item_places, items_per_block = assignment
    for rating in range(user_rows.shape[0]):
        if is_selected[rating]:
            item = item_places[item_rows[rating]]
            cell = (item // items_per_block) * n_users + user_rows[rating]
            place = free[cell]
            sorted_items[place], sorted_targets[place] = item, targets[rating]
            free[cell] = place + 1
