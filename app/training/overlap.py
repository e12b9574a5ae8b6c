"""How much two sets of ratings have in common: those that the live snapshot was learned from, and those of today.

Figures of two snapshots can be compared only where they were measured on much the same data.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.entities import RatingScale
from app.snapshots.arrays import SnapshotArrays
from app.training.dataset import Dataset, UserSample
from app.training.validation_split import Common

LARGELY = 0.9
"""The least share in common of data that are largely the same. A recorded nDCG may be missed by a tenth, see
`gate.MARGIN`; if more than a tenth of the data were others, that margin could be used up by the data alone."""

MOST = 0.5


@dataclass(frozen=True)
class KnownData:
    """n pairs of user and item, each with a rating or a label of events; no pair twice.

    `user_keys`: (n_users,) int64 ascending. `item_keys`: (n_items,) int64 ascending. Some may be in no pair.
    `user_rows`, `item_rows`: (n,) positions in the keys. `are_liked`: (n,) bool, rated as liked, or labelled positive.
    """

    user_keys: NDArray[np.int64]
    item_keys: NDArray[np.int64]
    user_rows: NDArray[np.integer]
    item_rows: NDArray[np.integer]
    are_liked: NDArray[np.bool_]

    @classmethod
    def from_snapshot(cls, arrays: SnapshotArrays, scale: RatingScale, sample: UserSample | None = None) -> "KnownData":
        """`scale`: tells which ratings are liked. `sample`: the users; None for all."""
        if sample is not None and sample.share < 1:
            return cls._sampled(arrays, scale, np.flatnonzero(sample.chooses(arrays.user_keys)))
        rows = np.arange(len(arrays.user_keys))
        rated, labelled = (np.repeat(rows, np.diff(starts)) for starts in (arrays.history_starts, arrays.label_starts))
        return cls(
            arrays.user_keys,
            arrays.item_keys,
            np.append(rated, labelled),
            np.append(arrays.history_rows, arrays.label_rows),
            np.append(arrays.history_values >= scale.liked_from, arrays.are_positive),
        )

    @classmethod
    def _sampled(cls, arrays: SnapshotArrays, scale: RatingScale, chosen: NDArray[np.int64]) -> "KnownData":
        """The data of some users, (m,) rows."""
        rows, items, liked = [], [], []
        # User by user, so that only what is needed of the histories is read.
        for place, user_row in enumerate(chosen.tolist()):
            rated, values, _ = arrays.history(user_row)
            positive, _, negative = arrays.labels(user_row)
            items += [rated, positive, negative]
            liked += [values >= scale.liked_from, np.ones(len(positive), np.bool_), np.zeros(len(negative), np.bool_)]
            rows.append(np.full(len(rated) + len(positive) + len(negative), place))
        none: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
        return cls(
            arrays.user_keys[chosen],
            arrays.item_keys,
            np.concatenate([np.empty(0, np.int64), *rows]),
            np.concatenate([*none, *items]),
            np.concatenate([np.empty(0, np.bool_), *liked]),
        )

    @classmethod
    def from_dataset(cls, dataset: Dataset) -> "KnownData":
        # The ratings as stored: those that are learned from may be strengths of amounts, or hold labels as well.
        rated, labels = dataset.rated, dataset.labels
        return cls(
            dataset.data.user_keys,
            dataset.data.item_keys,
            np.append(rated.user_rows, labels.user_rows),
            np.append(rated.item_rows, labels.item_rows),
            np.append(rated.values >= dataset.scale.liked_from, labels.are_positive),
        )

    def of_users(self, is_kept: NDArray[np.bool_]) -> "KnownData":
        """The same with the pairs of the users of the mask (n_users,) alone."""
        of_kept = is_kept[self.user_rows]
        columns = (self.user_rows[of_kept], self.item_rows[of_kept], self.are_liked[of_kept])
        return KnownData(self.user_keys, self.item_keys, *columns)

    @property
    def have_users(self) -> NDArray[np.bool_]:
        """(n_users,) bool, the users with pairs."""
        return np.bincount(self.user_rows, minlength=len(self.user_keys)) > 0

    @property
    def have_items(self) -> NDArray[np.bool_]:
        """(n_items,) bool, the items with pairs."""
        return np.bincount(self.item_rows, minlength=len(self.item_keys)) > 0

    @property
    def fame(self) -> NDArray[np.int64]:
        """(n,) int64, of each pair, how many pairs its item has."""
        counts = np.bincount(self.item_rows, minlength=len(self.item_keys))
        of_pairs: NDArray[np.int64] = counts[self.item_rows]
        return of_pairs


@dataclass(frozen=True)
class Share:
    """What two sets have in common, from 0 to 1: as a share of what is live, and of what there is today.

    1 where a set is empty: it lacks nothing.
    """

    of_live: float
    of_today: float

    @classmethod
    def from_masks(cls, live: NDArray[np.bool_], today: NDArray[np.bool_]) -> "Share":
        """Of each set, which elements are in the other as well."""
        return cls.weighted((live, np.ones(len(live))), (today, np.ones(len(today))))

    @classmethod
    def weighted(cls, *sets: tuple[NDArray[np.bool_], NDArray[np.number]]) -> "Share":
        """As `from_masks`, the elements of each set counted by their weights."""
        shares = [float(weights[common].sum() / weights.sum()) if len(weights) else 1.0 for common, weights in sets]
        return cls(*shares)

    @property
    def least(self) -> float:
        return min(self.of_live, self.of_today)


@dataclass(frozen=True)
class Overlap:
    """What two sets of data have in common.

    `users`, `items`: those with pairs. `ratings`: the pairs, which are the same if both are liked or neither is.
    `lists`: the pairs, counted by the number of pairs of their items. The first places of lists hold popular items, so
        a catalogue without its three best known items keeps nearly all items and ratings, and has other lists.
    `common`: the users and items of today that are in both.
    """

    users: Share
    items: Share
    ratings: Share
    lists: Share
    common: Common

    @classmethod
    def between(cls, live: KnownData, today: KnownData) -> "Overlap":
        user_rows, item_rows = (
            _positions(live.user_keys, today.user_keys)[live.user_rows],
            _positions(live.item_keys, today.item_keys)[live.item_rows],
        )
        # A cell numbers a pair and whether it is liked. Pairs of users or items that are gone have no cell.
        n_items = max(len(today.item_keys), 1)
        cells = (user_rows * n_items + item_rows) * 2 + live.are_liked
        cells[(user_rows < 0) | (item_rows < 0)] = -1
        cells_today = (today.user_rows.astype(np.int64) * n_items + today.item_rows) * 2 + today.are_liked
        are_left, are_known = _are_among(cells, cells_today), _are_among(cells_today, cells)
        users = live.user_keys[live.have_users], today.user_keys[today.have_users]
        items = live.item_keys[live.have_items], today.item_keys[today.have_items]
        return cls(
            users=Share.from_masks(np.isin(*users), np.isin(*users[::-1])),
            items=Share.from_masks(np.isin(*items), np.isin(*items[::-1])),
            ratings=Share.from_masks(are_left, are_known),
            lists=Share.weighted((are_left, live.fame), (are_known, today.fame)),
            common=Common(np.isin(today.user_keys, users[0]), np.isin(today.item_keys, items[0])),
        )

    @property
    def is_largely_same(self) -> bool:
        return min(share.least for share in (self.users, self.items, self.ratings, self.lists)) >= LARGELY

    @property
    def is_mostly_gone(self) -> bool:
        """Whether most users, or most items, of what is live are gone."""
        return min(self.users.of_live, self.items.of_live) < MOST

    def __str__(self) -> str:
        """The shares in words: "of its users 98 %, items 40 % and ratings 12 % are left, ..."."""
        left, known = (
            [f"{getattr(share, side):.0%}" for share in (self.users, self.items, self.ratings)]
            for side in ("of_live", "of_today")
        )
        return "{} of its users, {} of its items and {} of its ratings are left, ".format(
            *left
        ) + "which are {} of the users, {} of the items and {} of the ratings of today".format(*known)


def _are_among(cells: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) bool, as `np.isin`, and ten times as fast on ten million pairs that are grouped by user."""
    return _positions(cells, np.sort(others)) >= 0


def _positions(keys: NDArray[np.int64], among: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) int64 positions of `keys` in `among`, which ascends; -1 where it lacks one."""
    if not len(among):
        return np.full(len(keys), -1)
    found = np.searchsorted(among, keys).clip(max=len(among) - 1)
    return np.where(among[found] == keys, found, -1)
