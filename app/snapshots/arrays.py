"""The arrays of a snapshot: one `.npy` file each, with the shape and dtype every reader may rely on."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from app.snapshots.errors import SnapshotDamagedError

N_SIMILAR = 50
"""Similar items stored for each item."""


@dataclass(frozen=True)
class SnapshotArrays:
    """Everything a snapshot holds but its manifest and its index. A *row* is a position along `n_items` or `n_users`.

    Behind each type stand the dtype and the names (or fixed lengths) of the axes, which `check_arrays` holds it to.

    Items: all of the catalogue. One without ratings has the vector that its features give it.
    `item_vectors`: the columns of all segments, unweighted, padded with zero columns. `item_counts`: users who chose
    each item: rated it, or were engaged by it. `popular_rows`: all rows, most chosen first. `unrated_item`: the vector
    of one of which nothing is known. `item_mean`, `item_covariance`: of the vectors of the items that anybody chose.

    Users: `user_vectors` weighted and standardised, so that a row times an item's row is the score. `user_biases`: in
    units of the rating scale. `user_deviations`, `item_deviations`: what is not known of either, in the rating scale;
    together, as the root of the sum of squares, the standard deviation of a rating around its prediction.
    `user_versions`, `user_profile_versions`: `users.version` and `users.profile_version` when the ratings were read.
    The ratings of user row u stand at `history_starts[u] : history_starts[u + 1]` of `history_rows` and
    `history_values`, newest first. The items u did not rate, but that events say something of, stand likewise from
    `label_starts[u]` on in `label_rows`; u was engaged by them where `are_positive`, and declined the others.

    Features: offset + features . map is the vector of an item without ratings, and the unweighted parts of such a user.

    `of_segments`: what else a segment needs to fold a user in, and tables of neighbours, see `SEGMENT_LAYOUTS`.

    Groups: the rows that the members of group n rated stand at `group_starts[n] : group_starts[n + 1]` of `group_rows`,
    most rated first, beside the number of their ratings in `group_counts`; the groups of user row u stand at
    `user_group_starts[u] : user_group_starts[u + 1]` of `user_groups`. What they are, a file of its own tells.

    Similar items: best first; row -1 where there are fewer. No rows at all in a catalogue too large to store them for.
    """

    item_keys: Annotated[NDArray[np.int64], np.int64, "n_items"]
    item_vectors: Annotated[NDArray[np.float32], np.float32, "n_items", "dimension"]
    item_counts: Annotated[NDArray[np.int32], np.int32, "n_items"]
    popular_rows: Annotated[NDArray[np.int32], np.int32, "n_items"]
    item_deviations: Annotated[NDArray[np.float32], np.float32, "n_items"]
    unrated_item: Annotated[NDArray[np.float32], np.float32, "dimension"]
    item_mean: Annotated[NDArray[np.float32], np.float32, "dimension"]
    item_covariance: Annotated[NDArray[np.float32], np.float32, "dimension", "dimension"]
    user_keys: Annotated[NDArray[np.int64], np.int64, "n_users"]
    user_vectors: Annotated[NDArray[np.float32], np.float32, "n_users", "dimension"]
    user_biases: Annotated[NDArray[np.float32], np.float32, "n_users"]
    user_deviations: Annotated[NDArray[np.float32], np.float32, "n_users"]
    user_versions: Annotated[NDArray[np.int64], np.int64, "n_users"]
    user_profile_versions: Annotated[NDArray[np.int64], np.int64, "n_users"]
    history_starts: Annotated[NDArray[np.int64], np.int64, "n_starts"]
    history_rows: Annotated[NDArray[np.int32], np.int32, "n_ratings"]
    history_values: Annotated[NDArray[np.float32], np.float32, "n_ratings"]
    label_starts: Annotated[NDArray[np.int64], np.int64, "n_starts"]
    label_rows: Annotated[NDArray[np.int32], np.int32, "n_labels"]
    are_positive: Annotated[NDArray[np.bool_], np.bool_, "n_labels"]
    similar_rows: Annotated[NDArray[np.int32], np.int32, "n_similar_stored", N_SIMILAR]
    similar_scores: Annotated[NDArray[np.float32], np.float32, "n_similar_stored", N_SIMILAR]
    group_starts: Annotated[NDArray[np.int64], np.int64, "n_group_starts"]
    group_rows: Annotated[NDArray[np.int32], np.int32, "n_group_rows"]
    group_counts: Annotated[NDArray[np.int32], np.int32, "n_group_rows"]
    user_group_starts: Annotated[NDArray[np.int64], np.int64, "n_starts"]
    user_groups: Annotated[NDArray[np.int32], np.int32, "n_memberships"]
    item_map: Annotated[NDArray[np.float32], np.float32, "n_item_features", "dimension"]
    user_map: Annotated[NDArray[np.float32], np.float32, "n_user_features", "dimension"]
    item_offset: Annotated[NDArray[np.float32], np.float32, "dimension"]
    user_offset: Annotated[NDArray[np.float32], np.float32, "dimension"]
    of_segments: Mapping[str, NDArray[Any]]

    def history(self, user_row: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Item rows and values of the ratings the user had given at the snapshot, newest first."""
        ratings = slice(self.history_starts[user_row], self.history_starts[user_row + 1])
        return self.history_rows[ratings], self.history_values[ratings]

    def labels(self, user_row: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Item rows that engaged the user, and that they declined, as of the snapshot, newest first; none is rated."""
        labels = slice(self.label_starts[user_row], self.label_starts[user_row + 1])
        rows, are_positive = self.label_rows[labels], self.are_positive[labels]
        return rows[are_positive], rows[~are_positive]


Layout = tuple[np.dtype[Any], tuple[str | int, ...]]


def _layouts() -> dict[str, Layout]:
    hints = get_type_hints(SnapshotArrays, include_extras=True)
    del hints["of_segments"]
    return {
        name: (np.dtype(dtype), tuple(shape))
        for name, (_, dtype, *shape) in zip(hints, map(get_args, hints.values()), strict=True)
    }


ARRAY_LAYOUTS: dict[str, Layout] = _layouts()
"""Name of each array that every snapshot has -> its dtype and the names (or fixed lengths) of its axes."""

N_TOWER_LAYERS = 3


def _tower_layouts(side: str) -> dict[str, Layout]:
    """The weights and biases of a network whose last layer gives the segment's columns."""
    widths = [f"n_{side}_inputs", *(f"n_{side}_hidden_{n}" for n in range(1, N_TOWER_LAYERS)), "n_towers_columns"]
    layouts: dict[str, Layout] = {}
    for layer, (width, next_width) in enumerate(pairwise(widths), start=1):
        layouts[f"towers.{side}_weights_{layer}"] = (np.dtype(np.float32), (width, next_width))
        layouts[f"towers.{side}_biases_{layer}"] = (np.dtype(np.float32), (next_width,))
    return layouts


TABLES = ("knn", "ease")
"""Tables that there may be: row i of `tables.NAME_rows` holds the items that a rating of item i speaks for, best first,
-1 where there are no more, and `tables.NAME_weights` how much it does."""


def _table_layouts(name: str) -> dict[str, Layout]:
    axes = ("n_items", f"n_{name}_neighbours")
    return {
        f"tables.{name}_rows": (np.dtype(np.int32), axes),
        f"tables.{name}_weights": (np.dtype(np.float32), axes),
    }


SEGMENT_LAYOUTS: dict[str, Layout] = {
    "rating.precision": (np.dtype(np.float64), (2, "n_rating_columns", "n_rating_columns")),
    "taste.gram": (np.dtype(np.float64), ("n_taste_columns", "n_taste_columns")),
    **_tower_layouts("user"),
    **_tower_layouts("item"),
    "towers.top_items": (np.dtype(np.int32), ("n_top_items",)),
    "towers.categories": (np.dtype(np.float32), ("n_items", "n_categories")),
    "towers.unknown_user": (np.dtype(np.float32), ("n_towers_columns",)),
    **_table_layouts("knn"),
    **_table_layouts("ease"),
}
"""The arrays that some algorithms add, `segment.name`, alike."""

ITEM_ROWS = {
    "history_rows": 0,
    "label_rows": 0,
    "popular_rows": 0,
    "group_rows": 0,
    "similar_rows": -1,
    "towers.top_items": 0,
    **{f"tables.{name}_rows": -1 for name in TABLES},
}
"""Arrays of rows of items -> the lowest they may hold."""

NO_ROWS = np.empty(0, np.int32)

LAYOUTS = ARRAY_LAYOUTS | SEGMENT_LAYOUTS


def named_arrays(arrays: SnapshotArrays) -> dict[str, NDArray[Any]]:
    return {name: getattr(arrays, name) for name in ARRAY_LAYOUTS} | dict(arrays.of_segments)


def check_arrays(arrays: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """The sizes by name (`n_items`, `dimension`, ...) that all arrays agree on.

    Raises `SnapshotDamagedError` where dtypes, shapes or contents contradict each other.
    """
    sizes = _agreed_sizes(arrays)
    n_items, n_users = sizes["n_items"], sizes["n_users"]
    _require(sizes["n_starts"] == n_users + 1, "history_starts does not fit user_keys")
    for name, spanned in (
        ("history_starts", "n_ratings"),
        ("label_starts", "n_labels"),
        ("group_starts", "n_group_rows"),
        ("user_group_starts", "n_memberships"),
    ):
        starts = arrays[name]
        _require(len(starts) > 0 and bool(starts[0] == 0 and starts[-1] == sizes[spanned]), f"{name} ends elsewhere")
        _require(bool(np.all(np.diff(starts) >= 0)), f"{name} goes backwards")
    _require(sizes["n_similar_stored"] in {0, n_items}, "similar_rows does not fit item_keys")
    for name in ("item_keys", "user_keys"):
        _require(bool(np.all(np.diff(arrays[name]) > 0)), f"{name} does not ascend")
    for table in TABLES:
        there = [f"tables.{table}_{part}" in arrays for part in ("rows", "weights")]
        _require(there[0] == there[1], f"half of the table {table} is missing")
    for name, lowest in ITEM_ROWS.items():
        rows = arrays.get(name, NO_ROWS)
        _require(rows.size == 0 or bool(rows.min() >= lowest and rows.max() < n_items), f"{name} leaves the items")
    groups, n_groups = arrays["user_groups"], sizes["n_group_starts"] - 1
    _require(groups.size == 0 or bool(groups.min() >= 0 and groups.max() < n_groups), "user_groups leaves the groups")
    for name in ("item_deviations", "user_deviations"):
        _require(bool(np.all(arrays[name] >= 0)), f"{name} is negative")
    for name, array in arrays.items():
        _require(array.dtype.kind != "f" or bool(np.isfinite(array).all()), f"{name} is not finite")
    return sizes


def _agreed_sizes(arrays: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        dtype, axes = LAYOUTS[name]
        _require(array.dtype == dtype, f"{name} has dtype {array.dtype}")
        _require(array.ndim == len(axes), f"{name} has {array.ndim} dimensions")
        for axis, size in zip(axes, array.shape, strict=True):
            agreed = sizes.setdefault(axis, size) if isinstance(axis, str) else axis
            _require(agreed == size, f"{name} has shape {array.shape}, expected {axis} = {agreed}")
    return sizes


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise SnapshotDamagedError(problem)
