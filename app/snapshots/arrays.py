"""The arrays of a snapshot: one `.npy` file each, with the dtype and shape that every reader may rely on.

Every snapshot has the arrays of `SnapshotArrays`. Beside them stand arrays that not every snapshot has: the states of
segments. The caller describes those with layouts; this package names none of them.
"""

import math
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from app.snapshots.errors import SnapshotDamagedError

N_SIMILAR = 50
"""Similar items stored for each item."""

Layout = tuple[np.dtype[Any], tuple[str | int, ...]]
"""The dtype of an array, and the names (or fixed lengths) of its axes."""


@dataclass(frozen=True)
class SnapshotArrays:
    """All arrays of a snapshot.

    A *row* is a position along `n_items` or `n_users`. Beside each type stand the dtype and the names (or fixed
    lengths) of the axes, which `check_arrays` enforces.

    Items: the whole catalogue. `item_vectors`: the columns of all segments, unweighted, padded with zero columns; the
    row of an item without ratings is what its features give it. `item_counts`: how many users chose each item, that
    is rated it or have positive events of it. `like_counts`: how many of them liked it: a liked rating or positive
    events. `popular_rows`: all rows, most liked first. `unrated_item`: the vector of an item without ratings, events
    and features. `item_mean`, `item_covariance`: of the vectors of all items that
    were chosen.

    Users: those of the table, which may be a share of all (`kept_users`). `user_vectors` are weighted and standardised,
    so that a row times an item's row is the score. `user_biases`: in units of the rating scale. `user_uncertainties`,
    `item_uncertainties`: the parts of the uncertainty, in the rating scale; the root of the sum of both squares is the
    standard deviation of a rating around its prediction.
    `user_versions`, `user_profile_versions`: `users.version` and `users.profile_version` when the ratings were read.

    Histories: the ratings of user row u stand at `history_starts[u] : history_starts[u + 1]` of `history_rows`,
    `history_values` and `history_times` (microseconds UTC, `UNKNOWN_TIME` where unknown), newest first, equal times by
    row. The items that u did not rate and that have a label by events stand likewise from `label_starts[u]` on in
    `label_rows` and `label_times`; `are_positive` is true for positive items, false for negative ones.

    Features: offset + features . map is the vector of an item without ratings, and the unweighted parts of such a user.

    Groups: the rows that the members of group n liked stand at `group_starts[n] : group_starts[n + 1]` of `group_rows`,
    most liked first, the number of their likes in `group_like_counts`, and in `group_counts` how many of them chose the
    item; the groups of user row u stand at
    `user_group_starts[u] : user_group_starts[u + 1]` of `user_groups`. A document names the groups.

    Similar items: best first; row -1 where there are fewer. No rows at all in a catalogue too large to store them for.
    What they are made of, of which lists that are not stored are computed: the items that are chosen together with item
    i stand at `together_starts[i] : together_starts[i + 1]` of `together_rows`, their shrunk cosines in
    `together_values`; its content stands likewise from `content_starts[i]` on in `content_columns` and
    `content_values`. A document names the columns of the content.

    `extra`: the arrays that not every snapshot has, by name.
    """

    item_keys: Annotated[NDArray[np.int64], np.int64, "n_items"]
    item_vectors: Annotated[NDArray[np.float32], np.float32, "n_items", "dimension"]
    item_counts: Annotated[NDArray[np.int32], np.int32, "n_items"]
    like_counts: Annotated[NDArray[np.int32], np.int32, "n_items"]
    popular_rows: Annotated[NDArray[np.int32], np.int32, "n_items"]
    item_uncertainties: Annotated[NDArray[np.float32], np.float32, "n_items"]
    unrated_item: Annotated[NDArray[np.float32], np.float32, "dimension"]
    item_mean: Annotated[NDArray[np.float32], np.float32, "dimension"]
    item_covariance: Annotated[NDArray[np.float32], np.float32, "dimension", "dimension"]
    user_keys: Annotated[NDArray[np.int64], np.int64, "n_users"]
    user_vectors: Annotated[NDArray[np.float32], np.float32, "n_users", "dimension"]
    user_biases: Annotated[NDArray[np.float32], np.float32, "n_users"]
    user_uncertainties: Annotated[NDArray[np.float32], np.float32, "n_users"]
    user_versions: Annotated[NDArray[np.int64], np.int64, "n_users"]
    user_profile_versions: Annotated[NDArray[np.int64], np.int64, "n_users"]
    history_starts: Annotated[NDArray[np.int64], np.int64, "n_starts"]
    history_rows: Annotated[NDArray[np.int32], np.int32, "n_ratings"]
    history_values: Annotated[NDArray[np.float32], np.float32, "n_ratings"]
    history_times: Annotated[NDArray[np.int64], np.int64, "n_ratings"]
    label_starts: Annotated[NDArray[np.int64], np.int64, "n_starts"]
    label_rows: Annotated[NDArray[np.int32], np.int32, "n_labels"]
    label_times: Annotated[NDArray[np.int64], np.int64, "n_labels"]
    are_positive: Annotated[NDArray[np.bool_], np.bool_, "n_labels"]
    similar_rows: Annotated[NDArray[np.int32], np.int32, "n_similar_stored", N_SIMILAR]
    similar_scores: Annotated[NDArray[np.float32], np.float32, "n_similar_stored", N_SIMILAR]
    together_starts: Annotated[NDArray[np.int64], np.int64, "n_item_starts"]
    together_rows: Annotated[NDArray[np.int32], np.int32, "n_together"]
    together_values: Annotated[NDArray[np.float32], np.float32, "n_together"]
    content_starts: Annotated[NDArray[np.int64], np.int64, "n_item_starts"]
    content_columns: Annotated[NDArray[np.int32], np.int32, "n_content"]
    content_values: Annotated[NDArray[np.float32], np.float32, "n_content"]
    group_starts: Annotated[NDArray[np.int64], np.int64, "n_group_starts"]
    group_rows: Annotated[NDArray[np.int32], np.int32, "n_group_rows"]
    group_counts: Annotated[NDArray[np.int32], np.int32, "n_group_rows"]
    group_like_counts: Annotated[NDArray[np.int32], np.int32, "n_group_rows"]
    user_group_starts: Annotated[NDArray[np.int64], np.int64, "n_starts"]
    user_groups: Annotated[NDArray[np.int32], np.int32, "n_memberships"]
    item_map: Annotated[NDArray[np.float32], np.float32, "n_item_features", "dimension"]
    user_map: Annotated[NDArray[np.float32], np.float32, "n_user_features", "dimension"]
    item_offset: Annotated[NDArray[np.float32], np.float32, "dimension"]
    user_offset: Annotated[NDArray[np.float32], np.float32, "dimension"]
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def with_zeros(cls, sizes: Mapping[str, int], **given: Any) -> "SnapshotArrays":
        """The arrays `given`, and zeros for all others. `sizes`: of the axes by name; axes not named have length 0."""
        zeros: dict[str, Any] = {
            name: np.zeros([sizes.get(axis, 0) if isinstance(axis, str) else axis for axis in axes], dtype)
            for name, (dtype, axes) in ARRAY_LAYOUTS.items()
            if name not in given
        }
        return cls(**zeros, **given)

    @property
    def named(self) -> dict[str, NDArray[Any]]:
        """All arrays by name, `extra` included."""
        return {name: getattr(self, name) for name in ARRAY_LAYOUTS} | dict(self.extra)

    def of_users(self, is_kept: NDArray[np.bool_]) -> "SnapshotArrays":
        """The same without the users, and their histories, outside of the mask (n_users,)."""
        kept: dict[str, Any] = {}
        for name, array in self.named.items():
            if name not in self.extra and ARRAY_LAYOUTS[name][1][0] == "n_users":
                kept[name] = array[is_kept]
        for of_starts, axis in _STARTS.items():
            if ARRAY_LAYOUTS[of_starts][1][0] != "n_starts":
                continue
            lengths = np.diff(getattr(self, of_starts))
            kept[of_starts] = np.concatenate(([0], np.cumsum(lengths[is_kept]))).astype(np.int64)
            are_kept = np.repeat(is_kept, lengths)
            kept |= {
                name: getattr(self, name)[are_kept] for name, (_, axes) in ARRAY_LAYOUTS.items() if axes[0] == axis
            }
        return replace(self, **kept)

    def history(self, user_row: int) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
        """Item rows, values and times of the ratings the user had given at the snapshot, newest first."""
        ratings = slice(self.history_starts[user_row], self.history_starts[user_row + 1])
        return self.history_rows[ratings], self.history_values[ratings], self.history_times[ratings]

    def labels(self, user_row: int) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32]]:
        """Rows and times of the positive items of the user, and rows of the negative ones, newest first; rated items
        are in neither.
        """
        labels = slice(self.label_starts[user_row], self.label_starts[user_row + 1])
        rows, are_positive = self.label_rows[labels], self.are_positive[labels]
        return rows[are_positive], self.label_times[labels][are_positive], rows[~are_positive]


