"""What is hot: each item's ratings and events, each worth half as much after every `HALF_LIFE`.

    heat = log2 sum weight 2^((at - LANDMARK) / HALF_LIFE)

by forward decay (Cormode, Shkapenyuk, Srivastava, Xu 2009): the weight of a thing is fixed when it happens, and what
passing time does to all alike is left out. So the order of items never changes by itself: nothing need be revisited.
In logarithms, because the sum itself leaves the range of numbers within a decade.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import sqlalchemy as sa

from app.entities import UNKNOWN_TIME, to_microseconds
from app.store.columns import KeyArray, TimeArray, ValueArray
from app.store.database import Database
from app.store.schema import trends
from app.store.upsert import Upsert

LANDMARK = to_microseconds(datetime(2020, 1, 1, tzinfo=UTC))
HALF_LIFE = timedelta(days=3) // timedelta(microseconds=1)
EVERYBODY = ""

TREND_SCORE_DTYPE = np.dtype([("item_key", "i8"), ("heat", "f8")])
COUNTRIES = "SELECT user_key, country FROM users WHERE country IS NOT NULL AND user_key = ?"


class Trends:
    def __init__(self, database: Database) -> None:
        self._database = database

    def top_trending(self, country: str = EVERYBODY, n: int | None = None) -> tuple[KeyArray, ValueArray]:
        """(item keys, heat) of the `n` hottest, or of all that are warm, hottest first, in a country or everywhere."""
        statement = sa.select(trends.c.item_key, trends.c.heat).where(trends.c.country == country).limit(n)
        with self._database.reading() as connection:
            found = connection.execute(statement.order_by(trends.c.heat.desc(), trends.c.item_key.desc())).all()
        rows = np.array([tuple(row) for row in found], dtype=TREND_SCORE_DTYPE)
        return np.ascontiguousarray(rows["item_key"]), np.ascontiguousarray(rows["heat"])


def add_event(
    database: Database,
    connection: sa.Connection,
    user_key: KeyArray,
    item_key: KeyArray,
    at: TimeArray,
    weight: ValueArray,
) -> None:
    """Warm (n,) items by what (n,) users did, for everybody and in the users' countries; once a transaction, the last.

    Nothing comes of a `weight` that is not positive, nor of an unknown time.
    """
    raises_trend = (weight > 0) & (at != UNKNOWN_TIME)
    if not raises_trend.any():
        return
    user_key, item_key = user_key[raises_trend], item_key[raises_trend]
    heat = np.log2(weight[raises_trend]) + (at[raises_trend] - LANDMARK) / HALF_LIFE
    users, of_user = np.unique(user_key, return_inverse=True)
    found = database.dialect.find_rows(connection, COUNTRIES, users.tolist())
    names, country = _numbered(users, dict(found))
    abroad = np.flatnonzero(country[of_user])
    place = np.concatenate([np.zeros(len(item_key), np.int64), country[of_user][abroad]])
    item_key, heat = np.concatenate([item_key, item_key[abroad]]), np.concatenate([heat, heat[abroad]])
    order = np.lexsort((item_key, place))
    place, item_key = place[order], item_key[order]
    starts = np.flatnonzero((np.diff(place, prepend=-1) != 0) | (np.diff(item_key, prepend=-1) != 0))
    summed = np.logaddexp2.reduceat(heat[order], starts)
    countries = [names[number] for number in place[starts].tolist()]
    columns = (countries, item_key[starts].tolist(), summed.tolist())
    sum_ = database.dialect.log2_sum("trends.heat", "excluded.heat")
    database.dialect.upsert(connection, _trend_upsert(sum_), columns)


@cache
def _trend_upsert(sum_: str) -> Upsert:
    columns = (("country", "text"), ("item_key", "bigint"), ("heat", "float8"))
    return Upsert("trends", columns, key=("country", "item_key"), merged=(("heat", sum_),))


def _numbered(users: KeyArray, country_of: Mapping[int, str]) -> tuple[list[str], KeyArray]:
    """The names of countries, everybody's first; for each user (n,) the number of theirs, 0 where it is not known."""
    names = [EVERYBODY, *sorted(set(country_of.values()))]
    numbers = {name: number for number, name in enumerate(names)}
    of_user = [numbers[country_of.get(user, EVERYBODY)] for user in users.tolist()]
    return names, np.array(of_user, dtype=np.int64)
