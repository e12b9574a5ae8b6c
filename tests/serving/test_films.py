"""Lists of real films: what few or low ratings bring, and mixes and rows that hold what their names say.

Skipped where the films do not lie beside the repository. One snapshot serves all tests, since training takes half a
minute.
"""

import csv
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np
import pytest

from app.entities import IncomingRatings, Item, RatingScale, to_microseconds
from app.serving.mixes import Mix
from app.serving.query import ExplainedItem
from app.settings import Settings
from app.wiring import Service
from tests.support.exploring import categories_of, home, mixes
from tests.support.published import opened_shop
from tests.support.ratings import incoming
from tests.support.real_data import MOVIELENS, needs_movielens
from tests.support.requests import shown_to_guest

BROAD = 0.29
"""A genre with a larger share of all ratings is no kind of its own: drama, comedy, action."""

FILMS_RECIPE = {
    "segments": [
        {"name": "rating", "algorithm": "bayesian_mf"},
        {"name": "taste", "algorithm": "als_implicit"},
        {"name": "popularity", "algorithm": "popularity"},
    ]
}
"""Without anything that the data would choose, which takes a minute."""
NOW = to_microseconds(datetime(2026, 1, 1, tzinfo=UTC))
STAR_WARS, MATRIX, INCEPTION, INTERSTELLAR, TERMINATOR, ALIENS = "260", "2571", "79132", "109487", "1240", "1200"
SNOW_WHITE, DUMBO, BAMBI, CINDERELLA = "594", "2078", "1029", "1022"

pytestmark = [pytest.mark.slow, needs_movielens]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("films")
    with (MOVIELENS / "ratings.csv").open(encoding="utf-8", newline="") as lines:
        users, rated, values, times = zip(*list(csv.reader(lines))[1:], strict=True)
    with (MOVIELENS / "movies.csv").open(encoding="utf-8", newline="") as lines:
        items = [
            Item(row["movieId"], title=row["title"], categories=tuple(row["genres"].split("|")))
            for row in csv.DictReader(lines)
        ]
    rated_at = np.array(times, np.int64) * 1_000_000
    ratings = IncomingRatings([*users], [*rated], np.array(values, np.float64), rated_at)
    with opened_shop(folder, ratings, RatingScale(0.5, 5, 0.5), items) as shop:
        assert shop.train(FILMS_RECIPE).manifest.reason is None
    service = Service.build(Settings(database_url="", data_dir=folder))
    yield service
    service.store.close()


def by_genre(service: Service) -> dict[str, list[str]]:
    """Genre -> its films, the most rated first; of the genres with 100 films or more that are not `BROAD`."""
    catalogue, scorer = service.serving.current.catalogue, service.serving.current.scorer
    counts = scorer.arrays.item_counts
    found: dict[str, list[str]] = {}
    for genre in catalogue.category_names:
        rows = np.flatnonzero(catalogue.in_category(genre)[: scorer.n_items]) if genre else np.empty(0, np.int64)
        if len(rows) >= 100 and counts[rows].sum() < BROAD * counts.sum():
            found[genre] = [catalogue.item_ids[row] for row in rows[np.argsort(-counts[rows], kind="stable")]]
    return found


@pytest.mark.parametrize("n", [3, 10, 30])
def test_disliked_genres(films: Service, n: int) -> None:
    """Of every genre with films enough, `n` well-known films at the minimum; of three alone little is known yet."""
    unknown = {item.item_id for item in shown_to_guest(films, {})}
    many: dict[str, int] = {}
    for genre, known in by_genre(films).items():
        shown = {item.item_id for item in shown_to_guest(films, dict.fromkeys(known[:n], 0.5))}
        least = 4 if n >= 10 else max(4, len(unknown & set(known)))
        many[genre] = len(shown & set(known)) - least
    assert len(many) >= 12
    assert max(many.values()) <= 0, many


def test_disliked_series(films: Service) -> None:
    """Three parts of a series at the minimum do not bring parts four and five, which they bring at the maximum."""
    parts, later = ("4896", "5816", "8368"), {"40815", "54001"}
    low, high = (shown_to_guest(films, dict.fromkeys(parts, value), 10) for value in (0.5, 5.0))
    assert not later & {item.item_id for item in low}
    assert later <= {item.item_id for item in high}


def test_parent(films: Service) -> None:
    """Four family films rated high and two violent ones rated low."""
    given = dict.fromkeys(("1", "6377", "364", "4306"), 5.0) | dict.fromkeys(("296", "6874"), 0.5)
    first = [set(by_item) for by_item in genres_of(films, shown_to_guest(films, given, 10))]
    assert sum("Children" in genres for genres in first) >= 5, first
    violent = [genres for genres in first if {"Horror", "Thriller"} & genres]
    assert len(violent) <= 1, first
    assert "Children" in first[0], first


