"""What is popular among users who have something in common: a country, a membership, an age group.

A group is a field or an attribute of users and one of its values, as text. Whoever has a list of values belongs to the
group of each.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.entities import AttributeValue, User
from app.snapshots.features import ATTRIBUTE, as_texts

Group = tuple[str, str]
"""The name of a field or an attribute of users, and a value of it."""

MAX_GROUPS = 1000
"""Those with the most ratings are kept."""

MAX_GROUP_ITEMS = 2000
"""Rows stored for a group, most rated first: far more than any list shows, however much of it a filter drops."""

MAX_NUMBERS = 20
"""An attribute with more different numbers than this measures something: its numbers are no groups."""

MAX_VALUE_LENGTH = 128
"""Longer texts tell of one user, and are no groups."""


@dataclass(frozen=True)
class Memberships:
    """`groups`: g of them. `user_rows`, `numbers`: (m,) int32, the user in the row belongs to that group of the g."""

    groups: tuple[Group, ...] = ()
    user_rows: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    numbers: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))

    @classmethod
    def of(cls, users: Sequence[User], names: Sequence[str]) -> "Memberships":
        """Those of all users, in the order of their rows, by the fields and attributes `names`."""
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
    """The items that the members of each group rated, and the groups of each user.

    `starts` (g + 1,), `rows`, `counts`: those of group number n stand at `starts[n] : starts[n + 1]`, most rated first.
    `user_starts` (n_users + 1,), `user_groups`: the numbers of the groups of each user, likewise.
    """

    groups: tuple[Group, ...]
    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    counts: NDArray[np.int32]
    user_starts: NDArray[np.int64]
    user_groups: NDArray[np.int32]

    @classmethod
    def count(cls, memberships: Memberships, rated: sparse.csr_array) -> "PopularInGroups":
        """`rated`: (n_users, n_items), an entry for each rating. Groups without ratings are left out."""
        n_users, n_items = rated.shape
        is_member = _members(memberships, n_users)
        totals = is_member @ np.diff(rated.indptr)
        largest = np.argsort(-totals, kind="stable")[:MAX_GROUPS]
        kept = np.sort(largest[totals[largest] > 0])
        is_member = sparse.csr_array(is_member[kept])
        ones = sparse.csr_array((np.ones(rated.nnz, np.int32), rated.indices, rated.indptr), shape=(n_users, n_items))
        counted = sparse.csr_array(is_member @ ones)
        group_of = np.repeat(np.arange(len(kept)), np.diff(counted.indptr))
        order = np.lexsort((counted.indices, -counted.data, group_of))
        places = np.arange(len(order)) - counted.indptr[group_of]  # among those of the same group
        order = order[places < MAX_GROUP_ITEMS]
        by_user = sparse.csr_array(is_member.T)
        by_user.sort_indices()
        return cls(
            groups=tuple(memberships.groups[number] for number in kept.tolist()),
            starts=np.concatenate([[0], np.cumsum(np.bincount(group_of[order], minlength=len(kept)))]),
            rows=counted.indices[order].astype(np.int32),
            counts=counted.data[order].astype(np.int32),
            user_starts=by_user.indptr.astype(np.int64),
            user_groups=by_user.indices.astype(np.int32),
        )

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """By their names in `SnapshotArrays`."""
        return {
            "group_starts": self.starts,
            "group_rows": self.rows,
            "group_counts": self.counts,
            "user_group_starts": self.user_starts,
            "user_groups": self.user_groups,
        }


def _members(memberships: Memberships, n_users: int) -> sparse.csr_array:
    """(g, n_users) of ones."""
    ones = np.ones(len(memberships.numbers), np.int32)
    return sparse.csr_array(
        (ones, (memberships.numbers, memberships.user_rows)), shape=(len(memberships.groups), n_users)
    )
