"""Trend scores: what users liked and did of late with each item, each worth half as much after every `HALF_LIFE`.

    trend_score = log2 sum weight 2^((at - LANDMARK) / HALF_LIFE)

by forward decay (Cormode, Shkapenyuk, Srivastava, Xu 2009): the weight of a signal is fixed when it happens, and the
decay that all signals share is left out. Time alone never changes the order of items, so no stored score needs an
update. The score is a logarithm because the sum itself overflows within a decade.

The sum has one term for each user, item and day (UTC): the strongest signal of the day. A user who comes every hour
counts as one who comes every day, and never as much as five users. A term follows from the user's stored ratings and
events alone, so none is stored: each write takes the terms from before it out of the sum and adds those from after it.
A difference of floats loses digits where little remains. A sum that falls far below its peak is therefore counted again
from the stored ratings and events.

There are sums for all users, for those of each country, and for the new users among each of these, whom no training run
has judged yet: a run says nothing of small profiles, whose users stay new. Users in quarantine are in no sum. Where new
users have more to do with an item than others let one expect, the excess does not count (`bursts.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from app.entities import to_microseconds
from app.store import counters
from app.store.bursts import N_TYPICAL, most_of_new
from app.store.database import Database
from app.store.dialect import KeyArray, TimeArray, Upsert, ValueArray
from app.store.schema import counters as counter_table
from app.store.schema import trends, users
from app.store.signals import (
    DAY,
    Signals,
    all_signals,
    event_signals_of_pairs,
    liked_from,
    signals_of_items,
    signals_of_new_users,
)

LANDMARK = to_microseconds(datetime(2020, 1, 1, tzinfo=UTC))
HALF_LIFE = timedelta(days=3) // timedelta(microseconds=1)
ALL_COUNTRIES = ""
NEW = "\x01"
"""Begins the name of a sum of new users alone. No country has a control character."""
JUDGED = "judged_users"
"""The counter that holds the highest key of a user in the data of a run that judged; 0 before the first one.

