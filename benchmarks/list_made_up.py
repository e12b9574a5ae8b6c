"""Made-up data of other shapes for the group `lists`, drawn with fixed seeds.

Each set has what its kind of data has in practice (fame by a power law, tastes, things that belong or follow together,
fashions that pass), and none is drawn from the model of a learner that is measured on it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.list_data import Question, last_item, newest_fifth, question, random_fifth

DAY = 86_400 * 10**6
"""Microseconds."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def fame(rng: np.random.Generator, n: int, exponent: float = 0.9) -> Floats:
    """(n,) shares by a power law, in random order."""
    shares: Floats = rng.permutation(np.arange(1, n + 1) ** -exponent)
    shares /= shares.sum()
    return shares


def lengths(rng: np.random.Generator, n_users: int, median: float, spread: float = 0.8, least: int = 2) -> Ints:
    """(n_users,) how many things each user does: lognormal."""
    return np.maximum(rng.lognormal(np.log(median), spread, n_users).astype(np.int64), least)


def draw(rng: np.random.Generator, shares: Floats, n: int | None = None) -> Any:
    """Positions by `shares`, which need not sum to 1."""
    sums = np.cumsum(shares)
    return np.searchsorted(sums, rng.random(n) * sums[-1], side="right")


def choices(rng: np.random.Generator, liking: Floats, counts: Ints) -> tuple[Ints, Ints]:
    """User and item rows: each user's `counts` different items, by `liking` (n_users, n_items) plus Gumbel noise."""
    noisy = liking + rng.gumbel(size=liking.shape)
    best = np.argsort(-noisy, axis=1)
    users = np.repeat(np.arange(len(counts)), counts)
    return users, np.concatenate([row[:count] for row, count in zip(best, counts, strict=True)])


def tastes(rng: np.random.Generator, n_users: int, n_items: int, rank: int, n_genres: int) -> tuple[Floats, Floats]:
    """Standard normal tastes (n_users, rank), and items (n_items, rank) that scatter about the centres of genres."""
    centres = rng.normal(size=(n_genres, rank))
    items = centres[draw(rng, fame(rng, n_genres, 0.5), n_items)] + 0.6 * rng.normal(size=(n_items, rank))
    return rng.normal(size=(n_users, rank)), items / np.sqrt(rank)


def shop_views(split: Callable[..., Any], n_users: int = 4_000, n_items: int = 2_500, seed: int = 1) -> Question:
    """Sessions in a shop over 120 days; a view leads to related products more often than not.

    Products appear in the course of time and go out of fashion; a user returns to a few of 60 departments.
    """
    rng = np.random.default_rng(seed)
    n_groups, n_days = 60, 120
    group = draw(rng, fame(rng, n_groups, 0.6), n_items)
    shares, appeared = fame(rng, n_items), rng.uniform(-n_days, 0.8 * n_days, n_items)
    half_life = rng.lognormal(np.log(40), 0.7, n_items)
    # From each product lead some links, most of them within its department; they have a direction.
    links = [np.append(draw(rng, shares * (group == group[item]), 8), draw(rng, shares, 2)) for item in range(n_items)]
    weights = rng.dirichlet(np.full(10, 0.5), n_items)
    interests = rng.dirichlet(np.full(n_groups, 0.05), n_users)
    rows = []
    for user, n_sessions in enumerate(lengths(rng, n_users, 2.5, 0.7, least=1)):
        for day in np.sort(rng.uniform(0, n_days, n_sessions)):
            today = shares * (appeared <= day) * 0.5 ** (np.maximum(day - appeared, 0) / half_life)
            in_group = group == draw(rng, interests[user])
            item, at = -1, int(day * DAY)
            for _ in range(1 + rng.poisson(2.5)):
                follows = item >= 0 and rng.random() < 0.6
                if follows:
                    item = int(links[item][draw(rng, weights[item])])
                elif (today * in_group).any() and rng.random() < 0.8:
                    item = int(draw(rng, today * in_group))
                else:
                    item = int(draw(rng, today))
                at += int(rng.exponential(60) * 10**6) + 1
                rows.append((user, item, at))
    users, items, times = np.array(rows).T
    return question(users, items, None, times, split)


