"""Trend scores: the ratings and events of each item, each worth half as much after every `HALF_LIFE`.

    trend_score = log2 sum weight 2^((at - LANDMARK) / HALF_LIFE)

by forward decay (Cormode, Shkapenyuk, Srivastava, Xu 2009): the weight of an event is fixed when it happens, and the
decay that all events share is left out. Time alone never changes the order of items, so no stored score needs an
update. The score is a logarithm because the sum itself overflows within a decade.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import sqlalchemy as sa

from app.entities import UNKNOWN_TIME, to_microseconds
from app.store.database import Database
from app.store.dialect import KeyArray, TimeArray, Upsert, ValueArray
from app.store.schema import trends

LANDMARK = to_microseconds(datetime(2020, 1, 1, tzinfo=UTC))
HALF_LIFE = timedelta(days=3) // timedelta(microseconds=1)
ALL_COUNTRIES = ""

TREND_SCORE_DTYPE = np.dtype([("item_key", "i8"), ("trend_score", "f8")])
COUNTRIES = "SELECT user_key, country FROM users WHERE country IS NOT NULL AND user_key = ?"


class Trends:
    def __init__(self, database: Database) -> None:
        self._database = database

    def top_trending(self, country: str = ALL_COUNTRIES, n: int | None = None) -> tuple[KeyArray, ValueArray]:
        """((m,) item keys, (m,) trend scores) of a country, highest first: the top n, or all that have a score."""
        statement = sa.select(trends.c.item_key, trends.c.heat).where(trends.c.country == country).limit(n)
        with self._database.reading() as connection:
            top = connection.execute(statement.order_by(trends.c.heat.desc(), trends.c.item_key.desc())).all()
        rows = np.array([tuple(row) for row in top], dtype=TREND_SCORE_DTYPE)
        return np.ascontiguousarray(rows["item_key"]), np.ascontiguousarray(rows["trend_score"])


def add_to_trends(
    database: Database,
    connection: sa.Connection,
    user_key: KeyArray,
    item_key: KeyArray,
    at: TimeArray,
    weight: ValueArray,
) -> None:
    """Raises the scores of (n,) items by events of (n,) users, for all countries and for those of the users.

    Events with a weight <= 0 or an unknown time are ignored. A transaction calls this once, and last: the rows of
    trends come last in the order of locks.
    """
    raises_trend = (weight > 0) & (at != UNKNOWN_TIME)
    if not raises_trend.any():
        return
    user_key, item_key = user_key[raises_trend], item_key[raises_trend]
    # log2(weight 2^((at - LANDMARK) / HALF_LIFE))
    score = np.log2(weight[raises_trend]) + (at[raises_trend] - LANDMARK) / HALF_LIFE
    users, of_user = np.unique(user_key, return_inverse=True)
    country_of: dict[int, str] = dict(database.dialect.rows_of(connection, COUNTRIES, users.tolist()))
    names, country = _numbered(users, country_of)
    # Each event counts for all countries (number 0) and once more for the user's country where that is known.
    is_located = np.flatnonzero(country[of_user])
    country = np.concatenate([np.zeros(len(item_key), np.int64), country[of_user][is_located]])
    item_key, score = np.concatenate([item_key, item_key[is_located]]), np.concatenate([score, score[is_located]])
    # Events of the same country and item become neighbours; `starts` are the first ones of each group.
    order = np.lexsort((item_key, country))
    country, item_key = country[order], item_key[order]
    starts = np.flatnonzero((np.diff(country, prepend=-1) != 0) | (np.diff(item_key, prepend=-1) != 0))
    summed = np.logaddexp2.reduceat(score[order], starts)
    countries = [names[number] for number in country[starts].tolist()]
    columns = (countries, item_key[starts].tolist(), summed.tolist())
    merged = database.dialect.log2_sum("trends.heat", "excluded.heat")
    database.dialect.upsert(connection, _upsert(merged), columns)


@cache
def _upsert(merged_score: str) -> Upsert:
    columns = (("country", "text"), ("item_key", "bigint"), ("heat", "float8"))
    return Upsert("trends", columns, key=("country", "item_key"), merged=(("heat", merged_score),))


def _numbered(users: KeyArray, country_of: Mapping[int, str]) -> tuple[list[str], KeyArray]:
    """The names of the countries, `ALL_COUNTRIES` first, and the (n,) numbers of the users' countries, 0: unknown."""
    names = [ALL_COUNTRIES, *sorted(set(country_of.values()))]
    numbers = {name: number for number, name in enumerate(names)}
    of_user = [numbers[country_of.get(user, ALL_COUNTRIES)] for user in users.tolist()]
    return names, np.array(of_user, dtype=np.int64)
