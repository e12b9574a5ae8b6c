"""Keys and tokens are sent in every place of requests, and errors are provoked: nothing that is kept may hold one.

Searched are the log, the metrics, the database and its write-ahead log, all answers, and core files. What a request
puts into its own address or body may come back in its own answer; it must not be kept either.
"""

import os
import resource
import signal
import socket
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.auth.keys import new_text
from app.main import create_app
from app.settings import Settings
from app.store import Store, migrate
from faults.credentials import Credentials
from faults.requests_by_credential import Prepared, Send, get, in_process, over_sockets, prepared
from faults.trial import Figure, Trial
from tests.support.keys import SHOP, bearer
from tests.support.service import ROOT, Instance

HEADERS = (
    "authorization",
    "cookie",
    "x-api-key",
    "x-user-token",
    "origin",
    "user-agent",
    "content-type",
    "if-none-match",
)


@dataclass(frozen=True, slots=True)
class Canary:
    """`secret`: the part of `text` that must appear nowhere."""

    text: str
    secret: bytes

    @classmethod
    def of(cls, text: str) -> "Canary":
        # The id of a key is public. Of the rest, a part is enough to find it, also where it was cut or folded.
        return cls(text, text[20:50].encode())


def run(trial: Trial) -> Iterator[Figure]:
    folder = trial.fresh_folder("data")
    migrate("", folder)
    store = Store.open("", folder)
    keys = Credentials(store)
    store.close()
    admin = keys.by_scope["admin"]
    canaries = [Canary.of(text) for text in (admin, keys.page, keys.revoked, new_text("secret"), keys.token("1"))]
    opened = application if trial.size == "test" else processes
    n_asked, n_echoed, statuses = 0, 0, set()
    with opened(folder) as (send, document, crash):
        for request, headers, is_echo in [*placed(trial, document, canaries), *broken(canaries)]:
            if request.template.startswith("/placements"):
                break_table(folder)
            answer = send(request, headers)
            n_asked += 1
            statuses.add(answer.status)
            held = answer.body + repr(answer.headers).encode()
            n_echoed += not is_echo and any(canary.secret in held for canary in canaries)
        metrics = send(get("/metrics"), bearer(admin)).body
        cores_before = set(cores())
        crash()
    kept = {"metrics": metrics} | {str(file): file.read_bytes() for file in files_of(folder)}
    hits = sorted(name for name, content in kept.items() if any(each.secret in content for each in canaries))
    has_logs = b"authentication failed" in (folder / "stderr.log").read_bytes()
    n_bytes = sum(map(len, kept.values()))
    yield Figure(
        "planted keys and tokens found in what is kept",
        "0",
        f"{len(hits)} in {n_bytes:,} bytes after {n_asked:,} requests (statuses {sorted(statuses)}) {hits[:2]}",
        is_reached=not hits and has_logs and {200, 401, 403, 404, 405, 422, 500} <= statuses,
    )
    yield Figure(
        "answers that hold a key from a header or a query", "0", f"{n_echoed} of {n_asked:,}", is_reached=n_echoed == 0
    )
    left = set(cores()) - cores_before
    yield Figure("core files of a process that was aborted", "0", str(len(left)), is_reached=not left)


def placed(
    trial: Trial, document: Mapping[str, Any], canaries: list[Canary]
) -> Iterator[tuple[Prepared, Mapping[str, str], bool]]:
    """Requests with a canary in each place, and whether the answer may hold it."""
    operations = [each for each in prepared(document) if not each.template.startswith("/placements")]
    chosen = trial.choose.sample(operations, trial.times(test=6, short=len(operations), long=len(operations)))
    admin, page, token = bearer(canaries[0].text), bearer(canaries[1].text), {"x-user-token": canaries[4].text}
    for _ in range(trial.times(test=1, short=1, long=20)):
        for request in chosen:
            yield request, admin, False
            yield request, page | token | {"origin": SHOP}, False
        for canary in canaries:
            text = canary.text
            for name in HEADERS:
                yield get("/items"), {name: text}, False
                yield get("/counts"), {name: text} | admin, False
            yield get("/counts"), bearer(text + "x"), False
            yield get("/counts", api_key=text), admin, False
            yield get("/items", cursor=text), admin, False
            yield get(f"/nope/{text}"), admin, True
            yield get(f"/users/{text}"), admin, True
            yield sent("POST", "/livez", {}), admin, False
            for path in ("/keys", "/tokens", "/ratings", "/training-jobs"):
                yield sent("POST", path, {"api_key": text}), admin, True
                yield sent("POST", path, text), admin, True


def broken(canaries: list[Canary]) -> Iterator[tuple[Prepared, Mapping[str, str], bool]]:
    """Requests that end with an internal error once the table of placements refuses rows."""
    for canary in canaries:
        headers = bearer(canaries[0].text) | {"cookie": canary.text}
        yield sent("PUT", "/placements/home", {"novelty": 1}), headers, False
        yield sent("PUT", f"/placements/{canary.text}", {"novelty": 1}), headers, True


def sent(method: str, path: str, body: object) -> Prepared:
    described: dict[str, Any] = {"requestBody": {"content": {"application/json": {}}}}
    return Prepared(method, path, path, body, frozenset(), described)


def break_table(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "reckon.db")) as connection:
        refusal = "BEGIN SELECT RAISE(ABORT, 'refused'); END"
        connection.execute(f"CREATE TRIGGER IF NOT EXISTS refused BEFORE INSERT ON placements {refusal}")


def files_of(folder: Path) -> list[Path]:
    """All that the service has written: its folder, and the metrics that its processes share."""
    shared = Path(tempfile.gettempdir()).glob("reckon-metrics-*/*")
    return [file for file in [*folder.rglob("*"), *shared] if file.is_file()]


def cores() -> Iterator[Path]:
    return ROOT.glob("core*")


@contextmanager
def application(folder: Path) -> Iterator[tuple[Send, dict[str, Any], Callable[[], None]]]:
    """The service in this process, which is not aborted."""
    with (folder / "stderr.log").open("w") as log, redirect_stderr(log):
        app = create_app(Settings(data_dir=folder, log_format="json"))
        try:
            with in_process(app) as send:
                yield send, app.openapi(), lambda: None
        finally:
            app.state.service.store.close()


@contextmanager
def processes(folder: Path) -> Iterator[tuple[Send, dict[str, Any], Callable[[], None]]]:
    """Real processes, in a shell that allows core files of any size."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        with Instance(folder).serving("--no-worker", "--processes", "2") as service:

            def crash() -> None:
                for pid in service.children():
                    os.kill(pid, signal.SIGABRT)
                time.sleep(1)

            send_garbage(service.address)
            yield over_sockets(service.address), service.get("/openapi.json"), crash
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


def send_garbage(base: str) -> None:
    """What is no HTTP, with a key in it."""
    for text in (new_text("secret"), f"GET /{new_text('secret')} HTTP/9\r\n\r\n"):
        with socket.create_connection((str(urlsplit(base).hostname), urlsplit(base).port or 80), timeout=10) as plain:
            plain.sendall(text.encode() + b"\r\n\r\n")
            plain.recv(1_000)
