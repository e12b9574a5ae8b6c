"""Trend scores: what users liked and did of late with each item, each worth half as much after every `HALF_LIFE`.

    trend_score = log2 sum weight 2^((at - LANDMARK) / HALF_LIFE)

by forward decay (Cormode, Shkapenyuk, Srivastava, Xu 2009): the weight of a signal is fixed when it happens, and the
decay that all signals share is left out. Time alone never changes the order of items, so no stored score needs an
update. The score is a logarithm because the sum itself overflows within a decade.

The sum has one term for each user, item and hour of the clock: the strongest signal of the hour. A term follows from
the user's stored ratings and events alone, so none is stored: each write takes the terms from before it out of the sum
and adds those from after it. A difference of floats loses digits where little remains. A sum that falls far below its
peak is therefore counted again from the stored ratings and events.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from app.entities import to_microseconds
from app.store.database import Database
from app.store.dialect import KeyArray, TimeArray, Upsert, ValueArray
from app.store.schema import trends
from app.store.signals import HOUR, Signals, all_signals, event_signals_of_pairs, liked_from, signals_of_items

LANDMARK = to_microseconds(datetime(2020, 1, 1, tzinfo=UTC))
HALF_LIFE = timedelta(days=3) // timedelta(microseconds=1)
ALL_COUNTRIES = ""
MAX_FALL = 16.0
"""A sum that falls to 2^-16 of its peak is counted again; the digits it has lost until then are beyond the tenth."""
NOTHING = -1e299
"""The score of no terms, for a column that is not NULL and holds finite numbers."""
CHUNK_ROWS = 5_000

TREND_SCORE_DTYPE = np.dtype([("item_key", "i8"), ("trend_score", "f8")])
PROFILES = (
    "SELECT user_key, country, has_events FROM (SELECT user_key, country,"
    " EXISTS (SELECT 1 FROM interactions WHERE interactions.user_key = users.user_key) AS has_events FROM users)"
    " AS profiles WHERE (country IS NOT NULL OR has_events) AND user_key = ?"
)
COUNTRIES = "SELECT user_key, country FROM users WHERE country IS NOT NULL AND user_key = ?"
COLUMNS = (("country", "text"), ("item_key", "bigint"), ("heat", "float8"), ("n_terms", "bigint"))
REPLACE_SCORES = Upsert(
    "trends",
    (*COLUMNS, ("peak", "float8")),
    key=("country", "item_key"),
    merged=(("heat", "excluded.heat"), ("n_terms", "excluded.n_terms"), ("peak", "excluded.peak")),
)

CountryOf = Mapping[int, str]
"""The countries of users by key, as far as they are known."""
Place = tuple[str, int]
"""A country and the key of an item."""


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


def lock_trends(database: Database, connection: sa.Connection) -> None:
    """Waits until no other transaction counts all trends again.

    Comes before the reads of the scale, of weights, and of the signals before a change, so that these stay as they are.
    """
    database.dialect.lock_table(connection, "trends", "ROW EXCLUSIVE")


def countries_of(database: Database, connection: sa.Connection, user_keys: KeyArray | Sequence[int]) -> dict[int, str]:
    return dict(database.dialect.rows_of(connection, COUNTRIES, np.unique(user_keys).tolist()))


def change_trends_of_ratings(
    database: Database,
    connection: sa.Connection,
    pairs: tuple[KeyArray, KeyArray],
    before: tuple[ValueArray, TimeArray],
    after: tuple[ValueArray, TimeArray],
) -> None:
    """As `change_trends`, for changed ratings of (n,) distinct pairs, given by values (NaN: none) and times."""
    lock_trends(database, connection)
    threshold = liked_from(database, connection)
    was, is_ = (Signals.of_ratings(*pairs, *rating, threshold) for rating in (before, after))
    if not len(was) and not len(is_):
        return
    user_key = np.unique(np.concatenate([was.user_key, is_.user_key]))
    profiles = database.dialect.rows_of(connection, PROFILES, user_key.tolist())
    country_of = {user: country for user, country, _ in profiles if country is not None}
    active = [user for user, _, has_events in profiles if has_events]
    if active:
        # Events of the same hours decide with the ratings which signal is the strongest.
        rows = np.isin(pairs[0], active)
        times = np.concatenate([was.at, is_.at])
        events = event_signals_of_pairs(database, connection, pairs[0][rows], pairs[1][rows], times)
        was, is_ = was + events, is_ + events
    change_trends(database, connection, was, is_, country_of, country_of)


def change_trends(
    database: Database,
    connection: sa.Connection,
    before: Signals,
    after: Signals,
    country_before: CountryOf,
    country_after: CountryOf,
) -> None:
    """Takes the terms of `before` out of the sums, and adds those of `after`, for all countries and those of the users.

    Of each user, item and hour with a signal that changes, `before` and `after` hold all signals. Everything else is
    written already, since a sum may be counted again here. A transaction calls this once, and last: the rows of trends
    come last in the order of locks.
    """
    names = [ALL_COUNTRIES, *sorted({*country_before.values(), *country_after.values()})]
    numbers = {name: number for number, name in enumerate(names)}
    was, is_ = _terms(before, country_before, numbers), _terms(after, country_after, numbers)
    change = _Change.of(was, is_)
    if not len(change.item_key):
        return
    countries = [names[number] for number in change.country.tolist()]
    dialect = database.dialect
    added = np.where(np.isfinite(change.added), change.added, NOTHING)
    columns = (countries, change.item_key.tolist(), added.tolist(), change.n_terms.tolist())
    # First of all rows, also of those that only lose terms: this locks them in order.
    dialect.upsert(connection, _add_terms(dialect.log2_sum("trends.heat", "excluded.heat")), columns)
    is_less = np.isfinite(change.removed)
    if is_less.any():
        places = zip(countries, change.item_key.tolist(), strict=True)
        lost = {place: change.removed[row] for row, place in enumerate(places) if is_less[row]}
        _take_out(database, connection, lost)


def recount_all(database: Database, connection: sa.Connection) -> None:
    """Counts all trends again, when the scale, a weight or the rule of the sum has changed.

    The caller locks the table of trends (`EXCLUSIVE`) before it changes anything.
    """
    signals = all_signals(database, connection)
    countries = countries_of(database, connection, signals.user_key)
    connection.execute(sa.delete(trends))
    _replace(database, connection, _scores(signals, countries))


def _take_out(database: Database, connection: sa.Connection, lost: Mapping[Place, float]) -> None:
    """Takes sums (log2) out of scores whose rows are locked."""
    is_place = sa.tuple_(trends.c.country, trends.c.item_key)
    read = sa.select(trends.c.country, trends.c.item_key, trends.c.heat, trends.c.n_terms, trends.c.peak)
    places, kept, gone, unsure = list(lost), {}, [], set()
    for start in range(0, len(places), CHUNK_ROWS):
        part = places[start : start + CHUNK_ROWS]
        for country, item_key, heat, n_terms, peak in connection.execute(read.where(is_place.in_(part))):
            highest = heat if peak is None else max(peak, heat)
            # log2(2^heat - 2^lost) = heat + log2(1 - 2^(lost - heat))
            with np.errstate(divide="ignore", invalid="ignore"):
                left = heat + np.log2(1 - np.exp2(min(lost[country, item_key] - heat, 0.0)))
            if n_terms <= 0:
                gone.append((country, item_key))
            elif left > highest - MAX_FALL:
                kept[country, item_key] = (float(left), n_terms, highest)
            else:
                unsure.add((country, item_key))
    if unsure:
        signals = signals_of_items(database, connection, sorted({item_key for _, item_key in unsure}))
        counted = _scores(signals, countries_of(database, connection, signals.user_key))
        kept |= {place: score for place, score in counted.items() if place in unsure}
        gone += unsure - kept.keys()
    for start in range(0, len(gone), CHUNK_ROWS):
        connection.execute(sa.delete(trends).where(is_place.in_(gone[start : start + CHUNK_ROWS])))
    _replace(database, connection, kept)


def _scores(signals: Signals, country_of: CountryOf) -> dict[Place, tuple[float, int, float | None]]:
    """The score, the number of terms and the peak (none) of each place, from all of its signals."""
    names = [ALL_COUNTRIES, *sorted(set(country_of.values()))]
    terms = _terms(signals, country_of, {name: number for number, name in enumerate(names)})
    change = _Change.of(_Terms.none(), terms)
    columns = (change.country.tolist(), change.item_key.tolist(), change.added.tolist(), change.n_terms.tolist())
    return {(names[number], item): (score, n, None) for number, item, score, n in zip(*columns, strict=True)}


def _replace(
    database: Database, connection: sa.Connection, scores: Mapping[Place, tuple[float, int, float | None]]
) -> None:
    rows = [(*place, *score) for place, score in scores.items()]
    if rows:
        database.dialect.upsert(connection, REPLACE_SCORES, list(zip(*rows, strict=True)))


@cache
def _add_terms(summed: str) -> Upsert:
    merged = (("heat", summed), ("n_terms", "trends.n_terms + excluded.n_terms"))
    return Upsert("trends", COLUMNS, key=("country", "item_key"), merged=merged)


@dataclass(frozen=True, slots=True)
class _Terms:
    """Equal lengths n: the number of a country, an item's key, and the logarithm of one term of its sum."""

    country: KeyArray
    item_key: KeyArray
    score: ValueArray

    @classmethod
    def none(cls) -> "_Terms":
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


