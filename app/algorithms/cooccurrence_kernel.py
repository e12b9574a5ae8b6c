"""Sums over pairs of choices of one user, item by item, compiled.

For a user with choices 1 .. m of weights w, and the decayed history s_t = sum_{p<t} w_p decay^(t-1-p) e_p before choice
t, the sums over all t and users are

    (S'S)_jk = sum over p <= q, {j, k} = {item p, item q}, of  w_p w_q decay^(q-p) g_q
    (S'T)_ji = sum over p < t, j = item p, i = item t, of      w_p w_t decay^(t-1-p)
    g_q      = sum_{t>q} w_t decay^(2 (t-1-q)) = w_{q+1} + decay^2 g_{q+1}

so S, which has a row for every choice, is never made. With decay 1 and all g 1, the first is X'X of the whole
histories. A task handles some items and every sum belongs to one item: no result depends on the number of threads.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.algorithms.compiled import compiled

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
Positions = NDArray[np.integer]


class Choices(NamedTuple):
    """n choices by user, oldest first, and where each item occurs among them.

    `starts`: (n_users + 1,). `user_rows`, `item_rows`: (n,). `weights`, `futures`: (n,) float64, w and g.
    `powers`: (n_lags,) float64, decay^lag; pairs further apart do not count.
    `item_starts`: (n_items + 1,), `places`: (n,), the choices of each item.
    """

    starts: Positions
    user_rows: Positions
    item_rows: Positions
    weights: Float64Array
    futures: Float64Array
    powers: Float64Array
    item_starts: Positions
    places: Positions


@compiled
def sum_futures(starts: Positions, weights: Float64Array, decay: float, futures: Float64Array) -> None:
    """Write g_q = w_{q+1} + decay^2 g_{q+1} into `futures`, (n,); 0 for the newest choice of each user."""
    for user in range(starts.shape[0] - 1):
        future = 0.0
        for place in range(starts[user + 1] - 1, starts[user] - 1, -1):
            futures[place] = future
            future = weights[place] + decay * decay * future


@compiled
def sum_histories(starts: Positions, weights: Float64Array, decay: float) -> tuple[float, float]:
    """The sums of w_t h_t and of w_t h_t^2 over choices t, with h_t the sum of the decayed history before t."""
    lengths, squares = 0.0, 0.0
    for user in range(starts.shape[0] - 1):
        length = 0.0
        for place in range(starts[user], starts[user + 1]):
            lengths += weights[place] * length
            squares += weights[place] * length * length
            length = weights[place] + decay * length
    return lengths, squares


@compiled
def add_gram(item: int, choices: Choices, total: Float64Array, touched: Positions) -> int:
    """Add row `item` of S'S to `total`, (n_items,), all 0 before.

    Writes the items whose sums are not 0 any more into `touched`, (n_items,), and returns their number.
    """
    n_lags, n_touched = choices.powers.shape[0], 0
    for at in range(choices.item_starts[item], choices.item_starts[item + 1]):
        place = choices.places[at]
        user, weight = choices.user_rows[place], choices.weights[place]
        # The item as the newer choice q, and as the older choice p: w_p w_q decay^(q-p) g_q
        by_future = weight * choices.futures[place]
        for older in range(max(choices.starts[user], place - n_lags + 1), place):
            value = by_future * choices.weights[older] * choices.powers[place - older]
            n_touched = add(choices.item_rows[older], value, total, touched, n_touched)
        for newer in range(place, min(choices.starts[user + 1], place + n_lags)):
            value = weight * choices.weights[newer] * choices.powers[newer - place] * choices.futures[newer]
            n_touched = add(choices.item_rows[newer], value, total, touched, n_touched)
    return n_touched


@compiled
def add_next(item: int, choices: Choices, total: Float64Array, touched: Positions) -> int:
    """As `add_gram`, for row `item` of S'T: what comes after the item."""
    n_lags, n_touched = choices.powers.shape[0], 0
    for at in range(choices.item_starts[item], choices.item_starts[item + 1]):
        place = choices.places[at]
        user, weight = choices.user_rows[place], choices.weights[place]
        # w_p w_t decay^(t-1-p)
        for later in range(place + 1, min(choices.starts[user + 1], place + 1 + n_lags)):
            value = weight * choices.weights[later] * choices.powers[later - 1 - place]
            n_touched = add(choices.item_rows[later], value, total, touched, n_touched)
    return n_touched


@compiled
def add_previous(item: int, choices: Choices, total: Float64Array, touched: Positions) -> int:
    """As `add_gram`, for column `item` of S'T: what comes before the item."""
    n_lags, n_touched = choices.powers.shape[0], 0
    for at in range(choices.item_starts[item], choices.item_starts[item + 1]):
        place = choices.places[at]
        user, weight = choices.user_rows[place], choices.weights[place]
        for earlier in range(max(choices.starts[user], place - n_lags), place):
            value = weight * choices.weights[earlier] * choices.powers[place - 1 - earlier]
            n_touched = add(choices.item_rows[earlier], value, total, touched, n_touched)
    return n_touched


@compiled
def add(item: int, value: float, total: Float64Array, touched: Positions, n_touched: int) -> int:
    """Add `value` to the sum of `item`; returns the number of items touched so far."""
    if total[item] == 0.0 and value > 0.0:
        touched[n_touched] = item
        n_touched += 1
    total[item] += value
    return n_touched


@compiled
def fill_rows(first_item: int, past_item: int, choices: Choices, is_gram: bool, matrix: Float32Array) -> None:
    """Write rows `first_item` to `past_item` - 1 of S'S, or of S'T, into `matrix`, (n_items, n_items)."""
    n_items = matrix.shape[1]
    total, touched = np.zeros(n_items), np.empty(n_items, np.int32)  # sums in float64
    for item in range(first_item, past_item):
        n_touched = add_gram(item, choices, total, touched) if is_gram else add_next(item, choices, total, touched)
        for other in range(n_items):
            matrix[item, other] = 0.0
        for at in range(n_touched):
            matrix[item, touched[at]] = total[touched[at]]
            total[touched[at]] = 0.0
