"""Random sequences of requests to a service on SQLite and to one on Postgres, whose answers must be the same."""

import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from app.store import Store, migrate
from faults.trial import Figure, Trial
from tests.support.postgres import Postgres
from tests.support.trained import fill

STEPS = 12
NAMES = ("ann", "ANN", "bob", "jos\u00e9", "a b", "\U0001f600", "a%b_c", "\u05d0\u05d1")
TITLES = ("Alien", "alien 3", "Amélie", "ÉTÉ", "straße", "", "100% [x]_y", None)
COUNTRIES = ("FI", "fi", "US", None)
TYPES = ("clicked", "watched", "shown", "disliked", "no-such-type")
TOKENS = frozenset({"recommendation_id", "next_cursor", "request_id", "job_id", "heat"})
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
HOUR_SECONDS = 3_600


@dataclass(frozen=True, slots=True)
class Step:
    method: str
    path: str
    body: Any = None
    key: str | None = None

    def send(self, api: TestClient) -> tuple[int, Any]:
        """Status and normalised body; a page brings all that follow."""
        headers = {} if self.key is None else {"idempotency-key": self.key}
        answer = api.request(self.method, self.path, json=self.body, headers=headers)
        body = answer.json() if answer.content else None
        pages, cursor = [_normal(body)], body.get("next_cursor") if isinstance(body, dict) else None
        while cursor is not None and self.method == "GET" and len(pages) < 5:
            joint = "&" if "?" in self.path else "?"
            body = api.get(f"{self.path}{joint}cursor={cursor}").json()
            pages.append(_normal(body))
            cursor = body.get("next_cursor")
        return answer.status_code, pages


def run(trial: Trial) -> Iterator[Figure]:
    n_sequences = trial.times(test=4, short=60, long=2_100)
    statuses: Counter[int] = Counter()
    different: list[str] = []
    with ExitStack() as stack:
        # In a test, what Postgres acknowledged need not outlive it.
        folder = trial.fresh_folder("postgres")
        server = Postgres(folder)
        stack.callback(server.close)
        url = stack.enter_context(server.database())
        both = [stack.enter_context(_opened(each, trial.fresh_folder("data"))) for each in ("", url)]
        for number in range(n_sequences):
            steps = Sequences(random.Random(trial.choose.random()), number).steps()  # noqa: S311  repeatable choices
            for place, step in enumerate(steps):
                one, other = (step.send(api) for api in both)
                statuses[one[0]] += 1
                if one != other or one[0] >= 500:
                    before = [f"{each.method} {each.path}" for each in steps[:place]]
                    different.append(f"sequence {number}: {step}: {_apart(one, other)} after {before}"[:1_500])
                    break
    seen = f"{len(different)} of {n_sequences}, {statuses.total()} requests each, {dict(statuses)}"
    is_reached = not different and statuses.total() > n_sequences
    yield Figure("sequences with different answers", "0", "; ".join([seen, *different[:3]]), is_reached)


def _opened(url: str, folder: Path) -> TestClient:
    migrate(url, folder)
    store = Store.open(url, folder)
    fill(store)
    store.close()
    # What is popular is counted once: the two services would count it at different moments.
    settings = Settings(database_url=url, data_dir=folder, snapshot_poll_seconds=1e6)
    return TestClient(create_app(settings), raise_server_exceptions=False)


