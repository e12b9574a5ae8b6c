"""What callers see of answers: neighbours, mixes, low ratings, search, and the cost of fields."""

import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
from scipy import sparse

from app.testing import running_app
from benchmarks.table import Row

ADDRESS = "http://localhost"
FILMS = Path("../shared/data/ml-latest-small")
N_POPULAR = 400
N_LISTED = 10
N_LOW, LOW = 10, 0.5
N_TITLES, N_QUERIES = 100_000, 2_000
N_PAIRED, N_ROUNDS = 200, 15


@contextmanager
def films() -> Iterator[httpx.Client]:
    """The whole service in this process, trained on ml-latest-small."""
    with running_app() as app:
        environment = os.environ | {
            "RECKON_DATA_DIR": str(app.settings.data_dir),
            "RECKON_DATABASE_URL": app.settings.database_url,
        }
        for command in (["import", str(FILMS)], ["train"]):
            subprocess.run(
                [sys.executable, "-m", "app.cli", *command], env=environment, check=True, capture_output=True
            )
        with httpx.Client(base_url=ADDRESS, transport=app.transport, timeout=60) as http:
            while http.get("/readyz").json().get("snapshot_version") is None:
                time.sleep(0.1)
            yield http


def similar_rows() -> list[Row]:
    """Sequels and shared genres among the neighbours of the most rated films, beside plain cosine of rating columns."""
    with films() as http:
        catalogue = {item["item_id"]: item for item in listed(http, "/items", "items")}
        popular, cosine = by_cosine(catalogue)
        served = {item: _ids(http.get(f"/items/{item}/similar", params={"limit": N_LISTED})) for item in popular}
    rows = []
    series = series_of(popular, catalogue)
    for name, lists in (("similar items", served), ("cosine of rating columns", cosine)):
        n_found, n_possible = sequels_found(lists, series)
        overlap = statistics.fmean(
            _jaccard(catalogue[item], catalogue[other]) for item, others in lists.items() for other in others
        )
        targets = (f">= 90 of {n_possible}", ">= 0.38") if lists is served else ("", "")
        rows.append(Row(f"{name}: sequels in the first {N_LISTED}", targets[0], f"{n_found} of {n_possible}"))
        rows.append(Row(f"{name}: genre overlap@{N_LISTED}", targets[1], f"{overlap:.3f}"))
    return rows


def by_cosine(catalogue: dict[str, Any]) -> tuple[list[str], dict[str, list[str]]]:
    """The most rated films, and for each the films with the nearest columns of ratings."""
    table = np.genfromtxt(FILMS / "ratings.csv", delimiter=",", skip_header=1)
    users, items = table[:, 0].astype(int), table[:, 1].astype(int)
    ids, columns = np.unique(items, return_inverse=True)
    counts = np.bincount(columns)
    matrix = sparse.csc_matrix((table[:, 2], (users, columns)))
    matrix = matrix @ sparse.diags(1 / np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=0)).ravel()))
    popular = np.argsort(-counts, kind="stable")[:N_POPULAR]
    likeness = (matrix.T @ matrix[:, popular]).toarray()
    likeness[popular, np.arange(len(popular))] = -1
    nearest = np.argsort(-likeness, axis=0)[:N_LISTED]
    names = [str(each) for each in ids]
    lists = {names[item]: [names[row] for row in nearest[:, place]] for place, item in enumerate(popular)}
    return [item for item in lists if item in catalogue], lists


def series_of(popular: Sequence[str], catalogue: dict[str, Any]) -> list[set[str]]:
    """Films of one series: their titles are equal up to a number, a colon, a dash or the year."""
    named: dict[str, set[str]] = defaultdict(set)
    for item in popular:
        title = re.sub(r"\(.*?\)", "", catalogue[item]["title"]).strip()
        stem = re.split(r":| - ", title)[0].strip()
        stem = re.sub(r"\b(\d+|II|III|IV|V|VI|VII)$", "", stem).strip(", ").replace(", The", "").lower()
        for known in ("harry potter", "indiana jones", "raiders of the lost ark"):
            if stem.startswith(known):
                stem = known.replace("raiders of the lost ark", "indiana jones")
        named[stem].add(item)
    return [series for series in named.values() if len(series) > 1]


