"""A snapshot in use: mapped arrays, the index, and what serving asks of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.algorithms.neighbour_table import NeighbourTable
from app.entities import User
from app.snapshots.arrays import TABLES
from app.snapshots.groups import Group, groups_of
from app.snapshots.index import NO_HISTORY, ItemIndex, Neighbours
from app.snapshots.neighbours import voted_for
from app.snapshots.scorer import Scorer, UserSide
from app.snapshots.similar import likeness_columns, similar_to, similar_users, unit_directions


@dataclass(frozen=True)
class Snapshot(Scorer):
    """A published set of learned vectors; immutable, shared by all requests. See `SnapshotArrays` for the arrays."""

    index: ItemIndex
    groups: tuple[Group, ...]

    @property
    def version(self) -> int:
        return self.manifest.version

    def user_row(self, user_key: int) -> int | None:
        """None for a user who came after the snapshot."""
        return _row_of(self.user_keys, user_key)

    def item_row(self, item_key: int) -> int | None:
        """None for an item that came after the snapshot."""
        return _row_of(self.item_keys, item_key)

    def nearest(self, vector: NDArray[np.float32], n: int, allowed: NDArray[np.bool_] | None = None) -> Neighbours:
        """The `n` items with the highest score for the user side `vector` (d,): rows and scores, best first.

        `allowed`: (n_items,) bool, None for all. Fewer only where fewer are allowed; ties by row.
        """
        return self.index.nearest(vector, n, allowed)

    def candidates(
        self, vector: NDArray[np.float32], n: int, allowed: NDArray[np.bool_] | None = None, n_known: int = NO_HISTORY
    ) -> NDArray[np.int64]:
        """As `nearest` for who scores what is found anyway: the rows, in any order and some more of them.

        `n_known`: of how many ratings and engagements the side was made; `NO_HISTORY` where it is no user's own.
        """
        return self.index.candidates(vector, n, allowed, n_known)

    @cached_property
    def group_attributes(self) -> tuple[str, ...]:
        """The fields and attributes of users that make groups."""
        return tuple(dict.fromkeys(attribute for attribute, _ in self.groups))

    @cached_property
    def _group_numbers(self) -> Mapping[Group, int]:
        return {group: number for number, group in enumerate(self.groups)}

    def groups_at(self, user_row: int) -> NDArray[np.int32]:
        """The numbers, positions in `groups`, of those that the user belonged to at the snapshot."""
        return self.user_groups[self.user_group_starts[user_row] : self.user_group_starts[user_row + 1]]

    def groups_of(self, user: User) -> list[int]:
        """The numbers of the groups that a user belongs to by what is known of them now."""
        numbers = map(self._group_numbers.get, groups_of(user, self.group_attributes))
        return [number for number in numbers if number is not None]

    def popular_in(self, number: int) -> NDArray[np.int32]:
        """The rows that the members of a group rated, most rated first, up to `MAX_GROUP_ITEMS`."""
        return self.group_rows[self.group_starts[number] : self.group_starts[number + 1]]

    def group_rows_of(self, attribute: str, value: str) -> NDArray[np.int32]:
        """As `popular_in`, by name; none of a group that there is not."""
        number = self._group_numbers.get((attribute, value))
        return self.group_rows[:0] if number is None else self.popular_in(number)

    def similar(self, item_row: int, n: int) -> Neighbours:
        """Up to `n` items most like this one, rows and similarities, best first; none for an unrated item."""
        stored = self.similar_rows.shape
        if stored[0] and n <= stored[1]:
            rows = self.similar_rows[item_row]
            n = min(n, int(np.count_nonzero(rows >= 0)))
            return rows[:n].astype(np.int64), self.similar_scores[item_row, :n]
        return similar_to(item_row, self._directions, self.item_counts, n)

    def directions(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, c) of length 1, what n items of these vectors, (n, d), are alike by; 0 for one nobody rated."""
        return unit_directions(np.ascontiguousarray(vectors[:, self.likeness]))

    @property
    def sources(self) -> list[str]:
        """The sources of candidates that can be asked while this is served."""
        stored = {"similar": len(self.similar_rows) > 0, "group": len(self.groups) > 0}
        always = ("nearest", "category", "popular", "trending", "newest", "boosted")
        return [*always, *(name for name, is_there in stored.items() if is_there), *self.tables]

    @cached_property
    def tables(self) -> Mapping[str, NeighbourTable]:
        """Algorithm -> its table: in row i, what a rating of item i speaks for."""
        parts = self.of_segments
        return {
            name: NeighbourTable(parts[f"tables.{name}_rows"], parts[f"tables.{name}_weights"])
            for name in TABLES
            if f"tables.{name}_rows" in parts
        }

    def neighbours(
        self,
        table: str,
        item_rows: NDArray[np.integer],
        n: int,
        values: NDArray[np.floating] | None = None,
        allowed: NDArray[np.bool_] | None = None,
    ) -> Neighbours:
        """Up to `n` items that a history speaks for by a table of `tables`, best first, and how much it does.

        `item_rows`: (m,), newest first, of which the first `MAX_VOTERS` count. `values`: (m,), their ratings, if they
        are to count as for the taste. `allowed`: as of `nearest`. What is in the history may be among the answers.
        """
        weights = None
        if values is not None and self._taste is not None:
            weights = self._taste_fold.weighting.of_user(values)
        return voted_for(self.tables[table], item_rows, weights, n, allowed)

    def similar_users(self, user: UserSide, n: int, left_out: int | None = None) -> Neighbours:
        """Up to `n` users nearest in taste, rows and similarities, best first; none for one who has no taste yet.

        A scan of all users, for a thread: 50 ms for 200,000 of them. `left_out`: the user's own row, if there is one.
        """
        columns, counts = self.likeness, np.diff(self.history_starts)
        return similar_users(user.vector[columns], self.user_vectors, columns, counts, n, left_out)

    @cached_property
    def _directions(self) -> NDArray[np.float32]:
        return self.directions(self.item_vectors)

    @cached_property
    def likeness(self) -> slice:
        """The columns that say what items are alike, and what a user chooses."""
        return likeness_columns(self.rating, self._taste)


def _row_of(keys: NDArray[np.int64], key: int) -> int | None:
    row = int(keys.searchsorted(key))
    return row if row < len(keys) and keys[row] == key else None