def _layouts() -> dict[str, Layout]:
    # The annotations are the format: dtype and axes are read from the fields themselves.
    hints = get_type_hints(SnapshotArrays, include_extras=True)
    del hints["extra"]
    return {
        name: (np.dtype(dtype), tuple(shape))
        for name, (_, dtype, *shape) in zip(hints, map(get_args, hints.values()), strict=True)
    }


ARRAY_LAYOUTS: dict[str, Layout] = _layouts()
"""Name of each array that every snapshot has -> its layout."""

ELEMENTS_AT_ONCE, LEAST_DROPPED = 1 << 22, 64 << 20

_ITEM_ROWS = {
    "history_rows": 0,
    "label_rows": 0,
    "popular_rows": 0,
    "group_rows": 0,
    "similar_rows": -1,
    "together_rows": 0,
}
"""Arrays of rows of items -> the lowest value they may hold."""

_STARTS = {
    "history_starts": "n_ratings",
    "label_starts": "n_labels",
    "group_starts": "n_group_rows",
    "user_group_starts": "n_memberships",
    "together_starts": "n_together",
    "content_starts": "n_content",
}
"""Arrays of start positions -> the axis that they divide into pieces."""


def kept_users(user_keys: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """(n,) bool, which users are in the table of a snapshot that holds this share of them, from 0 to 1.

    By a hash of the key: a user of one snapshot is in the next one as well, as long as the share does not fall.
    """
    if share >= 1:
        return np.ones(len(user_keys), np.bool_)
    # The finalizer of SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014).
    mixed = user_keys.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    is_kept: NDArray[np.bool_] = (mixed ^ (mixed >> np.uint64(31))) < np.uint64(share * 2.0**64)
    return is_kept


def check_arrays(arrays: Mapping[str, NDArray[Any]], extra: Mapping[str, Layout]) -> dict[str, int]:
    """The sizes by name (`n_items`, `dimension`, ...) that all `arrays` agree on.

    `extra`: the layouts of arrays other than those of `SnapshotArrays`. Raises `SnapshotDamagedError` if dtypes, shapes
    or contents contradict each other.
    """
    sizes = _agreed_sizes(arrays, ARRAY_LAYOUTS | dict(extra))
    n_items = sizes["n_items"]
    # One start position more than there are rows: the last one is the end.
    require(sizes["n_starts"] == sizes["n_users"] + 1, "history_starts does not fit user_keys")
    require(sizes["n_item_starts"] == n_items + 1, "together_starts does not fit item_keys")
    for name, spanned in _STARTS.items():
        starts = arrays[name]
        require(len(starts) > 0 and bool(starts[0] == 0 and starts[-1] == sizes[spanned]), f"{name} ends elsewhere")
        require(bool(np.all(np.diff(starts) >= 0)), f"{name} goes backwards")
    # Lists are stored for every item or, in a large catalogue, for none.
    require(sizes["n_similar_stored"] in {0, n_items}, "similar_rows does not fit item_keys")
    for name in ("item_keys", "user_keys"):
        # Rows are found by binary search, which needs ascending keys.
        require(bool(np.all(np.diff(arrays[name]) > 0)), f"{name} does not ascend")
    for name, lowest in _ITEM_ROWS.items():
        check_range(name, arrays[name], lowest, n_items)
    check_range("user_groups", arrays["user_groups"], 0, sizes["n_group_starts"] - 1)
    for name in ("item_uncertainties", "user_uncertainties"):
        require(bool(np.all(arrays[name] >= 0)), f"{name} is negative")
    for name, array in arrays.items():
        # One NaN would spread to every score of its row, and a sort leaves scores with NaN in no order.
        are_finite = array.dtype.kind != "f" or all(bool(np.isfinite(part).all()) for part in _parts(array))
        require(are_finite, f"{name} is not finite")
    return sizes


def check_range(name: str, rows: NDArray[Any], lowest: int, stop: int) -> None:
    """Raises `SnapshotDamagedError` unless all of `rows` lie in `lowest` .. `stop` - 1."""
    are_valid = all(bool(part.min() >= lowest and part.max() < stop) for part in _parts(rows) if part.size)
    require(are_valid, f"{name} holds rows that do not exist")


def _parts(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The rows of `array` some at a time. Pages of a large mapped one do not stay in memory: they are read once."""
    n = max(1, ELEMENTS_AT_ONCE // max(1, math.prod(array.shape[1:])))
    mapped: Any = array
    while isinstance(mapped, np.ndarray):
        mapped = mapped.base
    is_dropped = isinstance(mapped, mmap.mmap) and array.nbytes >= LEAST_DROPPED
    for start in range(0, len(array), n):
        yield array[start : start + n]
        if is_dropped:
            mapped.madvise(mmap.MADV_DONTNEED)


def require(holds: bool, problem: str) -> None:
    """Raises `SnapshotDamagedError` unless `holds`."""
    if not holds:
        raise SnapshotDamagedError(problem)


def _agreed_sizes(arrays: Mapping[str, NDArray[Any]], layouts: Mapping[str, Layout]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        dtype, axes = layouts[name]
        require(array.dtype == dtype, f"{name} has dtype {array.dtype}")
        require(array.ndim == len(axes), f"{name} has {array.ndim} dimensions")
        for axis, size in zip(axes, array.shape, strict=True):
            # The first array that has an axis sets its length; the others must agree.
            agreed = sizes.setdefault(axis, size) if isinstance(axis, str) else axis
            require(agreed == size, f"{name} has shape {array.shape}, expected {axis} = {agreed}")
    return sizes
