"""Generates a synthetic catalogue of films, users and ratings, for trying Reckon without data.

The ratings have a known structure for algorithms to recover:

    r_ui = mu + b_u + b_i + p_u . q_i + noise,   rounded to half stars,

where p_u and q_i have rank 8. The vector q_i is the mean of the vectors of its categories plus an individual part; p_u
is the sum of the vectors of its country and age group plus an individual part. As in real data, users mostly rate items
that are popular or that they prefer.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.entities import IncomingRatings, Item, RatingScale, User, from_microseconds, to_microseconds
from app.intake.export_rows import ITEM_NAMES, RATING_NAMES, USER_NAMES, item_row, rating_rows, user_row
from app.intake.files.table_writers import Format, TableWriter

FloatArray = NDArray[np.float64]

N_USERS, N_ITEMS, N_RATINGS = 2_000, 1_000, 150_000
ITEM_IDS = (*range(1, N_ITEMS - 3), 1196, 1210, 1721, 2571)
"""All exist in MovieLens or fill its gaps. The last four are films that the README rates, so its session works here."""

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
    """A synthetic catalogue; `ratings` are sorted by user and then by time."""

    items: list[Item]
    users: list[User]
    ratings: IncomingRatings


def generate_catalogue(seed: int = 0) -> GeneratedCatalogue:
    """Generate 2,000 users, 1,000 items and 150,000 ratings on the scale 0.5:5:0.5, spread over three years.

    The same seed gives the same catalogue.
    """
    rng = np.random.default_rng(seed)
    category_shares = _category_shares(rng)
    countries = rng.choice(len(COUNTRIES), N_USERS, p=_zipf_shares(len(COUNTRIES)))
    age_groups = rng.integers(len(AGE_GROUPS), size=N_USERS)
    added_at = _times_added(rng)
    item_factors = _whitened_vectors(category_shares @ rng.standard_normal((len(CATEGORIES), RANK)), rng)
    user_factors = _whitened_vectors(
        rng.standard_normal((len(COUNTRIES), RANK))[countries]
        + rng.standard_normal((len(AGE_GROUPS), RANK))[age_groups],
        rng,
    )
    # preference_ui = p_u . q_i / sqrt(rank), which has unit variance because both sides are white.
    preferences = user_factors @ item_factors.T / np.sqrt(RANK)
    user_rows, item_rows = _sample_rated_pairs(preferences, rng)
    values = _values(preferences, user_rows, item_rows, rng)
    rated_at = _times_rated(user_rows, added_at[item_rows], rng)
    order = np.lexsort((rated_at, user_rows))
    items = _items(category_shares, added_at, rng)
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
    """Write `generate_catalogue(seed)` as CSV files that `reckon import` reads; return `folder`.

    Raises `OSError` where `folder` cannot be written to.
    """
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


def _category_shares(rng: np.random.Generator) -> FloatArray:
    """Return (N_ITEMS, n_categories) shares that sum to 1 per item; each item has one to three categories."""
    n_categories = rng.choice([1, 2, 3], N_ITEMS, p=[0.4, 0.4, 0.2])
    # A random rank per cell: the k lowest ranks of a row are k distinct categories.
    ranks = rng.random((N_ITEMS, len(CATEGORIES))).argsort(axis=1).argsort(axis=1)
    chosen = ranks < n_categories[:, None]
    shares: FloatArray = chosen / chosen.sum(axis=1, keepdims=True)
    return shares


def _zipf_shares(n: int) -> FloatArray:
    """Return (n,) shares proportional to 1 / rank that sum to 1."""
    weights = 1.0 / np.arange(1, n + 1)
    shares: FloatArray = weights / weights.sum()
    return shares


def _whitened_vectors(group_vectors: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return (n, RANK) vectors, half from `group_vectors` and half individual, with mean 0 and identity covariance."""
    groups = (group_vectors - group_vectors.mean(axis=0)) / group_vectors.std(axis=0)
    vectors = groups + rng.standard_normal(group_vectors.shape)
    vectors -= vectors.mean(axis=0)
    # With C = L L^T the covariance, v L^-T has covariance I, so that all eight directions are equally strong.
    whitening = np.linalg.inv(np.linalg.cholesky(np.cov(vectors.T))).T
    white: FloatArray = vectors @ whitening
    return white