class Sequences:
    """Makes one sequence; its ids are its own, so that it does the same on a database with others."""

    def __init__(self, choose: random.Random, number: int) -> None:
        self._choose = choose
        self._number = number
        self._users = [f"s{number}-{name}" for name in choose.sample(NAMES, 3)]
        self._items = [f"s{number}-{name}" for name in choose.sample(NAMES, 3)] + ["item-1", "item-2"]

    def steps(self) -> list[Step]:
        kinds: list[Callable[[], Step]] = [
            *(self._rate, self._rate, self._rate_many, self._unrate, self._events, self._events, self._take_back),
            *(self._put_item, self._patch_item, self._delete_item, self._put_user, self._patch_user, self._merge),
            *(self._put_many, self._delete_user, self._read_user, self._read_user, self._read_item, self._list),
            *(self._list, self._list, self._read_all, self._event_type, self._placement, self._train),
        ]
        return [self._choose.choice(kinds)() for _ in range(STEPS)]

    def _user(self) -> str:
        return self._choose.choice(self._users)

    def _item(self) -> str:
        return self._choose.choice(self._items)

    def _moment(self) -> str | None:
        moments = (
            "2024-03-01T20:15:00Z",
            "2024-03-01T20:15:00.000001Z",
            "2020-01-01T00:00:00+02:00",
            "1969-12-31T23:59:59Z",
        )
        return self._choose.choice((*moments, None))

    def _key(self) -> str | None:
        return self._choose.choice((None, f"s{self._number}-1", f"s{self._number}-2"))

    def _rating(self) -> dict[str, Any]:
        value = self._choose.choice((1, 2.5, 3, 4, 5, 0.999, 5.001, "4", None))
        return {"user_id": self._user(), "item_id": self._item(), "value": value, "rated_at": self._moment()}

    def _rate(self) -> Step:
        return Step("POST", "/ratings", self._rating(), self._key())

    def _rate_many(self) -> Step:
        return Step("POST", "/ratings/batch", {"ratings": [self._rating() for _ in range(4)]}, self._key())

    def _unrate(self) -> Step:
        return Step("DELETE", f"/users/{quote(self._user())}/ratings/{quote(self._item())}")

    def _event(self) -> dict[str, Any]:
        return {
            "event_id": f"s{self._number}-{self._choose.randrange(4)}",
            "type": self._choose.choice(TYPES),
            "user_id": self._user(),
            "item_id": self._item(),
            "at": self._moment(),
            "portion": self._choose.choice((None, None, 0, 0.5, 1, 1.5)),
        }

    def _events(self) -> Step:
        return Step("POST", "/events", {"events": [self._event() for _ in range(3)]}, self._key())

    def _take_back(self) -> Step:
        return Step("DELETE", f"/events/s{self._number}-{self._choose.randrange(4)}")

    def _item_fields(self) -> dict[str, Any]:
        fields = {
            "title": self._choose.choice(TITLES),
            "categories": self._choose.sample(("Drama", "drama", "É", "e\u0301"), 2),
            "year": self._choose.choice((1979, 0, -1, None, 10**9)),
            "attributes": {"price": self._choose.choice((1, 1.0, True, "1", ["a"], 1e15))},
            "is_available": self._choose.choice((True, False)),
            "added_at": self._moment(),
        }
        return {name: fields[name] for name in self._choose.sample(sorted(fields), 3)}

    def _put_item(self) -> Step:
        return Step("PUT", f"/items/{quote(self._item())}", self._item_fields())

    def _patch_item(self) -> Step:
        return Step("PATCH", f"/items/{quote(self._item())}", self._item_fields())

    def _delete_item(self) -> Step:
        return Step("DELETE", f"/items/{quote(self._items[0])}")

    def _user_fields(self) -> dict[str, Any]:
        attributes = {"age": self._choose.choice((31, 31.0, "31", None))}
        return {"country": self._choose.choice(COUNTRIES), "attributes": attributes}

    def _put_user(self) -> Step:
        return Step("PUT", f"/users/{quote(self._user())}", self._user_fields())

    def _patch_user(self) -> Step:
        return Step("PATCH", f"/users/{quote(self._user())}", self._user_fields())

    def _delete_user(self) -> Step:
        return Step("DELETE", f"/users/{quote(self._user())}")

    def _merge(self) -> Step:
        return Step("POST", f"/users/{quote(self._user())}/merge/{quote(self._user())}", None, self._key())

    def _put_many(self) -> Step:
        items = [{"item_id": self._item(), **self._item_fields()} for _ in range(3)]
        users = [{"user_id": self._user(), "country": self._choose.choice(COUNTRIES)} for _ in range(3)]
        kind, rows = self._choose.choice((("items", items), ("users", users)))
        return Step("POST", f"/{kind}/batch", {kind: rows}, self._key())

    def _read_user(self) -> Step:
        path = f"/users/{quote(self._user())}"
        ends = ("", "/ratings?limit=2", "/ratings?limit=1&sort=time", "/events?limit=2", "/home", "/mixes")
        return Step("GET", path + self._choose.choice(ends))

    def _read_item(self) -> Step:
        return Step("GET", f"/items/{quote(self._item())}" + self._choose.choice(("", "/similar?limit=5")))

    def _list(self) -> Step:
        filters = ('"drama" in categories', "year >= 1979", "price > 1", 'title contains "e"', "price is unknown")
        query = f"limit=100&filter={quote(self._choose.choice(filters))}&placement=place-{self._number}"
        options = self._choose.choice(("limit=70", "limit=5&explain=true", "limit=30&category=drama", query))
        return Step("GET", f"/users/{quote(self._user())}/recommendations?{options}")

    def _read_all(self) -> Step:
        q = quote(self._choose.choice((f"s{self._number}-", "ALIEN", "ete", "%", "_", "é")))
        reads = (f"/items?q={q}&limit=3", f"/users?q={q}&limit=2", "/counts", "/event-types", "/placements")
        charts = ("/charts/trending?limit=5", "/charts/popular?limit=5", "/charts/newest?limit=5&country=FI")
        searched = Step("POST", "/search", {"q": self._choose.choice(("alien", "alein", "ete", "strasse", ""))})
        return self._choose.choice((*(Step("GET", each) for each in (*reads, *charts)), searched))

    def _event_type(self) -> Step:
        path = f"/event-types/type-{self._number}"
        body = {
            "weight": self._choose.choice((1, -2.5, 0, 1e300)),
            "is_consumption": self._choose.choice((True, False)),
        }
        return self._choose.choice(
            (Step("PUT", path, body), Step("DELETE", path), Step("DELETE", "/event-types/clicked"))
        )

    def _placement(self) -> Step:
        path = f"/placements/place-{self._number}"
        body = {"filter": "year >= 1900", "allow_unknown": self._choose.choice((True, False))}
        return self._choose.choice((Step("PUT", path, body), Step("GET", path), Step("DELETE", path)))

    def _train(self) -> Step:
        wanted = Step("POST", "/training-jobs", {"seed": self._choose.randrange(3)}, self._key())
        return self._choose.choice((wanted, Step("GET", "/snapshots"), Step("POST", "/snapshots/latest/activate")))


def _normal(value: Any, name: str = "") -> Any:
    """Without tokens, the times of the server, and heat, which fades with each moment; numbers to six digits."""
    if isinstance(value, dict):
        return {key: _normal(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_normal(each, name) for each in value]
    if name in TOKENS and value is not None:
        return f"a {name}"
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, str) and TIME.fullmatch(value):
        seconds = datetime.fromisoformat(value).astimezone(UTC).timestamp()
        return "now" if abs(time.time() - seconds) < HOUR_SECONDS else value
    return value


def _apart(one: object, other: object) -> str:
    """The two answers from where they begin to differ."""
    texts = repr(one), repr(other)
    pairs = enumerate(zip(*texts, strict=False))
    start = max(0, next((place for place, (left, right) in pairs if left != right), 0) - 60)
    return " and ".join(text[start : start + 300] for text in texts)