def _terms(signals: Signals, country_of: CountryOf, numbers: Mapping[str, int]) -> _Terms:
    """The strongest signal of each user, item and hour: for all countries (number 0), and for the user's country."""
    if not len(signals):
        return _Terms.none()
    hour = signals.at // HOUR
    starts, order = _groups(signals.user_key, signals.item_key, hour)
    # log2(weight 2^((at - LANDMARK) / HALF_LIFE))
    score = np.log2(signals.weight) + (signals.at - LANDMARK) / HALF_LIFE
    score = np.maximum.reduceat(score[order], starts)
    user_key, item_key = signals.user_key[order][starts], signals.item_key[order][starts]
    country = np.zeros(len(user_key), np.int64)
    if country_of:
        users, of_user = np.unique(user_key, return_inverse=True)
        of_users = [numbers[country_of.get(user, ALL_COUNTRIES)] for user in users.tolist()]
        country = np.array(of_users, np.int64)[of_user]
    located = np.flatnonzero(country)
    return _Terms(
        np.concatenate([np.zeros(len(user_key), np.int64), country[located]]),
        np.concatenate([item_key, item_key[located]]),
        np.concatenate([score, score[located]]),
    )


@dataclass(frozen=True, slots=True)
class _Change:
    """What changes in the sums of n places, in the order of country and item.

    `added`, `removed`: (n,) log2 of the sums of terms, -inf for none. `n_terms`: (n,) by how many terms a sum grows.
    """

    country: KeyArray
    item_key: KeyArray
    added: ValueArray
    removed: ValueArray
    n_terms: NDArray[np.int64]

    @classmethod
    def of(cls, before: _Terms, after: _Terms) -> "_Change":
        country = np.concatenate([before.country, after.country])
        item_key = np.concatenate([before.item_key, after.item_key])
        score = np.concatenate([before.score, after.score])
        n_more = np.repeat(np.array([-1, 1]), [len(before.score), len(after.score)])
        if len(before.score):
            # Equal terms of both cancel out exactly, lest unchanged sums lose digits.
            starts, order = _groups(country, item_key, score)
            country, item_key, score = country[order][starts], item_key[order][starts], score[order][starts]
            n_more = np.add.reduceat(n_more[order], starts)
            country, item_key, score, n_more = (each[n_more != 0] for each in (country, item_key, score, n_more))
        if not len(score):
            return cls(country, item_key, score, score, n_more)
        starts, order = _groups(country, item_key)
        n_more, score = n_more[order], score[order]
        score = score + np.log2(np.abs(n_more))
        added, removed = (
            np.logaddexp2.reduceat(np.where(is_one, score, -np.inf), starts) for is_one in (n_more > 0, n_more < 0)
        )
        n_terms = np.add.reduceat(n_more, starts)
        return cls(country[order][starts], item_key[order][starts], added, removed, n_terms)


def _groups(*keys: NDArray[np.int64] | NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where groups of equal keys start in the sorted order of n >= 1 rows, and that order (n,)."""
    order = np.lexsort(keys[::-1])
    is_first = np.ones(len(order), dtype=np.bool_)
    is_first[1:] = np.any([np.diff(key[order]) != 0 for key in keys], axis=0)
    return np.flatnonzero(is_first), order
