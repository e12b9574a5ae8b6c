"""A counting sort by row, compiled; a range of rows at a time, so that what is sorted fits into memory."""

import numpy as np
from numpy.typing import NDArray

from app.algorithms.compiled import compiled


@compiled
def place_by_row(
    rows: NDArray[np.int32],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
    free: NDArray[np.int64],
    first_row: int,
    past_row: int,
    placed_columns: NDArray[np.int32],
    placed_values: NDArray[np.float32],
) -> None:
    """Put the entries of rows `first_row` to `past_row` - 1 where `free`, (past_row - first_row,), says, stable.

    `free` is moved on by the entries of each row. All of `rows`, `columns`, `values`: (n,).
    """
    for at in range(rows.shape[0]):
        row = rows[at]
        if first_row <= row < past_row:
            place = free[row - first_row]
            placed_columns[place] = columns[at]
            placed_values[place] = values[at]
            free[row - first_row] = place + 1


@compiled
def order_by(keys: NDArray[np.int32], order: NDArray[np.int32], n_keys: int, ordered: NDArray[np.int32]) -> None:
    """Write the positions `order`, (n,), to `ordered` by ascending key, stable. `keys`: (n,), 0 to `n_keys` - 1."""
    free = np.zeros(n_keys + 1, np.int64)
    for at in range(keys.shape[0]):
        free[keys[at] + 1] += 1
    for key in range(n_keys):
        free[key + 1] += free[key]
    for at in range(order.shape[0]):
        position = order[at]
        key = keys[position]
        ordered[free[key]] = position
        free[key] += 1


@compiled
def keep_newest_of_pairs(
    users: NDArray[np.int32], items: NDArray[np.int32], times: NDArray[np.int64], ordered: NDArray[np.int32]
) -> int:
    """Of the positions `ordered`, (n,), by user and item, keep the newest of each pair, of equal times the last.

    They are moved to the front; returns how many there are.
    """
    n = 0
    for at in range(ordered.shape[0]):
        position = ordered[at]
        if n and users[ordered[n - 1]] == users[position] and items[ordered[n - 1]] == items[position]:
            if times[position] >= times[ordered[n - 1]]:
                ordered[n - 1] = position
        else:
            ordered[n] = position
            n += 1
    return n


@compiled
def scatter(
    buckets: NDArray[np.int32],
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    values: NDArray[np.float32],
    times: NDArray[np.int64],
    free: NDArray[np.int64],
    into_users: NDArray[np.int32],
    into_items: NDArray[np.int32],
    into_values: NDArray[np.float32],
    into_times: NDArray[np.int64],
) -> None:
    """Put ratings, (n,) columns, where `free` says for the bucket of their user, stable; `free` is moved on.

    Rows below 0 are left out.
    """
    for at in range(users.shape[0]):
        if users[at] < 0 or items[at] < 0:
            continue
        bucket = buckets[users[at]]
        place = free[bucket]
        into_users[place], into_items[place] = users[at], items[at]
        into_values[place], into_times[place] = values[at], times[at]
        free[bucket] = place + 1
