"""A catalogue made up for trying Reckon without any data: films that do not exist, and people who rated them.

There is structure to find, and what it is stands in this file. A rating is

    r_ui = mu + b_u + b_i + p_u . q_i + noise,   rounded to half stars,

with p and q of rank 8: q_i is the mean of its categories' vectors plus its own part, p_u of its country's and age
group's plus its own part. People rate mostly what is popular and what suits them, as they do.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.entities import IncomingRatings, Item, RatingScale, User, from_microseconds, to_microseconds
from app.intake.export_rows import ITEM_NAMES, RATING_NAMES, USER_NAMES, item_row, rating_rows, user_row
from app.intake.table_writers import Format, TableWriter

FloatArray = NDArray[np.float64]

N_USERS, N_ITEMS, N_RATINGS = 2_000, 1_000, 150_000
MIN_RATINGS, MAX_RATINGS = 15, 400
RANK = 8
SCALE = RatingScale(0.5, 5.0, 0.5)
FIRST_DAY, LAST_DAY = datetime(2023, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)

CATEGORIES = [
    *("Action", "Adventure", "Animation", "Comedy", "Crime", "Documentary", "Drama", "Fantasy", "Horror", "Mystery"),
    *("Romance", "Science Fiction", "Thriller", "Western"),
]
COUNTRIES = ["BR", "DE", "FR", "GB", "IN", "JP", "NO", "US"]
AGE_GROUPS = {"13-17": (13, 17), "18-24": (18, 24), "25-34": (25, 34), "35-49": (35, 49), "50+": (50, 80)}
_FIRST_WORDS = [
    *(
        "Amber",
        "Broken",
        "Smouldering",
        "Crooked",
        "Distant",
        "Electric",
        "Endless",
        "Fallen",
        "Frozen",
        "Gentle",
        "Copper",
    ),
    *(
        "Folded",
        "Hollow",
        "Tin",
        "Unsent",
        "Lesser",
        "Lonely",
        "Borrowed",
        "Noonday",
        "Paper",
        "Patient",
        "Quiet",
        "Restless",
    ),
    *(
        "Salt",
        "Second",
        "Seventh",
        "Silver",
        "Sleeping",
        "Stolen",
        "Stubborn",
        "Velvet",
        "Wandering",
        "Ochre",
        "Winter",
    ),
]
_SECOND_WORDS = [
    *("Anchor", "Arcade", "Atlas", "Bicycle", "Bridge", "Cartographer", "Clockmaker", "Barometer", "Detour", "Emperor"),
    *(
        "Ferry",
        "Garden",
        "Ghost",
        "Harbour",
        "Horizon",
        "Hotel",
        "Island",
        "Lantern",
        "Library",
        "Lighthouse",
        "Machine",
    ),
    *(
        "Meridian",
        "Mirror",
        "Neighbour",
        "Orchard",
        "Orchestra",
        "Passenger",
        "Postcard",
        "River",
        "Satellite",
        "Signal",
    ),
    *("Staircase", "Storm", "Summer", "Theatre", "Tiger", "Train", "Valley", "Violin", "Witness"),
]


@dataclass(frozen=True, slots=True)
class GeneratedCatalogue:
    """Items, users and the ratings between them, by user and then by time."""

    items: list[Item]
    users: list[User]
    ratings: IncomingRatings


def generate_catalogue(seed: int = 0) -> GeneratedCatalogue:
    """2,000 users, 1,000 titles, 150,000 ratings on 0.5:5:0.5 over three years; the same for the same seed."""
    rng = np.random.default_rng(seed)
    membership = _memberships(rng)
    countries = rng.choice(len(COUNTRIES), N_USERS, p=_shares(len(COUNTRIES)))
    age_groups = rng.integers(len(AGE_GROUPS), size=N_USERS)
    added_at = _times_added(rng)
    item_factors = _spread_out(membership @ rng.standard_normal((len(CATEGORIES), RANK)), rng)
    user_factors = _spread_out(
        rng.standard_normal((len(COUNTRIES), RANK))[countries]
        + rng.standard_normal((len(AGE_GROUPS), RANK))[age_groups],
        rng,
    )
    user_states = user_factors @ item_factors.T / np.sqrt(RANK)  # of unit variance
    user_rows, item_rows = _who_rates_what(user_states, rng)
    values = _values(user_states, user_rows, item_rows, rng)
    rated_at = _times_rated(user_rows, added_at[item_rows], rng)
    order = np.lexsort((rated_at, user_rows))
    items = _items(membership, added_at, rng)
    users = _users(countries, age_groups, rng)
    return GeneratedCatalogue(
        items,
        users,
        IncomingRatings(
            [users[row].user_id for row in user_rows[order]],
            [items[row].item_id for row in item_rows[order]],
            values[order],
            rated_at[order],
        ),
    )


def write_catalogue(folder: Path, seed: int = 0) -> Path:
    """`generate_catalogue` as CSV files in `folder`, which `reckon import` takes; returns the folder."""
    catalogue = generate_catalogue(seed)
    folder.mkdir(parents=True, exist_ok=True)
    tables = (
        ("items", ITEM_NAMES, (item_row(item, Format.CSV) for item in catalogue.items)),
        ("users", USER_NAMES, (user_row(user, Format.CSV) for user in catalogue.users)),
        ("ratings", RATING_NAMES, rating_rows(catalogue.ratings, Format.CSV)),
    )
    for name, columns, rows in tables:
        with TableWriter(folder / f"{name}.csv", columns, Format.CSV) as writer:
            writer.write(rows)
            writer.publish()
    return folder


def _memberships(rng: np.random.Generator) -> FloatArray:
    """(N_ITEMS, n_categories) shares that sum to 1: each item is of one to three categories."""
    n_categories = rng.choice([1, 2, 3], N_ITEMS, p=[0.4, 0.4, 0.2])
    ranks = rng.random((N_ITEMS, len(CATEGORIES))).argsort(axis=1).argsort(axis=1)
    chosen = ranks < n_categories[:, None]
    shares: FloatArray = chosen / chosen.sum(axis=1, keepdims=True)
    return shares


def _shares(n: int) -> FloatArray:
    """Falling like 1/rank, summing to 1."""
    weights = 1.0 / np.arange(1, n + 1)
    shares: FloatArray = weights / weights.sum()
    return shares


def _spread_out(of_group: FloatArray, rng: np.random.Generator) -> FloatArray:
    """(n, RANK) vectors, half of their group and half their own, with mean 0 and covariance 1: all directions count."""
    groups = (of_group - of_group.mean(axis=0)) / of_group.std(axis=0)
    vectors = groups + rng.standard_normal(of_group.shape)
    vectors -= vectors.mean(axis=0)
    whitening = np.linalg.inv(np.linalg.cholesky(np.cov(vectors.T))).T
    white: FloatArray = vectors @ whitening
    return white


def _who_rates_what(user_states: FloatArray, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(N_RATINGS,) user and item rows: each user's n_u first of all items by popularity + taste + Gumbel noise."""
    popularity = 1.3 * rng.standard_normal(N_ITEMS)
    options = popularity + 0.8 * user_states + rng.gumbel(size=user_states.shape)
    n_rated = _numbers_rated(rng)
    is_rated = (-options).argsort(axis=1).argsort(axis=1) < n_rated[:, None]
    user_rows, item_rows = np.nonzero(is_rated)
    return user_rows, item_rows