def genres_of(service: Service, shown: Sequence[ExplainedItem]) -> list[list[str]]:
    of_genre = {genre: set(films) for genre, films in by_genre(service).items()}
    return [[genre for genre, films in of_genre.items() if item.item_id in films] for item in shown]


@pytest.mark.parametrize("genre", ["Documentary", "Film-Noir", "Western", "Musical", "War"])
def test_obscure_films(films: Service, genre: str) -> None:
    """Four liked films of one to three ratings bring no film of a single rating, and few that hardly anyone knows."""
    scorer, catalogue = films.serving.current.scorer, films.serving.current.catalogue
    counts, rng = scorer.arrays.item_counts, np.random.default_rng(0)
    rows = np.flatnonzero(catalogue.in_category(genre)[: scorer.n_items] & (counts >= 1) & (counts <= 3))
    for _ in range(5):
        liked = {catalogue.item_ids[row]: 5.0 for row in rng.choice(rows, 4, replace=False).tolist()}
        shown = catalogue.rows_of_ids([item.item_id for item in shown_to_guest(films, liked, 10)])
        assert counts[shown].min() > 1
        assert np.median(counts[shown].astype(float)) >= 20


def share_of_named(service: Service, shown: list[Mix]) -> float:
    has_named = [
        not categories_of(service, item.item_id).isdisjoint(mix.categories) for mix in shown for item in mix.items
    ]
    return float(np.mean(has_named))


def test_hold_what_they_are_named_by(films: Service) -> None:
    """Of every tenth user; without the rule, a quarter of the items have no category of the name."""
    pages = [mixes(films, str(user), limit=20).mixes for user in range(1, 611, 10)]
    named = [mix for page in pages for mix in page if mix.categories]
    assert len(named) >= 0.95 * sum(map(len, pages))
    assert share_of_named(films, named) >= 0.95
    assert all(len({mix.name for mix in page}) == len(page) for page in pages)
    # Names tell the mixes of a user apart, and most lists are full.
    assert np.mean([len(page) for page in pages]) > 4
    assert np.mean([len(mix.items) for page in pages for mix in page]) > 18
    for mix in named:
        has_all = [set(mix.categories) <= categories_of(films, item.item_id) for item in mix.items]
        assert mix.category_share == pytest.approx(np.mean(has_all), abs=1e-3)


def test_of_a_fan(films: Service) -> None:
    likes = (STAR_WARS, MATRIX, INCEPTION, INTERSTELLAR, TERMINATOR, ALIENS, SNOW_WHITE, DUMBO, BAMBI, CINDERELLA)
    films.store.ratings.record(incoming(*(("fan", item_id, 5, NOW) for item_id in likes)))
    page = mixes(films, "fan", limit=10).mixes
    named = set().union(*(mix.categories for mix in page))
    assert "Sci-Fi" in named
    assert named & {"Animation", "Children", "Musical"}
    for mix in page:
        # No drawn film among those of space and machines, nor the other way round.
        assert not {"Sci-Fi", "Animation"} <= set(mix.categories)


def test_categories_of_home_rows(films: Service) -> None:
    for user_id in ("1", "15", "414"):
        for row in home(films, user_id, 12, limit=10).rows:
            if row.row_id.startswith("category:"):
                name = row.row_id.removeprefix("category:")
                assert row.title == f"Top in {name}"
                assert all(name in categories_of(films, item.item_id) for item in row.items)


@pytest.mark.parametrize(
    ("liked", "disliked", "genre"),
    [
        (["1214", "1219", "1258", "1997", "1982", "1347", "2288"], ["2424", "539", "1721", "597"], "Horror"),
        (["1", "4886", "6377", "364", "588", "34"], ["296", "1997", "593", "8957"], "Children"),
        (["541", "924", "1240", "2571", "1199", "1748", "1200"], ["1721", "597", "2424", "8533"], "Sci-Fi"),
    ],
)
def test_different_but_not_disliked(films: Service, liked: list[str], disliked: list[str], genre: str) -> None:
    """The row of the home page that says so: another genre, and nothing that is predicted below the user's mean."""
    user = f"fan of {genre}"
    given = dict.fromkeys(liked, 5.0) | dict.fromkeys(disliked, 0.5)
    films.store.ratings.record(incoming(*((user, item, value, 9) for item, value in given.items())))
    (row,) = [row for row in home(films, user, limit=20).rows if row.row_id == "different"]
    assert len(row.items) == 20
    of_genre = [item for item in row.items if genre in categories_of(films, item.item_id)]
    assert len(of_genre) <= 4, [item.title for item in of_genre]
    mean = np.mean([*given.values(), *[3.5] * 5])
    assert all((item.predicted_rating or 0.0) >= mean - 0.01 for item in row.items)