def sequels_found(lists: dict[str, list[str]], series: list[set[str]]) -> tuple[int, int]:
    n_found = sum(len(set(lists[item]) & (each - {item})) for each in series for item in each)
    return n_found, sum(min(N_LISTED, len(each) - 1) * len(each) for each in series)


def mix_rows() -> list[Row]:
    """Of the items of all mixes of all users: those with a category that the mix is named after."""
    n_items = n_named = n_users = n_repeated = 0
    with films() as http:
        categories = {item["item_id"]: set(item["categories"]) for item in listed(http, "/items", "items")}
        for user in listed(http, "/users", "users"):
            mixes = http.get(f"/users/{user['user_id']}/mixes").json()["mixes"]
            names = [mix["name"] for mix in mixes]
            n_users, n_repeated = n_users + 1, n_repeated + (len(set(names)) < len(names))
            for mix in mixes:
                n_items += len(mix["items"])
                n_named += sum(bool(categories[item["item_id"]] & set(mix["categories"])) for item in mix["items"])
    note = f"{n_users} users; two mixes of one name: {n_repeated}"
    return [Row("items of mixes with a named category", ">= 95 %", f"{n_named / n_items:.1%}", note)]


def low_rating_rows() -> list[Row]:
    """Guests who gave the lowest rating to ten films of a genre and rated nothing else."""
    with films() as http:
        by_genre: dict[str, list[str]] = defaultdict(list)
        popularity = [item["item_id"] for item in http.get("/charts/popular", params={"limit": 100}).json()["items"]]
        catalogue = {item["item_id"]: item for item in listed(http, "/items", "items")}
        for item in [*popularity, *catalogue]:
            for genre in catalogue[item]["categories"]:
                if item not in by_genre[genre]:
                    by_genre[genre].append(item)
        shares = {}
        for genre, items in by_genre.items():
            if len(items) < 3 * N_LOW:
                continue
            ratings = [{"item_id": item, "value": LOW} for item in items[:N_LOW]]
            answer = http.post("/recommendations", json={"ratings": ratings, "limit": 20})
            shares[genre] = sum(genre in catalogue[item]["categories"] for item in _ids(answer))
    worst = max(shares, key=lambda genre: shares[genre])
    note = f"{len(shares)} genres; most: {worst}, {shares[worst]}"
    median = statistics.median(shares.values())
    return [Row(f"only low ratings: of the first 20 of the genre of {N_LOW}", "<= 4", f"median {median:g}", note)]


def search_rows() -> list[Row]:
    """One typo in a title; and the time of a search among many titles."""
    rng = random.Random(0)  # noqa: S311  made-up typos, no secrets
    with films() as http:
        catalogue = [item for item in listed(http, "/items", "items") if item["title"]]
        chosen = rng.sample(catalogue, min(N_QUERIES, len(catalogue)))
        n_found = sum(item["item_id"] in _found(http, with_typo(item["title"], rng)) for item in chosen)
    rows = [Row("search: a title with one typo, recall@10", ">= .95", f"{n_found / len(chosen):.3f}", "films")]
    with running_app() as app, httpx.Client(base_url=ADDRESS, transport=app.transport, timeout=60) as http:
        names = made_up_titles(N_TITLES)
        for start in range(0, N_TITLES, 1_000):
            batch = [{"item_id": f"i{start + n}", "title": name} for n, name in enumerate(names[start : start + 1_000])]
            http.post("/items/batch", json={"items": batch}).raise_for_status()
        _found(http, names[0])  # the first one waits for the catalogue
        milliseconds = []
        n_found = 0
        for n in rng.sample(range(N_TITLES), N_QUERIES):
            query = with_typo(names[n], rng)
            began = time.perf_counter()
            found = _found(http, query)
            milliseconds.append(1_000 * (time.perf_counter() - began))
            n_found += any(names[int(item[1:])] == names[n] for item in found)
    p50, p99 = np.percentile(milliseconds, (50, 99))
    note = f"p50 {p50:.1f} ms, with HTTP in one process; recall@10 {n_found / N_QUERIES:.3f}"
    return [*rows, Row(f"search among {N_TITLES:,} titles: p99", "<= 15 ms", f"{p99:.1f} ms", note)]