def _numbers_rated(rng: np.random.Generator) -> NDArray[np.int64]:
    """(N_USERS,) skewed like people are, between the limits, summing to N_RATINGS."""
    activity = rng.lognormal(sigma=0.9, size=N_USERS)
    numbers = np.full(N_USERS, MIN_RATINGS)
    while missing := N_RATINGS - int(numbers.sum()):
        is_open = numbers < MAX_RATINGS
        shares = np.where(is_open, activity, 0.0)
        more = np.floor(missing * shares / shares.sum()).astype(np.int64)
        if not more.any():
            more[np.flatnonzero(is_open)[:missing]] = 1
        numbers = np.minimum(numbers + more, MAX_RATINGS)
    return numbers


def _values(
    user_states: FloatArray, user_rows: NDArray[np.int64], item_rows: NDArray[np.int64], rng: np.random.Generator
) -> FloatArray:
    user_biases, item_biases = 0.35 * rng.standard_normal(N_USERS), 0.45 * rng.standard_normal(N_ITEMS)
    noise = 0.6 * rng.standard_normal(len(user_rows))
    exact = 3.3 + user_biases[user_rows] + item_biases[item_rows] + 0.6 * user_states[user_rows, item_rows] + noise
    half_stars: FloatArray = np.clip(np.rint(exact * 2) / 2, SCALE.minimum, SCALE.maximum)
    return half_stars


def _times_added(rng: np.random.Generator) -> NDArray[np.int64]:
    """(N_ITEMS,) microseconds: two in three titles were there from the first day, the others came later."""
    first, last = to_microseconds(FIRST_DAY), to_microseconds(LAST_DAY)
    later = rng.integers(first, last - (last - first) // 10, N_ITEMS)
    return np.where(rng.random(N_ITEMS) < 2 / 3, first, later)


def _times_rated(
    user_rows: NDArray[np.int64], item_added_at: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Whole seconds as microseconds, from when the user had joined and the item was there, to the last day."""
    first, last = to_microseconds(FIRST_DAY), to_microseconds(LAST_DAY)
    joined = rng.integers(first, last - (last - first) // 20, N_USERS)
    earliest = np.maximum(joined[user_rows], item_added_at)
    moments = earliest + (rng.random(len(user_rows)) ** 2 * (last - earliest)).astype(np.int64)
    whole_seconds: NDArray[np.int64] = moments // 1_000_000 * 1_000_000
    return whole_seconds


def _items(membership: FloatArray, added_at: NDArray[np.int64], rng: np.random.Generator) -> list[Item]:
    titles = rng.permutation([f"The {first} {second}" for first in _FIRST_WORDS for second in _SECOND_WORDS])
    years = 2025 - np.floor(rng.exponential(14, N_ITEMS)).astype(np.int64).clip(0, 70)
    minutes = rng.integers(75, 181, N_ITEMS)
    joined_years = (from_microseconds(moment).year for moment in added_at.tolist())
    return [
        Item(
            item_id=f"film-{number:04}",
            title=str(titles[number]),
            categories=tuple(np.array(CATEGORIES)[membership[number] > 0].tolist()),
            year=min(int(years[number]), joined_year),
            attributes={"minutes": int(minutes[number])},
            added_at=from_microseconds(int(added_at[number])),
        )
        for number, joined_year in enumerate(joined_years)
    ]


def _users(countries: NDArray[np.int64], age_groups: NDArray[np.int64], rng: np.random.Generator) -> list[User]:
    limits = np.array(list(AGE_GROUPS.values()))[age_groups]
    ages = rng.integers(limits[:, 0], limits[:, 1] + 1)
    names = list(AGE_GROUPS)
    return [
        User(f"user-{number:04}", COUNTRIES[country], {"age": int(age), "age_group": names[group]})
        for number, (country, age, group) in enumerate(zip(countries, ages, age_groups, strict=True))
    ]