Users with a higher key are new, and so are those with a lower one whose profiles it could not judge (`is_unjudged`).
"""
RECOUNTED = "recounted_items"
"""The counter that exists while trends are counted again in slices: the highest key of the items that are done."""
MAX_FALL = 16.0
"""A sum that falls to 2^-16 of its peak is counted again; the digits it has lost until then are beyond the tenth."""
NOTHING = -1e299
"""The score of no terms, for a column that is not NULL and holds finite numbers."""
CHUNK_ROWS = 5_000

SUMS_DTYPE = np.dtype([("item_key", "i8"), ("total", "f8"), ("new", "f8")])
ACTIVE = (
    "SELECT user_key FROM users WHERE"
    " EXISTS (SELECT 1 FROM interactions WHERE interactions.user_key = users.user_key) AND user_key = ?"
)
# Before the first run no user is new: there would be nothing to compare with.
AUDIENCES = (
    "SELECT user_key, country, is_new, is_quarantined FROM (SELECT user_key, country,"
    " EXISTS (SELECT 1 FROM counters WHERE name = 'judged_users' AND value > 0"
    " AND (value < users.user_key OR users.is_unjudged)) AS is_new,"
    " EXISTS (SELECT 1 FROM quarantine WHERE quarantine.user_key = users.user_key AND released_at IS NULL)"
    " AS is_quarantined FROM users) AS profiles"
    " WHERE (country IS NOT NULL OR is_new OR is_quarantined) AND user_key = ?"
)
COLUMNS = (("country", "text"), ("item_key", "bigint"), ("heat", "float8"), ("n_terms", "bigint"))
REPLACE_SCORES = Upsert(
    "trends",
    (*COLUMNS, ("peak", "float8")),
    key=("country", "item_key"),
    merged=(("heat", "excluded.heat"), ("n_terms", "excluded.n_terms"), ("peak", "excluded.peak")),
)

Place = tuple[str, int]
"""The name of a sum, such as a country, and the key of an item."""


class Audience(NamedTuple):
    """What decides in which sums a user is."""

    country: str | None = None
    is_new: bool = False
    is_quarantined: bool = False

    @property
    def sums(self) -> tuple[str, ...]:
        """Their names."""
        if self.is_quarantined:
            return ()
        names = (ALL_COUNTRIES,) if self.country is None else (ALL_COUNTRIES, self.country)
        return (*names, *(NEW + name for name in names)) if self.is_new else names


AudienceOf = Mapping[int, Audience]
"""Those of users by key; a user who is missing is known to a run, and of no country."""
ANY = Audience()


class Judgement(NamedTuple):
    """What a run found of the users in its data.

    `user_key`: (n,) int64 ascending, all of them. `is_judged`: (n,) bool, those who are new no more. Who comes later is
    new, and so are the others until a later run judges them.
    """

    user_key: KeyArray
    is_judged: NDArray[np.bool_]


class Trends:
    def __init__(self, database: Database) -> None:
        self._database = database

    def top_trending(self, country: str = ALL_COUNTRIES, n: int | None = None) -> tuple[KeyArray, ValueArray]:
        """((m,) item keys, (m,) trend scores) of a country, highest first: the top n, or all that have a score.

        Without what new users add above what is expected.
        """
        n_read = None if n is None else max(2 * n, N_TYPICAL)
        with self._database.reading() as connection:
            while True:
                rows, counted = self._counted(connection, country, n_read)
                order = np.lexsort((-rows["item_key"], -counted))[:n]
                is_all = n_read is None or len(rows) < n_read
                # What was not read counts for no more than the lowest sum that was.
                if is_all or n_read is None or counted[order[-1]] >= rows["total"][-1]:
                    return rows["item_key"][order], counted[order]
                n_read *= 8

    def _counted(self, connection: sa.Connection, country: str, n: int | None) -> tuple[NDArray[np.void], ValueArray]:
        """The n highest sums, or all, of all users and of new ones, and (m,) what of them counts."""
        of_new = trends.alias()
        new = sa.and_(of_new.c.country == NEW + country, of_new.c.item_key == trends.c.item_key)
        statement = (
            sa.select(trends.c.item_key, trends.c.heat, sa.func.coalesce(of_new.c.heat, NOTHING))
            .select_from(trends.outerjoin(of_new, new))
            .where(trends.c.country == country)
            .order_by(trends.c.heat.desc(), trends.c.item_key.desc())
            .limit(n)
        )
        rows = np.array([tuple(row) for row in connection.execute(statement)], dtype=SUMS_DTYPE)
        rows["new"][rows["new"] == NOTHING] = -np.inf
        total, of_new_users = rows["total"], rows["new"]
        most = most_of_new(total, of_new_users, self._now(connection))
        with np.errstate(divide="ignore"):
            known = total + np.log2(1 - np.exp2(np.minimum(of_new_users - total, 0.0)))
        # Unchanged to the last digit where nothing is held back.
        return rows, np.where(of_new_users > most, np.logaddexp2(known, most), total)

    def _now(self, connection: sa.Connection) -> float:
        """log2 of a signal of weight 1, such as a liked rating, now."""
        return float((self._database.dialect.now(connection) - LANDMARK) / HALF_LIFE)


def judge(database: Database, connection: sa.Connection, judgement: Judgement) -> None:
    """Counts the signals of new users again, without those who were judged. Other writes wait meanwhile.

    Who was judged once is never new again. Locks users, then the counter, then trends.
    """
    before = counters.read(connection, JUDGED)
    highest = max(before, int(judgement.user_key.max(initial=0)))
    were_new = (users.c.user_key <= highest) & ((users.c.user_key > before) | users.c.is_unjudged)
    new = sa.select(users.c.user_key, users.c.is_unjudged).where(were_new).order_by(users.c.user_key)
    # Locked in the order of keys, as every writer does.
    rows = connection.execute(new.with_for_update(key_share=True)).all()
    # A user who was being stored while the run read the data has a lower key than others, and is not among its users.
    judged = set(judgement.user_key[judgement.is_judged].tolist())
    changed = [row.user_key for row in rows if row.is_unjudged == (row.user_key in judged)]
    for start in range(0, len(changed), CHUNK_ROWS):
        are_some = users.c.user_key.in_(changed[start : start + CHUNK_ROWS])
        connection.execute(sa.update(users).where(are_some).values(is_unjudged=~users.c.is_unjudged))
    if not changed and highest == before:
        return
    connection.execute(sa.update(counter_table).where(counter_table.c.name == JUDGED).values(value=highest))
    database.dialect.lock_table(connection, "trends", "EXCLUSIVE")
    connection.execute(sa.delete(trends).where(trends.c.country.startswith(NEW)))
    # Those who came while the run went on are new as well.
    signals = signals_of_new_users(database, connection, highest)
    scores = scores_of(signals, audiences_of(database, connection, signals.user_key))
    of_new = {place: score for place, score in scores.items() if place[0].startswith(NEW)}
    replace_scores(database, connection, of_new)


def lock_trends(database: Database, connection: sa.Connection) -> None:
    """Waits until no other transaction counts all trends again.

    Comes before the reads of the scale, of weights, and of the signals before a change, so that these stay as they are.
    """
    database.dialect.lock_table(connection, "trends", "ROW EXCLUSIVE")


def audiences_of(
    database: Database, connection: sa.Connection, user_keys: KeyArray | Sequence[int]
) -> dict[int, Audience]:
    rows = database.dialect.rows_of(connection, AUDIENCES, np.unique(np.asarray(user_keys, np.int64)))
    return {key: Audience(country, bool(is_new), bool(is_held)) for key, country, is_new, is_held in rows}


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
    active = [user for (user,) in database.dialect.rows_of(connection, ACTIVE, user_key)]
    if active:
        # Events of the same days decide with the ratings which signal is the strongest.
        rows = np.isin(pairs[0], active)
        times = np.concatenate([was.at, is_.at])
        events = event_signals_of_pairs(database, connection, pairs[0][rows], pairs[1][rows], times)
        was, is_ = was + events, is_ + events
    audiences = audiences_of(database, connection, user_key)
    change_trends(database, connection, was, is_, audiences, audiences)


def change_trends(
    database: Database,
    connection: sa.Connection,
    before: Signals,
    after: Signals,
    audience_before: AudienceOf,
    audience_after: AudienceOf,
) -> None:
    """Takes the terms of `before` out of the sums, and adds those of `after`, to all sums that the users are in.

    Of each user, item and day with a signal that changes, `before` and `after` hold all signals. Everything else is
    written already, since a sum may be counted again here. A transaction calls this once, and last: the rows of trends
    come last in the order of locks.
    """
    names = _names(audience_before, audience_after)
    was, is_ = _terms(before, audience_before, names), _terms(after, audience_after, names)
    change = _Change.of(was, is_)
    if not len(change.item_key):
        return
    countries = [names[number] for number in change.country.tolist()]
    dialect = database.dialect
    added = np.where(np.isfinite(change.added), change.added, NOTHING)
    columns = (countries, change.item_key, added, change.n_terms)
    # First of all rows, also of those that only lose terms: this locks them in order.
    dialect.upsert(connection, _add_terms(dialect.log2_sum("trends.heat", "excluded.heat")), columns)
    is_less = np.isfinite(change.removed)
    if is_less.any():
        places = zip(countries, change.item_key.tolist(), strict=True)
        lost = {place: change.removed[row] for row, place in enumerate(places) if is_less[row]}
        _take_out(database, connection, lost)


def begin_recount(connection: sa.Connection) -> None:
    """In the transaction that changes a weight: `app.store.trend_recount` is to count all trends again."""
    end_recount(connection)
    connection.execute(sa.insert(counter_table).values(name=RECOUNTED, value=0))


def end_recount(connection: sa.Connection) -> None:
    connection.execute(sa.delete(counter_table).where(counter_table.c.name == RECOUNTED))


def recounted_up_to(connection: sa.Connection) -> int | None:
    """The highest key of the items that are counted again already; None if none are to be."""
    done: int | None = connection.execute(
        sa.select(counter_table.c.value).where(counter_table.c.name == RECOUNTED)
    ).scalar_one_or_none()
    return done


def recount_all(database: Database, connection: sa.Connection) -> None:
    """Counts all trends again at once, when the scale or the rule of the sum has changed.

    The caller locks the table of trends (`EXCLUSIVE`) before it changes anything.
    """
    signals = all_signals(database, connection)
    audiences = audiences_of(database, connection, signals.user_key)
    end_recount(connection)
    connection.execute(sa.delete(trends))
    replace_scores(database, connection, scores_of(signals, audiences))


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
    if unsure and (done := recounted_up_to(connection)) is not None:
        # A sum by the old weights, of which a term by the new ones was taken out, is counted again soon.
        later = {place for place in unsure if place[1] > done}
        unsure -= later
        gone += later
    if unsure:
        signals = signals_of_items(database, connection, sorted({item_key for _, item_key in unsure}))
        counted = scores_of(signals, audiences_of(database, connection, signals.user_key))
        kept |= {place: score for place, score in counted.items() if place in unsure}
        gone += unsure - kept.keys()
    for start in range(0, len(gone), CHUNK_ROWS):
        connection.execute(sa.delete(trends).where(is_place.in_(gone[start : start + CHUNK_ROWS])))
    replace_scores(database, connection, kept)


def scores_of(signals: Signals, audience_of: AudienceOf) -> dict[Place, tuple[float, int, float | None]]:
    """The score, the number of terms and the peak (none) of each place, from all of its signals."""
    names = _names(audience_of)
    terms = _terms(signals, audience_of, names)
    change = _Change.of(_Terms.none(), terms)
    columns = (change.country.tolist(), change.item_key.tolist(), change.added.tolist(), change.n_terms.tolist())
    return {(names[number], item): (score, n, None) for number, item, score, n in zip(*columns, strict=True)}


def replace_scores(
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
    """Equal lengths n: the number of a sum's name, an item's key, and the logarithm of one term of its sum."""

    country: KeyArray
    item_key: KeyArray
    score: ValueArray

    @classmethod
    def none(cls) -> "_Terms":
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


def _names(*audiences: AudienceOf) -> list[str]:
    """The names of sums, in the order in which their rows are locked."""
    all_audiences = {ANY, *(audience for audience_of in audiences for audience in audience_of.values())}
    return sorted({name for audience in all_audiences for name in audience.sums})


def _terms(signals: Signals, audience_of: AudienceOf, names: Sequence[str]) -> _Terms:
    """The strongest signal of each user, item and day, once for each sum that the user is in."""
    if not len(signals):
        return _Terms.none()
    starts, order = _groups(signals.user_key, signals.item_key, signals.at // DAY)
    # log2(weight 2^((at - LANDMARK) / HALF_LIFE))
    score = np.log2(signals.weight) + (signals.at - LANDMARK) / HALF_LIFE
    score = np.maximum.reduceat(score[order], starts)
    user_key, item_key = signals.user_key[order][starts], signals.item_key[order][starts]
    numbers = {name: number for number, name in enumerate(names)}
    users, of_user = np.unique(user_key, return_inverse=True)
    sums = [[numbers[name] for name in audience_of.get(user, ANY).sums] for user in users.tolist()]
    n_sums = np.array([len(each) for each in sums], np.int64)
    # Those of user u stand in `flat` from starts_of[u] on; each term comes once for each of them.
    flat = np.array([number for each in sums for number in each], np.int64)
    starts_of, times = np.cumsum(n_sums) - n_sums, n_sums[of_user]
    rows = np.repeat(np.arange(len(user_key)), times)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)
    return _Terms(flat[starts_of[of_user][rows] + place], item_key[rows], score[rows])


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
