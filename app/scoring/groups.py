"""Popular items by group of users: a country, a membership, an age group.

A group is a field or an attribute of users and one of its values, as text. A user whose value is a list belongs to the
group of each of its members.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.rating_matrix import RatingMatrix
from app.entities import AttributeValue, User
from app.scoring.features import ATTRIBUTE, as_texts
from app.segments.base import NO_ITEM_ROWS
from app.snapshots.arrays import SnapshotArrays

Group = tuple[str, str]
"""The name of a field or an attribute of users, and a value of it."""

MAX_GROUPS = 1000
"""The groups with the most likes are kept."""

MAX_GROUP_ITEMS = 2000
"""Rows stored for a group, most liked first: far more than a list shows, however many of them a filter drops."""

MAX_NUMBERS = 20
"""An attribute with more distinct numbers than this is a measurement, and its numbers do not form groups."""

MAX_VALUE_LENGTH = 128
"""Longer texts describe a single user and make no groups."""


@dataclass(frozen=True)
class Memberships:
    """Which users belong to which groups.

    `groups`: g of them. `user_rows`, `numbers`: (m,) int32, each a user's row and the position in `groups` of a group
    that the user belongs to.
    """

    groups: tuple[Group, ...] = ()
    user_rows: NDArray[np.int32] = field(default_factory=lambda: NO_ITEM_ROWS)
    numbers: NDArray[np.int32] = field(default_factory=lambda: NO_ITEM_ROWS)

    @classmethod
    def from_users(cls, users: Sequence[User], names: Sequence[str]) -> "Memberships":
        """The memberships of all users, in the order of their rows, by the fields and attributes `names`."""
        numbers: dict[Group, int] = {}
        pairs = [
            (row, numbers.setdefault(group, len(numbers))) for name in names for row, group in _groups_by(users, name)
        ]
        columns = np.array(pairs, np.int32).reshape(-1, 2)
        return cls(tuple(numbers), columns[:, 0].copy(), columns[:, 1].copy())


def groups_of(user: User, names: Sequence[str]) -> list[Group]:
    """The groups that a user may belong to, by the fields and attributes `names`."""
    return [(name, text) for name in names for text in _texts(_value(user, name))]


def _groups_by(users: Sequence[User], name: str) -> Iterator[tuple[int, Group]]:
    values = [_value(user, name) for user in users]
    # Many distinct numbers would make groups of one user each, whose counts say nothing.
    n_numbers = len({value for value in values if _is_number(value)})
    for row, value in enumerate(values):
        if n_numbers <= MAX_NUMBERS or not _is_number(value):
            for text in _texts(value):
                yield row, (name, text)


def _value(user: User, name: str) -> AttributeValue | None:
    return user.country if name == "country" else user.attributes.get(name.removeprefix(ATTRIBUTE))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _texts(value: AttributeValue | None) -> list[str]:
    if isinstance(value, str):  # nearly always
        return [value] if 0 < len(value) <= MAX_VALUE_LENGTH else []
    return list(dict.fromkeys(text for text in as_texts(value) if 0 < len(text) <= MAX_VALUE_LENGTH))


@dataclass(frozen=True)
class PopularInGroups:
    """The items that the members of each group liked, and the groups of each user.

    `starts` (g + 1,), `rows`, `counts`, `like_counts`: the items of group n stand at `starts[n] : starts[n + 1]`, most
    liked first, with how many of its members chose the item, and how many of these liked it. `user_starts`
    (n_users + 1,), `user_groups`: the positions in `groups` of the groups of each user, likewise.
    """

    groups: tuple[Group, ...]
    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    counts: NDArray[np.int32]
    like_counts: NDArray[np.int32]
    user_starts: NDArray[np.int64]
    user_groups: NDArray[np.int32]

    @classmethod
    def from_memberships(cls, memberships: Memberships, ratings: RatingMatrix) -> "PopularInGroups":
        """Groups whose members liked nothing are left out."""
        n_users = ratings.n_users
        if not memberships.groups:
            # Without groups nothing is counted: that would take a copy of all ratings.
            nothing = np.empty(0, np.int32)
            return cls((), np.zeros(1, np.int64), nothing, nothing, nothing, np.zeros(n_users + 1, np.int64), nothing)
        is_member = _members(memberships, n_users)
        # totals(g) = sum over members u of the number of likes of u
        totals = is_member @ np.diff(ratings.liked.indptr)
        # Groups without likes have no popular items, and many groups would make the counts large.
        largest = np.argsort(-totals, kind="stable")[:MAX_GROUPS]
        kept = np.sort(largest[totals[largest] > 0])
        is_member = sparse.csr_array(is_member[kept])
        counted, liked = (_counted(is_member, cells) for cells in (ratings.chosen, ratings.liked))
        group_of = np.repeat(np.arange(len(kept)), np.diff(liked.indptr))
        # By group, most liked first, ties by row.
        order = np.lexsort((liked.indices, -liked.data, group_of))
        places = np.arange(len(order)) - liked.indptr[group_of]  # among the rows of the same group
        order = order[places < MAX_GROUP_ITEMS]
        rows = liked.indices[order]
        # Transposed, the rows are users, and the entries of a row their groups in ascending order.
        by_user = sparse.csr_array(is_member.T)
        by_user.sort_indices()
        return cls(
            groups=tuple(memberships.groups[number] for number in kept.tolist()),
            starts=np.concatenate([[0], np.cumsum(np.bincount(group_of[order], minlength=len(kept)))]),
            rows=rows.astype(np.int32),
            counts=_cells(counted, group_of[order], rows),
            like_counts=liked.data[order].astype(np.int32),
            user_starts=by_user.indptr.astype(np.int64),
            user_groups=by_user.indices.astype(np.int32),
        )

    @classmethod
    def from_arrays(cls, groups: tuple[Group, ...], arrays: SnapshotArrays) -> "PopularInGroups":
        """What a snapshot holds of them; `groups`: their names, in its order."""
        of_items = arrays.group_starts, arrays.group_rows, arrays.group_counts, arrays.group_like_counts
        return cls(groups, *of_items, arrays.user_group_starts, arrays.user_groups)

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """By their names in `SnapshotArrays`."""
        return {
            "group_starts": self.starts,
            "group_rows": self.rows,
            "group_counts": self.counts,
            "group_like_counts": self.like_counts,
            "user_group_starts": self.user_starts,
            "user_groups": self.user_groups,
        }

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        """The fields and attributes of users that make groups."""
        return tuple(dict.fromkeys(attribute for attribute, _ in self.groups))

    @cached_property
    def numbers(self) -> Mapping[Group, int]:
        """Group -> its position in `groups`."""
        return {group: number for number, group in enumerate(self.groups)}

    def numbers_of(self, user: User) -> list[int]:
        """The numbers of the groups that a user belongs to by what is known of them now."""
        numbers = map(self.numbers.get, groups_of(user, self.attributes))
        return [number for number in numbers if number is not None]

    def popular_in(self, number: int) -> NDArray[np.int32]:
        """The rows that the members of a group liked, most liked first, up to `MAX_GROUP_ITEMS`."""
        return self.rows[self.starts[number] : self.starts[number + 1]]

    def popular_by(self, attribute: str, value: str) -> NDArray[np.int32]:
        """As `popular_in`, by the name of the group; empty for a group that does not exist."""
        number = self.numbers.get((attribute, value))
        return self.rows[:0] if number is None else self.popular_in(number)


def _members(memberships: Memberships, n_users: int) -> sparse.csr_array:
    """(g, n_users), 1 where the user belongs to the group."""
    ones = np.ones(len(memberships.numbers), np.int32)
    return sparse.csr_array(
        (ones, (memberships.numbers, memberships.user_rows)), shape=(len(memberships.groups), n_users)
    )


def _counted(is_member: sparse.csr_array, cells: sparse.csr_array) -> sparse.csr_array:
    """(g, n_items), counted(g, i) = sum over members u of g of [u has a cell of i], one sparse product for all."""
    ones = sparse.csr_array((np.ones(cells.nnz, np.int32), cells.indices, cells.indptr), shape=cells.shape)
    return sparse.csr_array(is_member @ ones)


def _cells(counted: sparse.csr_array, group_of: NDArray[np.int64], rows: NDArray[np.int32]) -> NDArray[np.int32]:
    """(m,) int32, the counts of m cells, all of which are there: who likes an item has chosen it."""
    n_groups, n_items = counted.shape
    # One number for a cell; they ascend where the columns of each row do.
    counted.sort_indices()
    cells = np.repeat(np.arange(n_groups), np.diff(counted.indptr)) * n_items + counted.indices
    counts: NDArray[np.int32] = counted.data[np.searchsorted(cells, group_of * n_items + rows)].astype(np.int32)
    return counts
