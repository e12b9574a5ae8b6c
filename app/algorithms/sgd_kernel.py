"""The inner loop of Funk SVD, compiled: one stochastic gradient step per rating, block by block."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.algorithms.compiled import compiled

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]


class Weights(NamedTuple):
    """What is being learned, in units of the ratings' spread. Every step changes it in place.

    `user_factors`: (n_users, k), `item_factors`: (n_items, k), `user_biases`: (n_users,), `item_biases`: (n_items,).
    """

    user_factors: Floats
    item_factors: Floats
    user_biases: Floats
    item_biases: Floats


class Layout(NamedTuple):
    """n ratings in order of (block of items, user), items relabelled so that a block of them is a range.

    `starts`: (n_item_blocks * n_users + 1,), where the ratings of each user in each block of items begin.
    `item_rows`, `targets`: (n,). `user_priors`: (n_users,), `item_priors`: (n_items,): the weight of the prior per
    rating of the row, 60 / m, so that every step takes its share of the row's whole penalty.
    """

    starts: NDArray[np.int64]
    item_rows: Rows
    targets: Floats
    user_priors: Floats
    item_priors: Floats


class Steps(NamedTuple):
    """How far one step goes: `bias_rate` 0 leaves the biases alone."""

    learning_rate: np.float32
    bias_rate: np.float32
    regularization: np.float32


@compiled
def update_blocks(blocks: NDArray[np.int64], user_order: Rows, layout: Layout, weights: Weights, steps: Steps) -> float:
    """One step for every rating of some blocks, in order.

    `blocks`: (n, 3): a block's users are `user_order[first]` to `user_order[past - 1]`; and its block of items. Returns
    the sum of the squared errors, each before its step. The step, with learning rate g:

        e   = r_ui - b_u - b_i - p_u . q_i
        b_u = b_u + g (e - regularization 60/m_u b_u)             b_i likewise
        p_u = p_u + g (e q_i - regularization (1 + 60/m_u) p_u)   q_i likewise, with the p_u of before
    """
    user_factors, item_factors, user_biases, item_biases = weights
    learning_rate, bias_rate, regularization = steps
    n_users, n_factors = user_factors.shape
    one, zero = np.float32(1.0), np.float32(0.0)
    p = np.empty(n_factors, np.float32)  # stays in the first-level cache while a user's ratings pass
    loss = 0.0
    for block in range(blocks.shape[0]):
        first_user, past_user, item_block = blocks[block]
        for place in range(first_user, past_user):
            user = user_order[place]
            cell = item_block * n_users + user
            first, past = layout.starts[cell], layout.starts[cell + 1]
            if first == past:
                continue
            for f in range(n_factors):
                p[f] = user_factors[user, f]
            b_u = user_biases[user]
            # Never below 0: a huge penalty empties a row, it does not flip its sign.
            keep_p = max(zero, one - learning_rate * regularization * (one + layout.user_priors[user]))
            keep_b_u = max(zero, one - bias_rate * regularization * layout.user_priors[user])
            for rating in range(first, past):
                item = layout.item_rows[rating]
                q = item_factors[item]
                dot = zero
                for f in range(n_factors):
                    dot += p[f] * q[f]
                error = layout.targets[rating] - b_u - item_biases[item] - dot
                loss += error * error
                keep_q = max(zero, one - learning_rate * regularization * (one + layout.item_priors[item]))
                keep_b_i = max(zero, one - bias_rate * regularization * layout.item_priors[item])
                b_u = keep_b_u * b_u + bias_rate * error
                item_biases[item] = keep_b_i * item_biases[item] + bias_rate * error
                step = learning_rate * error
                for f in range(n_factors):
                    p_f, q_f = p[f], q[f]
                    p[f] = keep_p * p_f + step * q_f
                    q[f] = keep_q * q_f + step * p_f
            for f in range(n_factors):
                user_factors[user, f] = p[f]
            user_biases[user] = b_u
    return loss


@compiled
def mean_squared_error(user_rows: Rows, item_rows: Rows, targets: Floats, weights: Weights) -> float:
    """The mean of (r_ui - b_u - b_i - p_u . q_i)^2 over at least one rating, items relabelled."""
    user_factors, item_factors, user_biases, item_biases = weights
    total = 0.0
    for rating in range(user_rows.shape[0]):
        user, item = user_rows[rating], item_rows[rating]
        error = targets[rating] - user_biases[user] - item_biases[item]
        for f in range(user_factors.shape[1]):
            error -= user_factors[user, f] * item_factors[item, f]
        total += error * error
    return float(total / user_rows.shape[0])


class BlockAssignment(NamedTuple):
    """Where every item goes, and how many make a block."""

    n_users: int
    item_places: Rows
    items_per_block: int


@compiled
def count_cells(
    user_rows: Rows, item_rows: Rows, is_kept: NDArray[np.bool_], labels: BlockAssignment, n_cells: int
) -> NDArray[np.int64]:
    """`Layout.starts` of the ratings kept."""
    n_users, item_places, items_per_block = labels
    starts = np.zeros(n_cells + 1, np.int64)
    for rating in range(user_rows.shape[0]):
        if is_kept[rating]:
            block = item_places[item_rows[rating]] // items_per_block
            starts[block * n_users + user_rows[rating] + 1] += 1
    for cell in range(n_cells):
        starts[cell + 1] += starts[cell]
    return starts


@compiled
def sort_into_cells(
    user_rows: Rows, item_rows: Rows, is_kept: NDArray[np.bool_], labels: BlockAssignment, starts: NDArray[np.int64]
) -> NDArray[np.int32]:
    """The positions of the ratings kept, in the order of `Layout`; a counting sort, so linear and stable."""
    n_users, item_places, items_per_block = labels
    order = np.empty(starts[-1], np.int32)
    free = starts[:-1].copy()
    for rating in range(user_rows.shape[0]):
        if is_kept[rating]:
            block = item_places[item_rows[rating]] // items_per_block
            cell = block * n_users + user_rows[rating]
            order[free[cell]] = rating
            free[cell] += 1
    return order
