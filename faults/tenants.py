"""Random operations on the main catalogue and three tenants with the same ids: nothing of one may be seen in another.

Every text that a catalogue stores holds its canary. Searched for the canaries of others are all answers, the metrics,
the lines of the log and all files. What is read back must be what the same catalogue wrote last. In the midst of it,
tenants are closed and opened again, suspended and resumed, and at the end one is deleted.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi.testclient import TestClient

from app.auth.scopes import ALL_SCOPES
from app.main import create_app
from app.settings import Settings
from app.store import Store, migrate
from app.tenancy.lifecycle import TenantLifecycle
from app.tenancy.open_services import MOST_OPEN
from faults.requests_by_credential import Answer, Prepared, Send, content_of, get, headers_of, over_sockets, prepared
from faults.trial import Figure, Trial
from tests.support.keys import bearer, stored_key
from tests.support.service import Instance, wait_until, write_ratings

REACH_SECONDS = 5.0
NAMES = ("", "ant", "bee", "cow")
"""The main catalogue has no name."""

ITEMS, USERS = [f"k{number}" for number in range(1, 7)], [f"u{number}" for number in range(1, 6)]
"""The same in every catalogue."""


@dataclass(slots=True)
class Catalogue:
    """`items`: what was stored last, title by id; `ratings`: value by user and item.

    `note`: a canary in the notes of keys, which the main database keeps for all tenants.
    """

    name: str
    canary: str
    note: str
    headers: Mapping[str, str]
    items: dict[str, str] = field(default_factory=dict)
    ratings: dict[tuple[str, str], float] = field(default_factory=dict)


Act = Callable[[Trial, Catalogue, str, str], Prepared]
"""Makes a request of a catalogue, about an item and a user."""


@dataclass(slots=True)
class Seen:
    """What was found where it must not be."""

    n_requests: int = 0
    leaks: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def run(trial: Trial) -> Iterator[Figure]:
    folder = trial.fresh_folder("data")
    migrate("", folder)
    settings, store = Settings(data_dir=folder), Store.open("", folder)
    catalogues = [made(trial, settings, store, name) for name in NAMES]
    seen = Seen()
    opened = application if trial.size == "test" else processes
    with opened(folder, trained=catalogues) as (send, document):
        examples = [each for each in prepared(document) if each.template != "/metrics"]
        crowd = Crowd(trial, settings, store)
        for _ in range(trial.times(test=100, short=500, long=40_000)):
            step(trial, catalogues, examples, send, seen)
            crowd.disturb(send, seen)
        suspended = seconds_until_suspended(trial, store, catalogues, send)
        metrics = send(get("/metrics"), catalogues[0].headers).body
        in_files = list(misplaced(folder, catalogues))
        n_bytes = sum(file.stat().st_size for file in files_of(folder))
        gone = catalogues.pop()
        TenantLifecycle(settings, store).delete(gone.name)
        refused = send(get("/counts"), gone.headers).status
        left = [str(file) for file in files_of(folder) if file.suffix != ".log" and gone.canary in text_of(file)]
        others = [each.name for each in catalogues if send(get("/counts"), each.headers).status != 200]
    store.close()
    log = (folder / "stderr.log").read_text()
    in_log = [line for line in log.splitlines() if is_misplaced_line(line, [*catalogues, gone])]
    in_metrics = [each.name for each in [*catalogues, gone] if each.name and each.canary.encode() in metrics]
    in_examples = [*seen.leaks, *in_metrics, *in_files, *in_log]
    yield Figure(
        "canaries of one catalogue in answers, metrics, logs and files of another",
        "0",
        f"{len(in_examples)} in {seen.n_requests:,} answers, {len(log):,} bytes of log, {n_bytes:,} of files"
        f" {in_examples[:2]}",
        is_reached=not in_examples,
    )
    yield Figure(
        "answers that are not what the catalogue stored last, and failures",
        "0",
        f"{len(seen.wrong)} and {len(seen.failures)} of {seen.n_requests:,} {(seen.wrong + seen.failures)[:2]}",
        is_reached=not seen.wrong and not seen.failures,
    )
    yield Figure(
        "suspended in every process",
        f"<= {REACH_SECONDS:g} s",
        f"{suspended:.1f} s",
        is_reached=suspended <= REACH_SECONDS,
    )
    yield Figure(
        "a deleted tenant: its key; files with its canary; others that do not answer",
        "401; 0; 0",
        f"{refused}; {len(left)}; {len(others)} {left[:2]}",
        is_reached=refused == 401 and not left and not others,
    )


def made(trial: Trial, settings: Settings, store: Store, name: str) -> Catalogue:
    if name:
        TenantLifecycle(settings, store).create(name)
    key = stored_key(store, *sorted(ALL_SCOPES), tenant=name or None)
    # Lower case, as the folded titles for search are.
    canary, note = (f"zq{trial.choose.getrandbits(64):016x}" for _ in range(2))
    return Catalogue(name, canary, note, bearer(key))


class Crowd:
    """Disturbs: makes the tenants take turns in memory, and suspends and resumes one of its own."""

    def __init__(self, trial: Trial, settings: Settings, store: Store) -> None:
        n = trial.times(test=0, short=2, long=MOST_OPEN + 8)
        self._trial = trial
        self._keys = []
        for number in range(n):
            TenantLifecycle(settings, store).create(f"crowd_{number}")
            self._keys.append(bearer(stored_key(store, "console", tenant=f"crowd_{number}")))

    def disturb(self, send: Send, seen: Seen) -> None:
        if self._keys and self._trial.choose.random() < 0.2:
            answer = send(get("/counts"), self._trial.choose.choice(self._keys))
            if answer.status != 200 or json.loads(answer.body)["items"]:
                seen.wrong.append(f"an empty tenant answers {answer.status} {answer.body[:200]!r}")


def step(trial: Trial, catalogues: list[Catalogue], examples: list[Prepared], send: Send, seen: Seen) -> None:
    """One random request of one random catalogue."""
    choose = trial.choose
    own = choose.choice(catalogues)
    acts: list[Act | str] = [
        put_item,
        put_item,
        delete_item,
        rate,
        rate,
        unrate,
        named,
        look,
        look,
        "search",
        "example",
    ]
    act = choose.choice(acts)
    is_search = act == "search"
    if isinstance(act, str):
        request = search(choose.choice(catalogues).canary) if is_search else choose.choice(examples)
    else:
        request = act(trial, own, choose.choice(ITEMS), choose.choice(USERS))
    answer = send(request, own.headers)
    seen.n_requests += 1
    place = f"{own.name or 'main'}: {request.method} {request.path} {answer.status}"
    if answer.status >= 500:
        seen.failures.append(f"{place} {answer.body[:200]!r}")
    held = answer.body + repr(answer.headers).encode()
    asked = f"{request.path} {request.body}"
    for other in catalogues:
        # What a request says may come back in its own answer.
        if other is not own and any(each.encode() in held and each not in asked for each in (other.canary, other.note)):
            seen.leaks.append(f"{place} has the canary of {other.name or 'main'}")
    if is_search and own.canary not in asked and json.loads(answer.body).get("items"):
        seen.leaks.append(f"{place} finds what another catalogue holds")
    check(own, request, answer, seen, place)


def check(own: Catalogue, request: Prepared, answer: Answer, seen: Seen, place: str) -> None:
    """Follow a write, and compare a read with what was written."""
    expected: Any = None
    if request.template == "PUT item" and answer.status in {200, 201}:
        own.items[request.path.rsplit("/", 1)[1]] = request.body["title"]
    elif request.template == "DELETE item" and answer.status == 204:
        item = request.path.rsplit("/", 1)[1]
        own.items.pop(item, None)
        own.ratings = {pair: value for pair, value in own.ratings.items() if pair[1] != item}
    elif request.template == "rate" and answer.status in {200, 201}:
        own.ratings[request.body["user_id"], request.body["item_id"]] = request.body["value"]
    elif request.template == "DELETE rating" and answer.status == 204:
        _, _, user, _, item = request.path.split("/")
        own.ratings.pop((user, item), None)
    elif request.template == "item":
        expected = own.items.get(request.path.rsplit("/", 1)[1])
        got = json.loads(answer.body)["title"] if answer.status == 200 else None
    elif request.template == "ratings":
        user = request.path.split("/")[2]
        expected = {item: value for (of, item), value in own.ratings.items() if of == user}
        stored = json.loads(answer.body).get("ratings", ())
        got = {each["item_id"]: each["value"] for each in stored if each["item_id"] in ITEMS}
    else:
        return
    if request.template in {"item", "ratings"} and got != expected:
        seen.wrong.append(f"{place}: {got}, not {expected}")


def put_item(trial: Trial, own: Catalogue, item: str, _user: str) -> Prepared:
    title = f"{own.canary} {trial.choose.randrange(1_000)}"
    body = {"title": title, "categories": [own.canary], "attributes": {own.canary: own.canary}}
    return request_of("PUT", f"/items/{item}", body, "PUT item")


def delete_item(_trial: Trial, _own: Catalogue, item: str, _user: str) -> Prepared:
    return request_of("DELETE", f"/items/{item}", None, "DELETE item")


def rate(trial: Trial, _own: Catalogue, item: str, user: str) -> Prepared:
    body = {"user_id": user, "item_id": item, "value": trial.choose.randrange(1, 6)}
    return request_of("POST", "/ratings", body, "rate")


def unrate(_trial: Trial, _own: Catalogue, item: str, user: str) -> Prepared:
    return request_of("DELETE", f"/users/{user}/ratings/{item}", None, "DELETE rating")


def named(trial: Trial, own: Catalogue, item: str, user: str) -> Prepared:
    """Writes names that hold the canary."""
    canary = own.canary
    event = {"event_id": f"{canary}-{user}-{item}", "type": "clicked", "user_id": user, "item_id": item}
    return trial.choose.choice(
        [
            request_of("PUT", f"/users/{canary}", {"attributes": {canary: canary}}),
            request_of("PUT", f"/users/{user}", {"attributes": {"of": canary}}),
            request_of("PUT", f"/event-types/{canary}", {"weight": 1}),
            request_of("PUT", f"/placements/{canary}", {"diversity": 0.1}),
            request_of(
                "POST", "/events", {"events": [event, event | {"type": canary, "event_id": f"{canary}-{user}"}]}
            ),
            request_of("POST", "/keys", {"scopes": ["console"], "note": own.note}),
            request_of("POST", "/training-jobs", {"seed": trial.choose.randrange(3)}),
            request_of("DELETE", f"/users/{canary}", None),
        ]
    )


def look(trial: Trial, own: Catalogue, item: str, user: str) -> Prepared:
    choices = [
        request_of("GET", f"/items/{item}", None, "item"),
        request_of("GET", f"/users/{user}/ratings?limit=100", None, "ratings"),
        *(
            request_of("GET", path, None)
            for path in (
                f"/users/{user}/recommendations?limit=20&fields=title,categories",
                f"/users/{quote(own.canary)}/recommendations?limit=20",
                f"/users/{user}/export",
                f"/users/{user}/home",
                f"/items/{item}/similar",
                "/charts/popular?fields=title",
                "/charts/trending",
                "/items?limit=50",
                "/users?limit=50",
                "/events?limit=50",
                "/event-types",
                "/placements",
                "/keys",
                "/counts",
                "/arrivals",
                "/imports",
                "/training-jobs/latest",
                "/snapshots",
            )
        ),
    ]
    return trial.choose.choice(choices)


def search(canary: str) -> Prepared:
    return request_of("POST", "/search", {"query": canary, "fields": ["title"]})


def request_of(method: str, path: str, body: object, template: str = "") -> Prepared:
    described: dict[str, Any] = {"security": []}
    if body is not None:
        described["requestBody"] = {"content": {"application/json": {}}}
    return Prepared(method, template or path, path, body, frozenset(), described)


def seconds_until_suspended(trial: Trial, store: Store, catalogues: list[Catalogue], send: Send) -> float:
    """Until 20 requests in a row are refused, which any process may answer; then the tenant is resumed."""
    own = trial.choose.choice(catalogues[1:])
    store.tenants.move(own.name, "suspended", among=["active"])
    since = time.monotonic()
    last_answered = since
    n_refused = 0
    while n_refused < 20 and time.monotonic() - since < 6 * REACH_SECONDS:
        answer = send(get("/counts"), own.headers)
        is_refused = answer.status == 403 and b"tenant-suspended" in answer.body
        n_refused = n_refused + 1 if is_refused else 0
        if not is_refused:
            last_answered = time.monotonic()
    store.tenants.move(own.name, "active", among=["suspended"])
    wait_until(lambda: all(send(get("/counts"), own.headers).status == 200 for _ in range(10)))
    return last_answered - since


def misplaced(folder: Path, catalogues: list[Catalogue]) -> Iterator[str]:
    """Files with the canary of a catalogue to which they do not belong."""
    for file in files_of(folder):
        parts = file.relative_to(folder).parts
        owner = parts[1] if parts[0] == "tenants" else ""
        if file.name == "stderr.log":
            continue  # line by line, see `is_misplaced_line`
        content = text_of(file)
        for each in catalogues:
            if each.name != owner and each.canary in content:
                yield f"{file.relative_to(folder)} has the canary of {each.name or 'main'}"


def is_misplaced_line(line: str, catalogues: list[Catalogue]) -> bool:
    """Whether a line of the log has the canary of a tenant that it does not name."""
    found = [each for each in catalogues if each.canary in line]
    return any(f'"tenant": "{each.name}"' not in line for each in found if each.name) or len(found) > 1


def files_of(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


def text_of(file: Path) -> str:
    return file.read_bytes().decode("latin-1")


Opened = tuple[Send, dict[str, Any]]


@contextmanager
def application(folder: Path, trained: list[Catalogue]) -> Iterator[Opened]:  # noqa: ARG001  without a worker
    """The service in this process; of the tenants only two are open at a time."""
    with (folder / "stderr.log").open("w") as log, redirect_stderr(log):
        app = create_app(Settings(data_dir=folder, log_format="json"))
        app.state.tenants.most_open = 2
        with TestClient(app, raise_server_exceptions=False) as client:

            def send(request: Prepared, headers: Mapping[str, str]) -> Answer:
                sent = headers_of(request, headers)
                answer = client.request(request.method, request.path, content=content_of(request), headers=sent)
                return Answer(answer.status_code, dict(answer.headers), answer.content)

            yield send, app.openapi()


@contextmanager
def processes(folder: Path, trained: list[Catalogue]) -> Iterator[Opened]:
    """Two API processes and one worker, which trains all catalogues before the first step."""
    instance = Instance(folder)
    for own in trained:
        ratings = write_ratings(folder.parent / f"{own.canary}.csv", seed=len(own.name))
        header, rows = ratings.read_text().split("\n", 1)
        ratings.write_text(header + "\n" + rows.replace(",i", f",{own.canary}-i"))
        options = ["--tenant", own.name] if own.name else []
        instance.run(*options, "import", str(ratings))
    with instance.serving("--processes", "2") as service:
        send = over_sockets(service.address)
        for own in trained:
            send(request_of("POST", "/training-jobs", {}), own.headers)
        wait_until(lambda: all(has_snapshot(send, own) for own in trained), 240)
        yield send, service.get("/openapi.json")


def has_snapshot(send: Send, own: Catalogue) -> bool:
    return bool(json.loads(send(get("/snapshots"), own.headers).body)["snapshots"])