def purchases(n_users: int = 4_000, n_items: int = 1_800, seed: int = 2) -> Question:
    """Baskets without times: a basket serves a purpose, and each purpose has its own products beside the staples."""
    rng = np.random.default_rng(seed)
    n_purposes = 120
    shares, uses = fame(rng, n_items, 0.8), fame(rng, n_purposes, 0.7)
    spread = shares**0.5 / (shares**0.5).sum()
    products = [rng.choice(n_items, rng.integers(8, 40), replace=False, p=spread) for _ in uses]
    weights = [rng.dirichlet(np.full(len(each), 0.7)) for each in products]
    rows = []
    for user, n_baskets in enumerate(lengths(rng, n_users, 3, 0.7, least=1)):
        own = draw(rng, uses, 3)
        for _ in range(n_baskets):
            purpose = own[rng.integers(3)] if rng.random() < 0.8 else draw(rng, uses)
            for _ in range(1 + rng.poisson(2)):
                is_staple = rng.random() < 0.25
                item = draw(rng, shares) if is_staple else products[purpose][draw(rng, weights[purpose])]
                rows.append((user, int(item)))
    users, items = rng.permutation(np.array(rows)).T
    return question(users, items, None, None, random_fifth)


def stars(n_users: int = 2_000, n_items: int = 1_500, seed: int = 3, *, with_times: bool = False) -> Question:
    """Stars 1 to 5: what is rated depends on fame and taste, how it is rated on taste, the item and the user's mood.

    With times, fashions pass, items of a series are taken one after the other, and a user's taste moves.
    """
    rng = np.random.default_rng(seed)
    of_users, of_items = tastes(rng, n_users, n_items, 12, 25)
    # The value follows a taste that overlaps with what draws the choice but differs from it.
    of_values = of_items + 0.7 * rng.normal(size=of_items.shape) / np.sqrt(12)
    popularity = np.log(fame(rng, n_items, 0.8))
    counts = np.minimum(lengths(rng, n_users, 30, 0.9, least=5), n_items // 4)
    users, items = choices(rng, 1.1 * (of_users @ of_items.T) + popularity, counts)
    liking = np.einsum("nk,nk->n", of_users[users], of_values[items])
    quality, mood = rng.normal(0, 0.4, n_items), rng.normal(0, 0.4, n_users)
    values = 3.6 + 0.6 * liking + quality[items] + mood[users] + rng.normal(0, 0.7, len(users))
    values = np.clip(np.rint(values), 1, 5)
    if not with_times:
        order = rng.permutation(len(users))
        return question(users[order], items[order], values[order], None, random_fifth, liked_from=4.0)
    # A user comes at some time, and takes first what is in fashion then, series in their order.
    fashion, series = rng.uniform(0, 1, n_items), rng.integers(0, n_items // 5, n_items)
    came, moved = rng.uniform(0, 1, n_users), rng.normal(size=of_users.shape)
    late = np.einsum("nk,nk->n", moved[users], of_items[items])
    when = 0.5 * np.abs(fashion[items] - came[users]) + 0.3 * late + 0.15 * rng.random(len(users))
    when += 0.5 * rng.random(n_items // 5)[series[items]] + 0.001 * items / n_items
    place = np.empty(len(users), np.int64)
    order = np.lexsort((when, users))
    place[order] = np.arange(len(users)) - (np.cumsum(counts) - counts)[users[order]]
    times = (came[users] * 365 * DAY).astype(np.int64) + place * rng.integers(10**7, DAY, n_users)[users]
    return question(users, items, values, times, newest_fifth, liked_from=4.0)


def lessons(n_users: int = 3_000, n_items: int = 600, seed: int = 4) -> Question:
    """Short ordered histories: learners take courses along paths, skip some, and change to other subjects."""
    rng = np.random.default_rng(seed)
    n_paths = 60
    paths = [rng.permutation(n_items)[: rng.integers(8, 25)] for _ in range(n_paths)]
    shares, own = fame(rng, n_paths, 0.8), fame(rng, n_items)
    rows = []
    for user, count in enumerate(lengths(rng, n_users, 7, 0.5, least=3)):
        at, path, place = int(rng.uniform(0, 300) * DAY), -1, 0
        for _ in range(count):
            if path < 0 or place >= len(paths[path]) or rng.random() < 0.15:
                path = int(draw(rng, shares))
                place = int(rng.integers(0, len(paths[path]) // 2))
            is_other = rng.random() < 0.25
            rows.append((user, int(draw(rng, own)) if is_other else int(paths[path][place]), at))
            place += 0 if is_other else 1 + int(rng.random() < 0.3)
            at += int(rng.exponential(2) * DAY) + 1
    users, items, times = np.array(rows).T
    return question(users, items, None, times, last_item)


def news(n_users: int = 4_000, n_items: int = 3_000, seed: int = 5) -> Question:
    """Articles live for days: what is new and of the user's topics is read."""
    rng = np.random.default_rng(seed)
    n_days, n_topics = 60, 20
    published, topic = rng.uniform(-3, n_days, n_items), draw(rng, fame(rng, n_topics, 0.5), n_items)
    shares, interests = rng.lognormal(0, 1.2, n_items), rng.dirichlet(np.full(n_topics, 0.3), n_users)
    rows = []
    for user, count in enumerate(lengths(rng, n_users, 9, 0.7, least=3)):
        for day in np.sort(rng.beta(1.5, 1.5) * n_days + rng.exponential(4, count)) % n_days:
            age = day - published
            pull = shares * (age >= 0) * np.exp(-np.maximum(age, 0) / 1.5) * (0.02 + interests[user][topic])
            if pull.sum() > 0:
                rows.append((user, int(draw(rng, pull)), int(day * DAY)))
    users, items, times = np.array(rows).T
    return question(users, items, None, times, last_item)


def consumed_again(n_users: int = 2_000, n_items: int = 1_000, seed: int = 6) -> Question:
    """Most of what is consumed was consumed before; the newest of each pair counts, and what is new is asked for."""
    rng = np.random.default_rng(seed)
    of_users, of_items = tastes(rng, n_users, n_items, 8, 15)
    popularity = np.log(fame(rng, n_items, 0.9))
    counts = lengths(rng, n_users, 60, 0.8, least=10)
    odds = np.exp(of_users @ of_items.T * 1.3 + popularity)
    rows = []
    for user, count in enumerate(counts):
        past: list[int] = []
        new = draw(rng, odds[user], count)
        at = int(rng.uniform(0, 200) * DAY)
        for item in new.tolist():
            repeated = bool(past) and rng.random() < 0.7
            # Of what was consumed, the recent returns most often.
            past.append(past[-1 - min(int(rng.exponential(8)), len(past) - 1)] if repeated else item)
            at += int(rng.exponential(1) * DAY) + 1
            rows.append((user, past[-1], at))
    users, items, times = np.array(rows).T
    return question(users, items, None, times, newest_fifth)


def amounts(kind: str, n_users: int = 2_000, n_items: int = 2_500, seed: int = 7) -> Question:
    """Plays, seconds or spend by user and item: taste x a lognormal amount, with a heavy tail."""
    rng = np.random.default_rng(seed)
    of_users, of_items = tastes(rng, n_users, n_items, 16, 40)
    taste = of_users @ of_items.T
    counts = np.minimum(lengths(rng, n_users, 30, 0.6, least=5), n_items // 4)
    users, items = choices(rng, 2.0 * taste + np.log(fame(rng, n_items, 0.7)), counts)
    busy = rng.lognormal(0, 0.8, n_users)[users]
    liking = taste[users, items]
    if kind == "plays":  # median 12, a few users play one artist ten thousand times
        values = np.ceil(12 * busy * np.exp(0.8 * liking + rng.normal(0, 1.2, len(users))))
    elif kind == "seconds":  # of watching: most stop early, the rest stays to the end
        length = rng.lognormal(np.log(1500), 0.6, n_items)[items]
        stays = rng.random(len(users)) < 1 / (1 + np.exp(-liking))
        values = np.where(stays, length * rng.uniform(0.8, 1.05, len(users)), rng.exponential(0.1, len(users)) * length)
    else:  # spend: the price of the item decides, not how much it is liked
        price = np.round(rng.lognormal(np.log(20), 1.2, n_items), 2)[items]
        values = price * (1 + rng.poisson(0.3 * np.exp(np.minimum(liking, 2))))
    order = rng.permutation(len(users))
    return question(users[order], items[order], values[order], None, random_fifth)


MADE_UP: dict[str, Callable[[], Question]] = {
    "views-last": lambda: shop_views(last_item),
    "views-newest-fifth": lambda: shop_views(newest_fifth),
    "purchases": purchases,
    "stars": stars,
    "stars-with-times": lambda: stars(with_times=True),
    "lessons": lessons,
    "news": news,
    "consumed-again": consumed_again,
}

KINDS: dict[str, Callable[[], Question]] = {kind: partial(amounts, kind) for kind in ("plays", "seconds", "spend")}
