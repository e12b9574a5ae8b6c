"""The same steps in random order: what the block schedule must not be worse than."""

import numpy as np
from numpy.typing import NDArray

from app.algorithms.compiled import compiled
from app.algorithms.sgd_kernel import Float32Array, Rows, StepSizes, Weights


@compiled
def random_epoch(
    order: NDArray[np.int64],
    user_rows: Rows,
    item_rows: Rows,
    targets: Float32Array,
    user_priors: Float32Array,
    item_priors: Float32Array,
    weights: Weights,
    steps: StepSizes,
) -> None:
    """One step for every rating, as `order` has them; the arithmetic of `update_blocks`."""
    user_factors, item_factors, user_biases, item_biases = weights
    learning_rate, bias_rate, regularization = steps
    one = np.float32(1.0)
    for rating in order:
        user, item = user_rows[rating], item_rows[rating]
        p, q = user_factors[user], item_factors[item]
        dot = np.float32(0.0)
        for f in range(p.shape[0]):
            dot += p[f] * q[f]
        error = targets[rating] - user_biases[user] - item_biases[item] - dot
        keep_p = one - learning_rate * regularization * (one + user_priors[user])
        keep_q = one - learning_rate * regularization * (one + item_priors[item])
        user_biases[user] += bias_rate * (error - regularization * user_priors[user] * user_biases[user])
        item_biases[item] += bias_rate * (error - regularization * item_priors[item] * item_biases[item])
        step = learning_rate * error
        for f in range(p.shape[0]):
            p_f, q_f = p[f], q[f]
            p[f] = keep_p * p_f + step * q_f
            q[f] = keep_q * q_f + step * p_f
