"""Tables of ratings and events, mutilated at random: what is left of them changes no stored user or item."""

import csv
import io
import json
import random
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.cli.file_hints import file_hints
from app.entities import EventType, Item, RatingScale, User
from app.errors import InvalidInputError
from app.intake.column_names.columns import Kind
from app.intake.importing import import_path
from app.intake.layouts import recognise
from app.intake.report import ImportReport
from app.serving.placement_config import settings_to_store
from app.store import Store
from tests.support.databases import MigratedDatabases

N_CASES = 500
N_ENTRIES = 400
USERS = [User(f"C{10_000 + 7 * n}", "FI", {"plan": "gold", "visits": n}) for n in range(N_ENTRIES)]
ITEMS = [Item(f"SKU-{n:04}", f"Thing {n}", ("Things",), 1990, {"price": 2.5}) for n in range(N_ENTRIES)]
PLAIN_USERS = [replace(user, user_id=str(n + 1)) for n, user in enumerate(USERS)]
PLAIN_ITEMS = [replace(item, item_id=str(10 * n + 1)) for n, item in enumerate(ITEMS)]

Table = tuple[list[str], list[list[str]]]
Cell = Callable[[random.Random], str]


def moment(rng: random.Random) -> datetime:
    return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=rng.randrange(100_000_000))


COLUMNS: dict[str, Cell] = {
    "user": lambda rng: rng.choice(USERS).user_id,
    "item": lambda rng: rng.choice(ITEMS).item_id,
    "user_number": lambda rng: rng.choice(PLAIN_USERS).user_id,
    "item_number": lambda rng: rng.choice(PLAIN_ITEMS).item_id,
    "title": lambda rng: rng.choice(ITEMS).title or "",
    "stars": lambda rng: str(rng.randint(1, 5)),
    "half_stars": lambda rng: str(rng.randint(1, 10) / 2),
    "plays": lambda rng: str(int(rng.expovariate(0.1)) + 1),
    "hours": lambda rng: f"{rng.expovariate(0.1):.1f}",
    "epoch": lambda rng: str(int(moment(rng).timestamp())),
    "milliseconds": lambda rng: str(int(moment(rng).timestamp()) * 1_000),
    "iso": lambda rng: moment(rng).isoformat(),
    "day": lambda rng: moment(rng).date().isoformat(),
    "slashed": lambda rng: moment(rng).strftime("%m/%d/%Y %H:%M"),
    "type": lambda rng: rng.choice(["view", "addtocart", "purchase"]),
    "code": lambda rng: f"{rng.getrandbits(64):016x}",
    "counter": lambda rng: str(rng.randrange(10**6)),
    "text": lambda rng: rng.choice(["Great, will buy again", "Broke after a day", "ok", "Not for me"]),
    "flag": lambda rng: rng.choice(["Y", "N"]),
    "price": lambda rng: f"{rng.uniform(1, 99):.2f}",
    "country": lambda rng: rng.choice(["FI", "NO", "SE"]),
    "coordinate": lambda rng: f"{rng.uniform(-90, 90):.5f}",
    "grade_or_none": lambda rng: rng.choice(["", "", str(rng.randint(1, 5))]),
    "joke": lambda rng: rng.choice(["99", f"{rng.uniform(-10, 10):.2f}"]),
}
# The header of each kind of table, with the kind of cells of each column.
TABLES: list[dict[str, str]] = [
    {"user_id": "user", "item_id": "item", "rating": "stars", "timestamp": "epoch"},
    {"userId": "user_number", "movieId": "item_number", "rating": "half_stars", "timestamp": "epoch"},
    {"Customer ID": "user", "Product SKU": "item", "Stars": "stars", "Reviewed At": "iso"},
    {"reviewerID": "user", "asin": "item", "overall": "stars", "reviewText": "text", "unixReviewTime": "epoch"},
    {"customer_id": "user_number", "product_id": "item", "product_title": "title", "star_rating": "stars",
     "verified_purchase": "flag", "review_date": "day"},
    {"timestamp": "milliseconds", "visitorid": "user_number", "event": "type", "itemid": "item_number"},
    {"event_id": "code", "event_type": "type", "user_id": "user", "product_id": "item", "at": "iso"},
    {"event_time": "iso", "event_type": "type", "product_id": "item_number", "price": "price", "user_id": "user_number",
     "user_session": "code"},
    {"order_id": "counter", "customer_id": "user", "product_sku": "item", "quantity": "plays", "order_date": "slashed",
     "country": "country"},
    {"InvoiceNo": "counter", "StockCode": "item", "Quantity": "plays", "InvoiceDate": "slashed", "UnitPrice": "price",
     "CustomerID": "user_number", "Country": "country"},
    {"user": "user", "venue_id": "item", "lat": "coordinate", "lon": "coordinate", "utc_time": "iso"},
    {"user": "user_number", "artist": "item", "plays": "plays"},
    {"player": "user", "game_id": "item_number", "hours": "hours", "last_played": "iso"},
    {"session_id": "code", "item_id": "item_number", "timestamp": "milliseconds"},
    {"user_id": "user", **{f"film {n}": "grade_or_none" for n in range(8)}},
    {"user": "user_number", **{str(n): "grade_or_none" for n in range(1, 7)}},
    {"item": "item", **{f"reader {n}": "grade_or_none" for n in range(6)}},
    {"user_id": "user_number", **{f"joke {n}": "joke" for n in range(10)}},
]  # fmt: skip
KNOWN_WORDS = (
    *("id", "name", "account", "client", "subscriber", "sku", "article", "score", "points", "count", "when", "date"),
    *("visited", "action", "session", "device_id", "note", "ref", "position", "likes", "total", "level"),
)
NONSENSE = ("qzx", "col_7", "field_a", "x1", "zz", "foo bar", "DATA", "v", "attr", "Spalte1")
TRANSLATED = (
    *("Kunde", "Artikel", "Bewertung", "Datum", "Nutzer", "cliente", "producto", "puntuación", "fecha", "utilisateur"),
    *("produit", "note", "quand", "käyttäjä", "tuote", "arvosana", "gebruiker", "waarde", "пользователь", "товар"),
)