def _sample_rated_pairs(
    preferences: FloatArray, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the (N_RATINGS,) user rows and item rows of the rated pairs."""
    # The n_u highest of popularity_i + preference_ui + Gumbel noise are a sample of n_u items without replacement, with
    # probabilities proportional to exp(popularity_i + preference_ui) (the Gumbel-top-k trick).
    popularity = 1.3 * rng.standard_normal(N_ITEMS)
    utilities = popularity + 0.8 * preferences + rng.gumbel(size=preferences.shape)
    n_rated = _rating_counts(rng)
    is_rated = (-utilities).argsort(axis=1).argsort(axis=1) < n_rated[:, None]
    user_rows, item_rows = np.nonzero(is_rated)
    return user_rows, item_rows


def _rating_counts(rng: np.random.Generator) -> NDArray[np.int64]:
    """Return (N_USERS,) log-normally skewed counts from MIN_RATINGS to MAX_RATINGS that sum to N_RATINGS."""
    activity = rng.lognormal(sigma=0.9, size=N_USERS)
    # Users at the limit take no more ratings, so what is missing is distributed again until nothing is.
    numbers = np.full(N_USERS, MIN_RATINGS)
    while missing := N_RATINGS - int(numbers.sum()):
        is_open = numbers < MAX_RATINGS
        shares = np.where(is_open, activity, 0.0)
        more = np.floor(missing * shares / shares.sum()).astype(np.int64)
        # When all shares round to zero, the last few ratings go to one user each.
        if not more.any():
            more[np.flatnonzero(is_open)[:missing]] = 1
        numbers = np.minimum(numbers + more, MAX_RATINGS)
    return numbers


def _values(
    preferences: FloatArray, user_rows: NDArray[np.int64], item_rows: NDArray[np.int64], rng: np.random.Generator
) -> FloatArray:
    """Return the (n,) values of the rated pairs on the scale."""
    user_biases, item_biases = 0.35 * rng.standard_normal(N_USERS), 0.45 * rng.standard_normal(N_ITEMS)
    noise = 0.6 * rng.standard_normal(len(user_rows))
    # r_ui = mu + b_u + b_i + 0.6 preference_ui + noise
    exact = 3.3 + user_biases[user_rows] + item_biases[item_rows] + 0.6 * preferences[user_rows, item_rows] + noise
    half_stars: FloatArray = np.clip(np.rint(exact * 2) / 2, SCALE.minimum, SCALE.maximum)
    return half_stars


def _times_added(rng: np.random.Generator) -> NDArray[np.int64]:
    """Return (N_ITEMS,) microseconds since 1970: two thirds of the items on the first day, the others later."""
    first, last = to_microseconds(FIRST_DAY), to_microseconds(LAST_DAY)
    # No item is added in the last tenth of the period, so that every item has time to be rated.
    later = rng.integers(first, last - (last - first) // 10, N_ITEMS)
    return np.where(rng.random(N_ITEMS) < 2 / 3, first, later)


def _times_rated(
    user_rows: NDArray[np.int64], item_added_at: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return (n,) times in microseconds since 1970, in whole seconds.

    A rating is not earlier than the second in which its user joined and its item was added, or later than the last day.
    """
    first, last = to_microseconds(FIRST_DAY), to_microseconds(LAST_DAY)
    # No user joins in the last twentieth of the period, so that every user has time to rate.
    joined = rng.integers(first, last - (last - first) // 20, N_USERS)
    earliest = np.maximum(joined[user_rows], item_added_at)
    # Squaring a uniform number makes early times more likely: users rate most soon after they join.
    moments = earliest + (rng.random(len(user_rows)) ** 2 * (last - earliest)).astype(np.int64)
    whole_seconds: NDArray[np.int64] = moments // 1_000_000 * 1_000_000
    return whole_seconds


def _items(category_shares: FloatArray, added_at: NDArray[np.int64], rng: np.random.Generator) -> list[Item]:
    titles = rng.permutation([f"The {first} {second}" for first in _FIRST_WORDS for second in _SECOND_WORDS])
    # Ages of films are exponentially distributed, so that most films are recent.
    years = 2025 - np.floor(rng.exponential(14, N_ITEMS)).astype(np.int64).clip(0, 70)
    minutes = rng.integers(75, 181, N_ITEMS)
    years_added = (from_microseconds(moment).year for moment in added_at.tolist())
    return [
        Item(
            item_id=str(ITEM_IDS[number]),
            title=str(titles[number]),
            categories=tuple(np.array(CATEGORIES)[category_shares[number] > 0].tolist()),
            # A film cannot be added before the year of its release.
            year=min(int(years[number]), year_added),
            attributes={"minutes": int(minutes[number])},
            added_at=from_microseconds(int(added_at[number])),
        )
        for number, year_added in enumerate(years_added)
    ]


def _users(countries: NDArray[np.int64], age_groups: NDArray[np.int64], rng: np.random.Generator) -> list[User]:
    limits = np.array(list(AGE_GROUPS.values()))[age_groups]
    ages = rng.integers(limits[:, 0], limits[:, 1] + 1)
    names = list(AGE_GROUPS)
    return [
        User(str(number + 1), COUNTRIES[country], {"age": int(age), "age_group": names[group]})
        for number, (country, age, group) in enumerate(zip(countries, ages, age_groups, strict=True))
    ]
