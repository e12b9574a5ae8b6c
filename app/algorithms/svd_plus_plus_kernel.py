"""The inner loop of SVD++, compiled: one stochastic gradient step per rating, user by user.

Y. Koren (2008), section 4; the equations are those of `svd_plus_plus.py`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.algorithms.compiled import compiled
from app.algorithms.sgd_kernel import Float32Array, Rows, StepSizes, Weights


class UserRatings(NamedTuple):
    """n ratings by user.

    `starts`: (n_users + 1,), where the ratings of each user begin. `item_rows`, `targets`: (n,).
    `user_priors`, `item_priors`: (n_users,), (n_items,), 60 / m, the share of the row's prior that one rating carries.
    """

    starts: NDArray[np.int64]
    item_rows: Rows
    targets: Float32Array
    user_priors: Float32Array
    item_priors: Float32Array


@compiled
def update_users(
    user_order: Rows, ratings: UserRatings, weights: Weights, set_factors: Float32Array, steps: StepSizes
) -> float:
    """One step for every rating of the users in order; changes `weights` and `set_factors`, the y_j, in place.

    z_u = |N(u)|^-1/2 sum_j y_j is summed once per user and moves with every step as it would if all its y_j moved; at
    the end the total movement is shared out among the y_j. A user of m ratings thus costs O(m k), not O(m^2 k).
    Returns the sum of squared errors, each measured before its step. With learning rate g:

        e   = t_ui - b_u - b_i - (p_u + z_u) . q_i
        p_u = p_u + g (e q_i - regularization (1 + 60/m_u) p_u)            b_u, b_i as in Funk SVD
        q_i = q_i + g (e (p_u + z_u) - regularization (1 + 60/m_i) q_i)
        y_j = y_j + g |N(u)|^-1/2 sum_i e q_i,  after y_j = exp(-g regularization (1 + 60/m_j) |N(u)|^1/2) y_j

    The paper penalises y_j once per rating of the user, |N(u)| times, which leaves little of it after a long history.
    Once per user lets it follow long histories too closely. The geometric mean of both, |N(u)|^1/2, has the least error
    of the three on MovieLens and is within 0.5 % of the paper's on ratings of rank 4.
    """
    user_factors, item_factors, user_biases, item_biases = weights
    learning_rate, bias_rate, regularization = steps
    n_factors = user_factors.shape[1]
    # float32 constants, as in `update_blocks`: Python floats would promote the loop to float64.
    one, zero = np.float32(1.0), np.float32(0.0)
    # z is z_u as it moves; `movement` collects sum_i g e q_i, which the y_j share at the end.
    z, movement = np.empty(n_factors, np.float32), np.empty(n_factors, np.float32)
    loss = 0.0
    for place in range(user_order.shape[0]):
        user = user_order[place]
        first, past = ratings.starts[user], ratings.starts[user + 1]
        if first == past:
            continue
        # |N(u)|^-1/2
        norm = one / np.sqrt(np.float32(past - first))
        sum_of_set(first, past, ratings.item_rows, set_factors, z)
        movement.fill(zero)
        # A view, not a copy: users are visited once per epoch.
        p = user_factors[user]
        # Factors of weight decay, clipped at 0 as in `update_blocks`.
        keep_p = max(zero, one - learning_rate * regularization * (one + ratings.user_priors[user]))
        keep_b_u = max(zero, one - bias_rate * regularization * ratings.user_priors[user])
        for rating in range(first, past):
            item = ratings.item_rows[rating]
            q = item_factors[item]
            # The product of the user's and the item's vectors, (p_u + z_u) . q_i
            dot = zero
            for f in range(n_factors):
                dot += (p[f] + z[f]) * q[f]
            error = ratings.targets[rating] - user_biases[user] - item_biases[item] - dot
            loss += error * error
            # Decay of the item parameters, by the item's own count m_i
            keep_q = max(zero, one - learning_rate * regularization * (one + ratings.item_priors[item]))
            keep_b_i = max(zero, one - bias_rate * regularization * ratings.item_priors[item])
            # b = (1 - g penalty) b + g e, for both biases
            user_biases[user] = keep_b_u * user_biases[user] + bias_rate * error
            item_biases[item] = keep_b_i * item_biases[item] + bias_rate * error
            # dz_u = |N|^-1/2 sum_j dy_j = |N|^-1/2 |N| |N|^-1/2 g e q_i = g e q_i
            step = learning_rate * error
            for f in range(n_factors):
                # Old values first: all three updates use the state before the step.
                p_f, q_f, z_f = p[f], q[f], z[f]
                p[f] = keep_p * p_f + step * q_f
                q[f] = keep_q * q_f + step * (p_f + z_f)
                z[f] = z_f + step * q_f
                movement[f] += step * q_f
        # y_j = exp(-g regularization (1 + 60/m_j) |N|^1/2) y_j + |N|^-1/2 sum_i g e q_i. The exponential instead of
        # 1 - x: x = g penalty |N|^1/2 exceeds 1 for long histories.
        decay = learning_rate * regularization / norm
        for rating in range(first, past):
            item = ratings.item_rows[rating]
            keep_y = np.exp(-decay * (one + ratings.item_priors[item]))
            for f in range(n_factors):
                set_factors[item, f] = keep_y * set_factors[item, f] + norm * movement[f]
    return loss


@compiled
def sum_of_set(first: int, past: int, item_rows: Rows, set_factors: Float32Array, z: Float32Array) -> None:
    """Write z = |N|^-1/2 sum_j y_j over the items of ratings `first` to `past` - 1 into z, (k,); 0 without ratings."""
    z.fill(np.float32(0.0))
    for rating in range(first, past):
        y = set_factors[item_rows[rating]]
        for f in range(z.shape[0]):
            z[f] += y[f]
    norm = np.float32(1.0) / np.sqrt(np.float32(max(1, past - first)))
    for f in range(z.shape[0]):
        z[f] *= norm