def table(rng: random.Random) -> Table:
    made = rng.choice(TABLES)
    n_rows = rng.choice((3, 8, 25, 60, 300))
    rows = [[COLUMNS[kind](rng) for kind in made.values()] for _ in range(n_rows)]
    if rng.random() < 0.3:
        # A small log may name no user or item twice.
        firsts = {id_: row for row in rows for id_ in row if id_.startswith(("C1", "SKU-"))}
        rows = list({id(row): row for row in firsts.values()}.values()) or rows
    return list(made), rows


def drop(rng: random.Random, header: list[str], rows: list[list[str]]) -> Table:
    at = rng.randrange(len(header))
    return header[:at] + header[at + 1 :], [row[:at] + row[at + 1 :] for row in rows]


def rename(rng: random.Random, header: list[str], rows: list[list[str]]) -> Table:
    words = [word for word in rng.choice((KNOWN_WORDS, NONSENSE, TRANSLATED)) if word not in header]
    at = rng.randrange(len(header))
    return [*header[:at], rng.choice(words), *header[at + 1 :]], rows


def swap(rng: random.Random, header: list[str], rows: list[list[str]]) -> Table:
    left, right = rng.sample(range(len(header)), 2)
    swapped = list(header)
    swapped[left], swapped[right] = header[right], header[left]
    return swapped, rows


def behead(_: random.Random, __: list[str], rows: list[list[str]]) -> Table:
    return rows[0], rows[1:]


def case(seed: int, folder: Path) -> Path:
    """A file of a table from which up to three things were taken."""
    rng = random.Random(seed)  # noqa: S311  no secret
    header, rows = table(rng)
    changes = rng.choices((drop, drop, rename, rename, swap, behead), k=rng.randint(1, 3))
    for change in changes:
        if len(header) > 2:
            header, rows = change(rng, header, rows)
    if rng.random() < 0.2 and behead not in changes:
        path = folder / f"{seed}.jsonl"
        path.write_text("".join(json.dumps(dict(zip(header, row, strict=True))) + "\n" for row in rows))
        return path
    text = io.StringIO()
    csv.writer(text, delimiter=rng.choice(",;\t|")).writerows([header, *rows])
    path = folder / f"{seed}.csv"
    path.write_text(text.getvalue())
    return path


@pytest.fixture(scope="module")
def store(databases: MigratedDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("hostile")
    with databases.fresh("sqlite", folder) as url:
        opened = Store.open(url, folder)
        opened.items.record([*ITEMS, *PLAIN_ITEMS])
        opened.users.record([*USERS, *PLAIN_USERS])
        opened.instance.set_scale(RatingScale.parse("amounts"))
        for name in ("view", "addtocart", "purchase"):
            opened.events.put_type(EventType(name, 1.0))
        yield opened
        opened.close()


def tried(path: Path, store: Store) -> ImportReport | InvalidInputError:
    try:
        return import_path(path, store, rejected_dir=path.parent, check_settings=settings_to_store)
    except InvalidInputError as error:
        return error


@pytest.mark.parametrize("first", range(0, N_CASES, 50))
def test_nothing_overwritten(first: int, store: Store, tmp_path: Path) -> None:
    outcomes = {seed: tried(case(seed, tmp_path), store) for seed in range(first, first + 50)}
    reports = {seed: outcome for seed, outcome in outcomes.items() if isinstance(outcome, ImportReport)}
    taken = {
        seed: (report.items.readable, report.users.readable)
        for seed, report in reports.items()
        if report.items.readable or report.users.readable
    }
    assert taken == {}
    items = {item.item_id: item for item in store.items.stream()}
    users = {user.user_id: user for user in store.users.stream()}
    assert [items[item.item_id] for item in (*ITEMS, *PLAIN_ITEMS)] == [*ITEMS, *PLAIN_ITEMS]
    assert [users[user.user_id] for user in (*USERS, *PLAIN_USERS)] == [*USERS, *PLAIN_USERS]
    # Some of the tables are still whole enough to be imported, and others are not.
    assert 5 < len(reports) < 45


@pytest.mark.parametrize("first", range(0, N_CASES, 50))
def test_proposed_columns_work(first: int, tmp_path: Path) -> None:
    """The options that a refusal proposes for ratings or events are accepted, unless they name a gap to fill."""
    kinds = []
    for path in (case(seed, tmp_path) for seed in range(first, first + 50)):
        problem = str(refusal(path))
        for proposed in re.findall(r"(?<!items )(?<!users )--columns .*", problem):
            _, columns, *rest = shlex.split(proposed)
            if "NAME" not in columns and not rest:
                try:
                    kinds += [table.kind for table in recognise(path, file_hints(columns)).tables]
                except InvalidInputError as error:
                    assert "--date-format" in str(error)  # noqa: PT017  what else may be asked is no problem of columns
    assert set(kinds) <= {Kind.RATINGS, Kind.EVENTS}
    assert len(kinds) > 5


def refusal(path: Path) -> InvalidInputError | None:
    try:
        recognise(path)
    except InvalidInputError as error:
        return error
    return None
