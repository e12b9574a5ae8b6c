"""Small files in the layouts of public data sets, of other recommenders, and of shops: each is imported in one command.

A layout whose columns have no names, or names that could mean something else, is refused; the message then holds the
options with which the import succeeds.
"""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from app.cli.file_hints import file_hints
from app.errors import InvalidInputError
from app.intake.exporting import export_to
from app.intake.files.table_writers import Format
from app.intake.importing import import_path
from app.serving.placement_config import settings_to_store
from app.store import Store
from tests.support.databases import MigratedDatabases

LAYOUTS = Path(__file__).parent / "layouts"
KINDS = ("ratings", "items", "users", "events")

Row = dict[str, Any]


@dataclass(frozen=True)
class Imported:
    """The number of exported rows of each kind that the file itself holds, and fields of the first of them.

    Ratings and events create bare users and items, so these are counted only where `users` or `items` is given.
    `options`: what the user states from the start.
    """

    ratings: int = 0
    events: int = 0
    items: int | None = None
    users: int | None = None
    first: dict[str, Row] = field(default_factory=dict)
    scale: str | None = None
    options: str = ""


@dataclass(frozen=True)
class Refused:
    """`options`: the options in the message, or None where the file can never be read. `then`: the result with them."""

    options: str | None
    then: Imported | None = None


def rating(user_id: str, item_id: str, value: float, rated_at: str | None = None) -> dict[str, Row]:
    return {"ratings": {"user_id": user_id, "item_id": item_id, "value": value, "rated_at": rated_at}}


def item(item_id: str, **fields: Any) -> dict[str, Row]:
    return {"items": {"item_id": item_id, **fields}}


def user(user_id: str, **fields: Any) -> dict[str, Row]:
    return {"users": {"user_id": user_id, **fields}}


def event(user_id: str, item_id: str, type_: str, at: str) -> dict[str, Row]:
    return {"events": {"user_id": user_id, "item_id": item_id, "type": type_, "at": at}}