def made_up_titles(n: int) -> list[str]:
    """Two to five words each, of 20,000 words whose frequencies follow Zipf's law, as those of real titles do."""
    rng = np.random.default_rng(0)
    syllables = [first + vowel for first in "bcdfghklmnprstvw" for vowel in ("a", "e", "i", "o", "u", "an", "er")]
    words = ["".join(rng.choice(syllables, rng.integers(2, 5))) for _ in range(20_000)]
    odds = 1 / np.arange(1, len(words) + 1)
    drawn = iter(rng.choice(len(words), 5 * n, p=odds / odds.sum()).tolist())
    return [" ".join(words[next(drawn)].capitalize() for _ in range(length)) for length in rng.integers(2, 6, n)]


def with_typo(title: str, rng: random.Random) -> str:
    """The title with one letter lost, doubled, changed, or swapped with the next."""
    words = re.sub(r"\s*\(\d{4}\)$", "", title)
    places = [place for place in range(len(words) - 1) if words[place].isalnum()]
    if not places:
        return title
    place = rng.choice(places)
    before, letter, after = words[:place], words[place], words[place + 1 :]
    return rng.choice(
        (
            before + after,
            before + letter + rng.choice("aeiourstln") + after,
            before + rng.choice("aeiourstln") + after,
            before + after[0] + letter + after[1:],
        )
    )


def field_rows() -> list[Row]:
    """Lists with columns and attributes of the items beside plain ones, in turns."""
    with films() as http:
        users = [user["user_id"] for user in listed(http, "/users", "users")][:N_PAIRED]
        for item in listed(http, "/items", "items"):
            http.patch(f"/items/{item['item_id']}", json={"attributes": {"price": 9.5}}).raise_for_status()
        plain: dict[str, Any] = {"limit": 20}
        ratios = []
        for n in range(N_ROUNDS):
            # An unknown exclusion makes every question a new one, so that no kept answer is returned.
            seconds = {}
            for name, fields in (("plain", {}), ("fields", {"fields": "item_id,title,score,attributes.price"})):
                began = time.perf_counter()
                for user in users:
                    http.get(f"/users/{user}/recommendations", params=plain | fields | {"exclude": f"none-{n}"})
                seconds[name] = time.perf_counter() - began
            ratios.append(seconds["plain"] / seconds["fields"])
    note = f"median of {N_ROUNDS} rounds, {min(ratios):.2f} to {max(ratios):.2f}"
    return [
        Row(
            "answers with fields=...,attributes.price, beside plain",
            ">= 0.95 x",
            f"{statistics.median(ratios):.2f} x",
            note,
        )
    ]


def listed(http: httpx.Client, path: str, name: str) -> Iterator[dict[str, Any]]:
    """All entries of a listing."""
    cursor = None
    while True:
        page = (
            http.get(path, params={"limit": 1_000} | ({"cursor": cursor} if cursor else {})).raise_for_status().json()
        )
        yield from page[name]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def _ids(answer: httpx.Response) -> list[str]:
    return [item["item_id"] for item in answer.raise_for_status().json()["items"]]


def _found(http: httpx.Client, query: str) -> list[str]:
    return _ids(http.post("/search", json={"query": query, "limit": N_LISTED}))


def _jaccard(one: dict[str, Any], other: dict[str, Any]) -> float:
    first, second = set(one["categories"]), set(other["categories"])
    return len(first & second) / len(first | second) if first | second else 0.0


PARTS: Final[dict[str, Callable[[], list[Row]]]] = {
    "similar": similar_rows,
    "mixes": mix_rows,
    "low-ratings": low_rating_rows,
    "search": search_rows,
    "fields": field_rows,
}


def rows(parts: Sequence[str] = ()) -> list[Row]:
    if not FILMS.exists():
        return [Row("answers", "", "not measured", f"needs {FILMS}")]
    return [row for name in parts or PARTS for row in PARTS[name]()]
