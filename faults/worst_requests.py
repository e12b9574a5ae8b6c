"""Made-up catalogues, and the most expensive requests that the operations allow."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from urllib.parse import urlencode

import numpy as np

from app.entities import AttributeValue, EventType, IncomingEvents, Item, User
from app.store import Store
from benchmarks.made_up import publish
from benchmarks.serving_data import opened, record_ratings
from faults.loop_lag import Asked

N_USERS = 200
HEAVY, HEAVY_RATINGS = "u1", 10_000
"""A user with a long history, all of it newer than the snapshot."""

EVENTFUL, EVENTS_PER_ITEM = "u3", 10
"""A user with an event of so many types for each of up to 10,000 items, all of them newer than the snapshot."""

MICROSECONDS_RATED = 1.7e15
MAX_BODY = 1 << 20
WORDS = ("north", "star", "river", "glass", "winter", "garden", "paper", "night", "stone", "letter")
DETAILS = "title,description,url,categories,year,attributes,added_at,is_available"
LIST = f"/users/{HEAVY}/recommendations"
ALL = (("limit", 100), ("explain", "true"))

Named = tuple[str, Asked]


def fill(data_dir: Path, n_items: int) -> None:
    """Items with titles, categories and attributes of all kinds, users with long attributes, and a live snapshot."""
    store = opened(data_dir)
    try:
        for start in range(1, n_items + 1, 2_000):
            store.items.record([_item(n) for n in range(start, min(start + 2_000, n_items + 1))])
        likes = [f"{word} {n}" for n, word in enumerate(WORDS * 20)]
        store.users.record([User(f"u{n}", "FI", {"likes": likes, "word": "e"}) for n in range(1, N_USERS + 1)])
        publish(store, data_dir)
        rng = np.random.default_rng(0)
        rated = rng.choice(n_items, min(HEAVY_RATINGS, n_items // 2), replace=False)
        times = np.arange(len(rated)) + MICROSECONDS_RATED
        record_ratings(store, np.zeros(len(rated), int), rated, rng.integers(1, 6, len(rated)) * 1.0, times)
        others = np.arange(1, N_USERS).repeat(50)
        values, times = np.full(len(others), 4.0), np.full(len(others), MICROSECONDS_RATED)
        record_ratings(store, others, rng.integers(0, n_items, len(others)), values, times)
        for n in range(EVENTS_PER_ITEM):
            store.events.put_type(EventType(f"seen {n}", 0.1))
            _record_events(store, f"seen {n}", min(n_items, 10_000))
    finally:
        store.close()


def _record_events(store: Store, type_: str, n_items: int) -> None:
    for start in range(0, n_items, 1_000):
        items = [f"i{n + 1}" for n in range(start, min(start + 1_000, n_items))]
        n, at = len(items), int(MICROSECONDS_RATED) + np.arange(len(items))
        store.events.record(
            IncomingEvents(
                event_id=[f"{type_} {each}" for each in items],
                type=[type_] * n,
                user_id=[EVENTFUL] * n,
                item_id=items,
                at=at,
                portion=np.full(n, np.nan),
                placement=[None] * n,
                snapshot_version=[None] * n,
                position=[None] * n,
            )
        )


def _item(n: int) -> Item:
    words = [WORDS[n // 10**place % 10] for place in range(4)]
    categories = dict.fromkeys((f"C{n % 20}", f"C{n // 20 % 20}", f"Rare {n % 2_000}"))
    attributes: dict[str, AttributeValue] = {
        "price": n % 997 / 10,
        "maker": f"Maker {n % 5_000}",
        "tags": words[:3],
        "is_new": n % 7 == 0,
    }
    title = f"The {' '.join(words)} number {n}"
    return Item(f"i{n}", title=title, categories=tuple(categories), year=1950 + n % 70, attributes=attributes)


def get(path: str, *pairs: tuple[str, object]) -> Asked:
    return Asked("GET", path, urlencode(pairs).encode())


def send(method: str, path: str, body: object) -> Asked:
    return Asked(method, path, b"", json.dumps(body).encode())


def post(path: str, **body: object) -> Asked:
    return send("POST", path, body)


def raw(path: str, body: bytes) -> Asked:
    return Asked("POST", path, b"", body)


@dataclass(frozen=True, slots=True)
class WorstRequests:
    """Expressions differ from one request to the next, so that no mask is remembered."""

    n_items: int
    _numbers: Iterator[int] = field(default_factory=count)

    def all(self) -> Iterator[Named]:
        parts = (self.lists, self.similar, self.guests, self.batches, self.rankings, self.pages, self.writes)
        return chain(*(part() for part in parts), bodies(), listings(), deletions())

    def terms(self, template: str, n: int = 180, joined: str = " or ") -> str:
        """As many terms as fit into an expression; the letter `@` of the template becomes another number in each."""
        salt = next(self._numbers)
        return joined.join(template.replace("@", f"{salt}{k}") for k in range(n))[:5_000].rsplit(joined, 1)[0]

    def contains(self) -> str:
        return self.terms('title contains "q@"')

    def of_user(self) -> str:
        names = "title contains user.likes or attributes.maker contains user.likes"
        return f"{names} or year > {next(self._numbers)}"

    def boost(self) -> str:
        return self.terms('title contains "q@" or title contains "e@" -> 1.1', 50, "; ")

    def ids(self, n: int) -> list[str]:
        return [f"i{k + 1}" for k in range(min(n, self.n_items))]

    def guest(self) -> dict[str, object]:
        ids = self.ids(3_000)
        third = len(ids) // 3
        return {
            "ratings": [{"item_id": each, "value": 4} for each in ids[:third]],
            "events": [{"type": "clicked", "item_id": each} for each in ids[third : 2 * third]],
            "viewed_item_ids": ids[2 * third :],
        }

    def lists(self) -> Iterator[Named]:
        yield "list", get(LIST, ("limit", 100))
        yield "list explained", get(LIST, *ALL)
        # The first one reads all of the user's events, and so does the one after a new event.
        one_more = {"event_id": "one more", "type": "clicked", "user_id": EVENTFUL, "item_id": "i1"}
        yield "list of many events", get(f"/users/{EVENTFUL}/recommendations", *ALL)
        yield "event of many", post("/events", events=[one_more])
        yield "list after one more event", get(f"/users/{EVENTFUL}/recommendations", *ALL)
        filters = {
            "contains": self.contains(),
            "contains e": self.terms('title contains "e"'),
            "contains of the user": self.of_user(),
            "not contains": self.terms('not title contains "q@"', joined=" and "),
            "order of attributes": self.terms('attributes.maker > "Maker @"'),
            "order of titles": self.terms('title > "The @"'),
            "titles": "title in [" + self.terms('"q@"', 500, ",") + "]",
            "categories": self.terms('"Rare @" in categories'),
            "numbers": self.terms("attributes.price > @"),
            "texts as numbers": self.terms("attributes.maker > @"),
            "unknown attribute": f'attributes.makre = "{next(self._numbers)}"',
            "nested": "not " * 31 + f"year > {next(self._numbers)}",
        }
        for name, text in filters.items():
            yield f"filter: {name}", get(LIST, ("filter", text))
        yield "filters", get(LIST, *(("filter", self.contains()) for _ in range(11)))
        yield "boost", get(LIST, ("boost", self.boost()), *ALL)
        yield "categories", get(LIST, *(("category", f"Rare {k}") for k in range(100)))
        yield "unknown categories", get(LIST, *(("category", f"Rarr {k}") for k in range(100)))
        yield "many categories", get(LIST, *(("category", f"Rarr {k}") for k in range(3_000)))
        yield "exclude", get(LIST, *(("exclude", each) for each in self.ids(1_000)))
        yield "unknown parameters", get(LIST, *((f"p{k}", "") for k in range(5_000)))
        yield "repeated parameters", get(LIST, *(("limit", k) for k in range(5_000)))
        yield "cursor", get(LIST, ("cursor", "A" * 10_000))
        yield "fields", get(LIST, ("fields", f"{DETAILS},score"), *ALL)
        yield "attributes", get(LIST, ("fields", ",".join(f"attributes.a{k}" for k in range(199))), *ALL)
        yield "least predicted", get(LIST, ("min_predicted_rating", 3), *ALL)
        yield "why not", get(f"{LIST}/explain/i7", ("filter", self.contains()), ("boost", self.boost()))

    def similar(self) -> Iterator[Named]:
        path = "/items/i1/similar"
        yield "similar", get(path, ("filter", self.contains()), ("user_id", HEAVY), ("limit", 100))
        yield "similar by taste", get(path, ("kind", "taste"), ("user_id", HEAVY), ("limit", 100), ("fields", DETAILS))

    def guests(self) -> Iterator[Named]:
        options = {"limit": 100, "explain": True}
        yield "guest", post("/recommendations", **self.guest(), **options)
        expressions = {"filter": self.contains(), "boost": self.boost(), "exclude": self.ids(10_000)}
        yield "guest, expressions", post("/recommendations", **self.guest(), **options, **expressions)
        yield "user in a body", post("/recommendations", user_id=HEAVY, filter=self.contains(), **options)

    def batches(self) -> Iterator[Named]:
        path, users = "/recommendations/batch", [f"u{n + 1}" for n in range(100)]
        yield "batch explained", post(path, user_ids=users, limit=100, explain=True)
        yield "batch, fields", post(path, user_ids=users, limit=100, fields=[DETAILS])
        yield "batch, contains of the user", post(path, user_ids=users[:20], filter=self.of_user())
        yield "batch, long histories", post(path, user_ids=[HEAVY] * 20, limit=100, explain=True)

    def rankings(self) -> Iterator[Named]:
        ids = self.ids(1_000)
        yield "ranking", post("/rankings", item_ids=ids, explain=True, user_id=HEAVY)
        yield "ranking of a guest", post("/rankings", item_ids=ids, filter=self.contains(), **self.guest())
        yield "ranking, fields", post("/rankings", item_ids=ids, user_id="u2", fields=[DETAILS])
        pairs = [{"user_id": f"u{k % N_USERS + 1}", "item_id": each} for k, each in enumerate(ids)]
        yield "predictions", post("/predictions", pairs=pairs, fields=[DETAILS])
        yield "predictions of one user", post("/predictions", pairs=[each | {"user_id": HEAVY} for each in pairs])
        yield "wrong pairs", post("/predictions", pairs=[{"user_id": 1, "a": "x" * 900}] * 1_000)

    def pages(self) -> Iterator[Named]:
        yield "search with typos", post("/search", query="nrth sta rver glas " * 16, user_id=HEAVY, limit=100)
        yield "search of letters", post("/search", query=" ".join("abcdefghijklmnopqrstuvwxyz" * 2), user_id=HEAVY)
        yield "search", post("/search", query="the", user_id=HEAVY, limit=100, filter=self.contains())
        yield "search without words", post("/search", query="", user_id=HEAVY, limit=100, filter=self.contains())
        for chart in ("popular", "trending", "newest"):
            path = f"/charts/{chart}"
            yield path, get(path, ("limit", 100), ("filter", self.contains()), ("fields", DETAILS))
        many = (("limit", 100), ("fields", DETAILS))
        yield "home", get(f"/users/{HEAVY}/home", ("n_rows", 20), *many)
        yield "mixes", get(f"/users/{HEAVY}/mixes", ("n_mixes", 20), *many)
        yield "similar users", get(f"/users/{HEAVY}/similar", ("limit", 100))
        settings = {"filter": self.contains(), "boost": self.boost(), "diversity": 0.5, "category_cap": 1}
        asked = {"user_id": HEAVY, "limit": 100, "explain": True, "filter": self.contains()}
        yield "preview", post("/placements/home/preview", **asked, settings=settings)
        unknown = self.terms('"Rarr @" in categories')
        stored = settings | {"filter": f"year > 1951 or {unknown}"[:4_900].rsplit(" or ", 1)[0], "allow_unknown": True}
        yield "put placement", send("PUT", "/placements/everything", stored)
        yield "placement versions", get("/placements/everything/versions")
        yield "restore a placement", send("POST", "/placements/everything/versions/1/restore", {})
        yield "first list of a placement", get(LIST, ("placement", "everything"), *ALL)

    def writes(self) -> Iterator[Named]:
        ids = self.ids(1_000)
        ratings = [{"user_id": f"w{k}", "item_id": each, "value": 4} for k, each in enumerate(ids)]
        yield "rating", post("/ratings", user_id="w0", item_id="i1", value=3)
        yield "ratings", post("/ratings/batch", ratings=ratings)
        yield "wrong ratings", post("/ratings/batch", ratings=[{"user_id": " ", "x": "y" * 900}] * 1_000)
        events = [
            {"event_id": f"e{k}", "type": "clicked", "user_id": f"w{k}", "item_id": each} for k, each in enumerate(ids)
        ]
        yield "events", post("/events", events=events)
        attributes = {f"a{n}": ["x" * 900] * 10 for n in range(100)}
        yield "put user", send("PUT", "/users/w1", {"attributes": attributes})
        yield "patch user", send("PATCH", "/users/w1", {"attributes": attributes})
        few = {f"a{n}": n for n in range(40)}
        yield "users", post("/users/batch", users=[{"user_id": f"w{k}", "attributes": few} for k in range(1_000)])
        yield "merge", send("POST", "/users/w2/merge/w3", {})
        yield "put item", send("PUT", "/items/n1", {"title": "x", "attributes": attributes})
        yield "patch item", send("PATCH", "/items/n1", {"title": "y", "attributes": attributes})
        items = [{"item_id": f"n{k}", "title": "x" * 800, "attributes": {"price": 1}} for k in range(1_000)]
        yield "items", post("/items/batch", items=items)
        # What was derived from the items is made anew.
        yield "list after items", get(LIST)
        yield "filter after items", get(LIST, ("filter", 'title contains "zz"'))
        yield "event type", send("PUT", "/event-types/bought", {"weight": 2})
        yield "job", post("/training-jobs", recipe={f"k{k}": {} for k in range(200)})
        yield "cancel a job", send("POST", "/training-jobs/latest/cancel", {})


def bodies() -> Iterator[Named]:
    """As large as a body may be, with as many values as it may hold, and with more."""
    batch, path = "/ratings/batch", "/recommendations"
    names = {f"k{k}": 1 for k in range(65_000)}
    yield "body of lists", raw(batch, b'{"ratings":[' + b"[]," * (MAX_BODY // 3 - 10) + b"[]]}")
    yield "body of fewer lists", raw(batch, b'{"ratings":[' + b"[]," * 29_900 + b'"' + b"x" * 900_000 + b'"]}')
    yield "body of names", send("POST", batch, names)
    yield "row of names", post(batch, ratings=[names])
    yield "body of numbers", raw("/predictions", b'{"pairs":[' + b"1e5," * 65_000 + b"1]}")
    yield "body of one text", post("/search", query="e" * 1_000_000)
    yield "body of accents", post("/search", query="\u0344" * 160_000)
    yield "body of ids", post("/rankings", item_ids=[str(k) for k in range(65_000)])
    yield "body of excluded ids", post(path, exclude=[str(k) for k in range(65_000)])
    yield "body of fields", post(path, fields=["title," * 15_000])
    yield "wrong rows of a guest", post(path, ratings=[{f"k{k}": 1 for k in range(65)}] * 1_000)
    yield "settings of names", send("PUT", "/placements/x", names)
    yield "recipe of names", post("/training-jobs", recipe=names)


def listings() -> Iterator[Named]:
    page, plain = ("limit", 1_000), ("/event-types", "/placements", "/placements/home", "/snapshots", "/snapshots/1")
    yield "ratings of a user", get(f"/users/{HEAVY}/ratings", page)
    yield "events of a user", get("/users/w1/events", page)
    yield "event page", get("/events", page)
    yield "user page", get("/users", page, ("q", "w"))
    yield "item page", get("/items", page, ("q", "x"))
    yield "a user", get("/users/w1")
    yield "an item", get("/items/n1")
    for path in (*plain, "/training-jobs/1", "/openapi.json", "/docs", "/metrics", "/counts", "/readyz", "/livez"):
        yield path, get(path)
    for path in ("/keys", "/erasures/latest", "/users/w1/export", "/processes", "/imports"):
        yield path, get(path)
    yield "arrivals", get("/arrivals", ("hours", "840"))
    yield "rejected rows", get("/imports/latest/rejected-rows", ("format", "csv"))
    yield "token", post("/tokens", user_id="w1")
    yield "key", post("/keys", scopes=["admin"])
    yield "delete a key", send("DELETE", "/keys/unknown", {})
    yield "wrong method", send("PUT", "/counts", {})


def deletions() -> Iterator[Named]:
    yield "activate", send("POST", "/snapshots/latest/activate", {})
    for path in (f"/users/{HEAVY}/ratings/i1", "/events/e1", "/event-types/bought", "/placements/everything"):
        yield f"delete {path}", send("DELETE", path, {})
    yield "delete an item", send("DELETE", "/items/i1", {})
    yield "delete a user", send("DELETE", f"/users/{HEAVY}", {})