RIGHT: dict[str, Imported | Refused] = {
    # MovieLens and its relatives
    "movielens_100k": Imported(
        ratings=4,
        items=6,
        users=6,
        first=rating("196", "242", 3, "1997-12-04T15:55:49+00:00")
        | item("1", title="Toy Tale", year=1995, categories=["Animation", "Children's", "Comedy"])
        | user("1", attributes={"age": 24, "gender": "M", "occupation": "technician", "zip_code": "85711"}),
    ),
    "movielens_1m": Imported(ratings=3, first=item("1193", title="Amélie's Nest", year=1975, categories=["Drama"])),
    "movielens_latest": Imported(
        ratings=3,
        items=2,
        first=rating("1", "1", 4, "2000-07-30T18:45:03+00:00")
        | item("1", title="Toy Tale", attributes={"tags": ["pixel art"]}),
    ),
    "movietweetings": Imported(ratings=3, first=rating("1", "0111161", 10, "2013-07-07T21:56:51+00:00")),
    # Books
    "goodbooks_ratings.csv": Imported(ratings=4, first=rating("1", "258", 5), scale="1:5:1"),
    "goodbooks_to_read.csv": Imported(ratings=3, first=rating("9", "8", 1), scale="pairs"),
    "goodbooks_books.csv": Refused(
        "--kind items", Imported(items=30, first=item("1", title="Title 1 (Series, #1)", year=2001))
    ),
    "book_crossing_ratings.csv": Imported(
        options="--missing 0", ratings=24, first=rating("276701", "0000000003", 4), scale="1:10:1"
    ),
    "book_crossing_books.csv": Imported(
        options="--encoding latin-1", items=2, first=item("0195153448", title="Classical München", year=2002)
    ),
    "book_crossing_users.csv": Imported(users=2, first=user("1", attributes={"Location": "nyc, new york, usa"})),
    # Amazon and Yelp
    "amazon_2014_reviews.json": Imported(
        ratings=4, first=rating("A2SUAM1J3GNN0B", "0000013700", 1, "2009-09-13T00:00:00+00:00")
    ),
    "amazon_2014_ratings.csv": Refused(
        "--columns user,item,rating,timestamp",
        Imported(ratings=3, first=rating("A3AF8FFZAZYNE5", "0000000078", 5, "2004-08-11T00:00:00+00:00")),
    ),
    "amazon_2014_meta.json": Imported(
        items=2,
        first=item("0000031852", title="Girls Ballet Tutu", categories=["Sports & Outdoors", "Other Sports", "Dance"]),
    ),
    "amazon_2018_reviews.json": Imported(
        ratings=3, first=rating("A1V6B6TNIC10Q0", "0143026860", 5, "2014-10-19T00:00:00+00:00")
    ),
    "amazon_2023_reviews.jsonl": Imported(
        ratings=4, first=rating("AGKHLEW2SOWHNMFQIJGBECAF7IN0", "B00YQ6X8E0", 1, "2020-05-05T14:08:48.923000+00:00")
    ),
    "amazon_2023_ratings.csv": Imported(
        ratings=2, first=rating("AGKASBHYZPGTEPO6LWZPVJWB2BVA", "B006GVNAHM", 5, "2015-04-13T12:49:26+00:00")
    ),
    "amazon_customer_reviews.tsv": Imported(
        ratings=2, first=rating("18778586", "B00EDBY7X8", 5, "2015-08-31T00:00:00+00:00")
    ),
    "yelp_review.json": Imported(
        ratings=3, first=rating("mh_-eMZ6K5RLWhZyISBhwA", "XQfwVwDr-v0ZS3_CbbE5X0", 3, "2018-07-07T22:09:11+00:00")
    ),
    "yelp_business.json": Imported(items=30, first=item("Pns2l4eNsfO8kk83dixA60", title="Abby 0")),
    # Shops
    "retailrocket_events.csv": Imported(
        events=4, first=event("257597", "355908", "view", "2015-06-02T05:02:12.117000+00:00")
    ),
    "retailrocket_item_properties.csv": Refused(None),
    "ecommerce_events.csv": Imported(
        events=3, first=event("541312140", "44600062", "view", "2019-10-01T00:00:00+00:00")
    ),
    "online_retail.csv": Imported(ratings=3, first=rating("17850", "85123A", 6, "2010-12-01T08:26:00+00:00")),
    "fashion_transactions.csv": Refused(
        "--columns user=customer_id,item=article_id,timestamp=t_dat",
        Imported(ratings=2, first={"ratings": {"item_id": "0663713001", "rated_at": "2018-09-20T00:00:00+00:00"}}),
    ),
    "fashion_articles.csv": Imported(items=30, first=item("0108775000", attributes={})),
    "fashion_customers.csv": Refused("--kind users", Imported(users=30)),
    "grocery_orders.csv": Refused(None),
    "taobao_behaviour.csv": Refused("--columns user,item,-,type,timestamp", Imported(events=3)),
    "diginetica_views.csv": Refused(
        "--columns user=userId,item=itemId,timestamp=eventdate",
        Imported(ratings=1, first=rating("144", "32118", 1, "2016-05-09T00:00:00+00:00")),
    ),
    # Music
    "lastfm_user_artists.dat": Imported(ratings=3, first=rating("2", "51", 13883), scale="amounts"),
    "lastfm_360k.tsv": Refused("--columns user,item,-,rating", Imported(ratings=2)),
    "lastfm_1k.tsv": Refused("--columns user,timestamp,item", Imported(ratings=2)),
    "song_triplets.txt": Refused("--columns user,item,rating", Imported(ratings=3)),
    # Games, anime, beer, food, courses, videos, news, hotels, places, films
    "steam_200k.csv": Refused("--columns user,item,-,rating,-", Imported(ratings=2)),
    "anime_ratings.csv": Imported(ratings=66, first={"ratings": {"user_id": "1", "item_id": "21"}}, scale="1:10:1"),
    "anime.csv": Imported(items=30, first=item("32281", title="Kimi 0", categories=["Drama", "Romance", "School"])),
    "beer_reviews.csv": Imported(ratings=2, first=rating("stcules", "47986", 1.5, "2009-02-16T20:57:03+00:00")),
    "recipe_interactions.csv": Imported(ratings=2, first=rating("38094", "40893", 4, "2003-02-17T00:00:00+00:00")),
    "recipes.csv": Refused(
        "--kind items", Imported(items=2, first=item("137739", title="arriba baked squash", attributes={"minutes": 55}))
    ),
    "course_reviews.csv": Refused(
        "--columns user=reviewers",
        Imported(ratings=2, first=rating("By Robert S", "google-cbrs-cpi-training", 4, "2020-02-12T00:00:00+00:00")),
    ),
    "video_watching.csv": Imported(ratings=2, first={"ratings": {"user_id": "14", "item_id": "148"}}),
    "news_behaviours.tsv": Refused(None),
    "hotel_reviews.csv": Refused("--columns user=reviews.username,item=id", Imported(ratings=2)),
    "check_ins.txt": Refused("--columns user,timestamp,-,-,item", Imported(ratings=3)),
    "tmdb_movies.csv": Refused(
        "--kind items", Imported(items=30, first=item("19995", title="Avatar 0", categories=["Action", "Adventure"]))
    ),
    # Research formats
    "recbole": Imported(
        ratings=2,
        items=2,
        users=2,
        first=rating("196", "242", 3, "1997-12-04T15:55:49+00:00")
        | item("242", title="Kolya film", year=1996, categories=["Comedy", "Drama"])
        | user("196", attributes={"age": 49, "gender": "M"}),
    ),
    "lightgcn": Imported(ratings=13, first=rating("0", "0", 1), scale="pairs"),
    "citeulike_users.dat": Imported(ratings=20, first=rating("1", "15", 1), scale="pairs"),
    "epinions.txt": Refused("--columns user,item,rating", Imported(ratings=3)),
    "netflix": Imported(
        ratings=3,
        items=4,
        first=rating("1488844", "1", 3, "2005-09-06T00:00:00+00:00") | item("1", title="Dinosaur Planet", year=2003),
    ),
    "jester.csv": Imported(ratings=360, scale="-10:10"),
    "ratings_matrix.csv": Refused("--kind matrix", Imported(ratings=8, first=rating("ann", "Heat", 5))),
    # Other recommenders
    "gorse_feedback.jsonl": Imported(events=3, first=event("bob", "vuejs:vue0", "star", "2022-02-24T00:00:00+00:00")),
    "gorse_items.jsonl": Refused("--kind items", Imported(items=2, first=item("vuejs:vue", categories=["frontend"]))),
    # A shop's own files
    "shop_stars.csv": Imported(ratings=3, first=rating("C-1001", "SKU-1", 4.5, "2015-03-13T10:00:00+00:00")),
    "shop_prices.csv": Imported(
        items=2, first=item("SKU-1", title="Tea pot", attributes={"Price": 1234.56, "Colour": "red"})
    ),
    "shop_orders_german.csv": Refused(
        "--columns user=Kundennummer", Imported(ratings=2, first=rating("4711", "A-1", 2, "2015-03-13T00:00:00+00:00"))
    ),
    "shop_likes.csv": Imported(ratings=3, first=rating("ann", "tea", 1), scale="binary"),
    "shop_clicks.csv": Imported(events=2, first=event("v1", "tea", "click", "2024-05-01T10:00:00+00:00")),
    "percentages.csv": Imported(ratings=5, first=rating("ann", "tea", 85), scale="0:100"),
    "ratings_array.json": Imported(ratings=2, first=rating("1", "10", 4.5)),
    "old_mac.csv": Imported(ratings=2, first=rating("ann", "tea", 4)),
}


