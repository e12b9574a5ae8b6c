"""How many users like each item, counted from ratings and events: popularity before anything is learned."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.store.database import Database
from app.store.dialect import KeyArray


class ItemLikes(NamedTuple):
    """By item, for the n items that have any: `item_key` (n,) int64.

    `choices`: (n,) int64, how many users rated the item or have positive events of it. `likes`: (n,) int64, how many of
    those ratings are liked, and how many have positive events.
    """

    item_key: KeyArray
    choices: NDArray[np.int64]
    likes: NDArray[np.int64]


class Likes:
    def __init__(self, database: Database) -> None:
        self._database = database

    def by_item(self, liked_from: float) -> ItemLikes:
        """Counts of this moment; ratings at or above `liked_from` are liked.

        Events of a pair that has a rating do not count, as in training.
        """
        log2 = self._database.dialect.log2("1 + i.count")
        # The label of a pair is positive where sum weight log2(1 + count) portion > 0, see `algorithms/labels.py`.
        statement = f"""
            SELECT item_key, sum(is_chosen), sum(is_liked) FROM (
                SELECT item_key, 1 AS is_chosen, CASE WHEN value >= {float(liked_from)!r} THEN 1 ELSE 0 END AS is_liked
                FROM ratings WHERE value IS NOT NULL
                UNION ALL
                SELECT i.item_key, 1, 1 FROM interactions i
                JOIN event_types t ON t.type_key = i.type_key
                LEFT JOIN ratings r ON r.user_key = i.user_key AND r.item_key = i.item_key AND r.value IS NOT NULL
                WHERE r.user_key IS NULL
                GROUP BY i.user_key, i.item_key HAVING sum(t.weight * {log2} * coalesce(i.portion, 1)) > 0
            ) AS pairs GROUP BY item_key ORDER BY item_key
        """  # noqa: S608  a number and an expression of ours
        dtype = [("key", "i8"), ("choices", "i8"), ("likes", "i8")]
        with self._database.reading() as connection:
            rows = self._database.dialect.all_rows(connection, statement, dtype)
        return ItemLikes(*(np.ascontiguousarray(rows[name]) for name, _ in dtype))