@pytest.fixture
def store(databases: MigratedDatabases, tmp_path: Path) -> Iterator[Store]:
    """SQLite alone: what is read from a file does not depend on the database."""
    with databases.fresh("sqlite", tmp_path) as url:
        opened = Store.open(url, tmp_path)
        yield opened
        opened.close()


def test_every_layout_is_judged() -> None:
    assert {path.name for path in LAYOUTS.iterdir()} == RIGHT.keys()


@pytest.mark.parametrize("name", RIGHT)
def test_layout(name: str, store: Store, tmp_path: Path) -> None:
    right = RIGHT[name]
    options = right.options if isinstance(right, Imported) else ""
    if isinstance(right, Refused):
        with pytest.raises(InvalidInputError) as refusal:
            run(name, store, tmp_path, "")
        assert contents(store, tmp_path / "refused") == {kind: [] for kind in KINDS}
        assert right.options is None or right.options in str(refusal.value)
        if right.then is None:
            return
        options, right = suggested(str(refusal.value), right.options), right.then
    run(name, store, tmp_path, options)
    found = contents(store, tmp_path / "export")
    counted = {kind for kind in KINDS if getattr(right, kind) is not None}
    assert {kind: len(found[kind]) for kind in counted} == {kind: getattr(right, kind) for kind in counted}
    for kind, row in right.first.items():
        assert holds(found[kind], row), found[kind][:3]
    assert right.scale in (None, str(store.instance.scale()))


def run(name: str, store: Store, folder: Path, options: str) -> None:
    parts = shlex.split(options)
    stated = dict(zip(parts[::2], parts[1::2], strict=True))
    missing = [stated["--missing"]] if "--missing" in stated else []
    hints = file_hints(stated.get("--columns"), stated.get("--kind"), stated.get("--encoding"), missing)
    import_path(LAYOUTS / name, store, rejected_dir=folder, check_settings=settings_to_store, hints=hints)


def suggested(message: str, begins: str | None) -> str:
    """The proposal in a message that begins with these options."""
    found = re.search(rf"{re.escape(begins or '--')}\S*", message)
    assert found is not None
    return found[0].rstrip(".,;)")


def contents(store: Store, folder: Path) -> dict[str, list[Row]]:
    export_to(folder, store, Format.JSONL)
    return {kind: [json.loads(line) for line in (folder / f"{kind}.jsonl").read_text().splitlines()] for kind in KINDS}


def holds(rows: list[Row], wanted: Row) -> bool:
    """Whether one of the rows has all wanted fields, with the wanted attributes among others."""
    return any(all(is_wanted(name, row[name], value) for name, value in wanted.items()) for row in rows)


def is_wanted(name: str, found: Any, wanted: Any) -> bool:
    if name == "attributes":
        return bool({key: found.get(key) for key in wanted} == wanted)
    if name in {"rated_at", "at"} and found and wanted:
        return datetime.fromisoformat(found) == datetime.fromisoformat(wanted)
    return bool(found == wanted)
