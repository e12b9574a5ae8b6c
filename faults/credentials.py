"""Every operation is called with every kind of credential: each answer must be what its declaration promises."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.auth.key_ring import KeyRing
from app.auth.keys import new_text
from app.auth.scopes import ALL_SCOPES
from app.auth.user_tokens import UserTokens
from app.entities import Item, User
from app.main import create_app
from app.settings import Settings
from app.store import Store, migrate
from app.tenancy.lifecycle import TenantLifecycle
from faults.requests_by_credential import Answer, Prepared, Send, in_process, over_sockets, prepared
from faults.trial import Figure, Trial
from tests.support.events import happened
from tests.support.keys import SHOP, bearer, made_key, stored_key
from tests.support.ratings import incoming
from tests.support.service import Instance

READ, WRITE = "recommendations:read", "ratings:write"
CANARY = "of-the-main-catalogue"


OF_THE_DEPLOYMENT = {"/metrics", "/processes"}
"""What is of all catalogues together needs a key of the main one."""


def run(trial: Trial) -> Iterator[Figure]:
    n_asked, wrong, refusals = 0, [], set()
    with opened(trial) as (keys, send, document):
        requests = list(prepared(document))
        n_chosen = trial.times(test=15, short=len(requests), long=len(requests))
        chosen = trial.choose.sample(requests, n_chosen)
        # First: the main catalogue is as it was filled.
        yield with_the_key_of_another_tenant(keys, send, chosen)
        for request in chosen:
            for kind, headers, expected in keys.of(request):
                answer = send(request, headers)
                n_asked += 1
                if not is_as(answer, expected):
                    wrong.append(f"{request.method} {request.template} {kind}: {answer.status}, not {expected}")
                if kind in {"none", "unknown", "wrong secret", "revoked", "expired"} and expected == "401":
                    refusals.add(refusal(answer))
    seen = f"{len(wrong)} of {n_asked:,} requests for {n_chosen} operations" + "".join(
        f"; {each}" for each in wrong[:3]
    )
    yield Figure("operations x credentials: wrong answers", "0", seen, is_reached=not wrong and n_asked > 15 * n_chosen)
    yield Figure("different answers to keys that are not valid", "1", str(len(refusals)), is_reached=len(refusals) == 1)


def with_the_key_of_another_tenant(keys: "Credentials", send: Send, requests: Sequence[Prepared]) -> Figure:
    """It may do everything, in its own catalogue alone. Both have the ids that the requests name."""
    before, wrong = keys.contents_of_main(), []
    for request in requests:
        answer = send(request, bearer(keys.of_other_tenant))
        expected = "403" if request.template in OF_THE_DEPLOYMENT else "let in"
        if not is_as(answer, expected):
            wrong.append(f"{request.method} {request.template}: {answer.status}, not {expected}")
        if CANARY.encode() in answer.body:
            wrong.append(f"{request.method} {request.template}: what the main catalogue holds")
    if keys.contents_of_main() != before:
        wrong.append("the main catalogue has changed")
    seen = f"{len(wrong)} of {len(requests)}" + "".join(f"; {each}" for each in wrong[:3])
    return Figure("operations with the key of another tenant: wrong, or beyond it", "0", seen, is_reached=not wrong)


def is_as(answer: Answer, expected: str) -> bool:
    """`expected`: a status, or `let in`: whatever the operation itself answers, but no failure of the service."""
    if expected == "let in":
        return answer.status not in {401, 403, 429} and answer.status < 500
    return answer.status == int(expected)


def refusal(answer: Answer) -> tuple[object, ...]:
    """All of the answer but what differs between any two: the request id and the date."""
    request_id = answer.headers["x-request-id"]
    headers = {name: text for name, text in answer.headers.items() if name not in {"x-request-id", "date"}}
    return answer.status, answer.body.replace(request_id.encode(), b""), tuple(sorted(headers.items()))


class Credentials:
    """One key of each kind. `store`: of the main catalogue, which is filled."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.items.record([Item("318", title=CANARY), Item("1", title=CANARY)])
        store.users.record([User("1", None, {"note": CANARY}), User("610", None, {"note": CANARY})])
        store.ratings.record(incoming(("1", "318", 4.0), ("1", CANARY, 5.0)))
        store.events.record(happened(("e-1", "clicked", "1", "318", 1)))
        for name in ("other", "closed"):
            store.tenants.begin(name)
            store.tenants.move(name, "active", among=["creating"])
        self.of_other_tenant = stored_key(store, "admin", tenant="other")
        self.of_suspended = stored_key(store, "admin", tenant="closed")
        store.tenants.move("closed", "suspended", among=["active"])
        self.by_scope = {scope: stored_key(store, scope) for scope in sorted(ALL_SCOPES)}
        # Without a limit of requests that a fast machine reaches.
        self.page = stored_key(store, READ, WRITE, origins=[SHOP], rate_limit="100000/second")
        self.backend = stored_key(store, READ, WRITE)
        self.revoked = stored_key(store, "admin")
        store.api_keys.revoke(self.revoked[3:15])
        self.expired, key = made_key("admin")
        store.api_keys.add(replace(key, expires_at=datetime.now(UTC) - timedelta(seconds=1)))
        ring = KeyRing(store.api_keys)
        self.tokens = UserTokens(lambda: store.instance.token_key, ring)
        held = ring.get(self.backend[3:15])
        if held is None:
            raise RuntimeError("the key that was just made is not valid")
        self.caller = held.caller

    def of(self, request: Prepared) -> Iterator[tuple[str, dict[str, str], str]]:
        """The kind of each credential, its headers, and what the request must be answered."""
        is_open = not request.scopes
        admin = self.by_scope["admin"]
        wrong_secret = admin[:20] + ("a" if admin[20] != "a" else "b") + admin[21:]
        for kind, text in {
            "unknown": new_text("secret"),
            "wrong secret": wrong_secret,
            "revoked": self.revoked,
            "expired": self.expired,
        }.items():
            yield kind, bearer(text), "let in" if is_open else "401"
        yield "key of a suspended tenant", bearer(self.of_suspended), closed(is_open, "403")
        yield "none", {}, "let in" if is_open else "401"
        yield "in the scheme Basic", {"authorization": f"Basic {admin}"}, "let in" if is_open else "401"
        for scope, text in self.by_scope.items():
            allows = is_open or scope in request.scopes or scope == "admin"
            yield f"scope {scope}", bearer(text), "let in" if allows else "403"
        yield from self.of_page(request)

    def of_page(self, request: Prepared) -> Iterator[tuple[str, dict[str, str], str]]:
        is_open = not request.scopes
        is_allowed = is_open or bool(request.operation.get("x-browser"))
        own = min(request.users, default="1")
        page = bearer(self.page) | {"origin": SHOP}
        token = {"x-user-token": self.token(own)}
        other = {"x-user-token": self.token("somebody-else")}
        yield "page", page | token, "let in" if is_allowed else "403"
        yield "page of another origin", page | token | {"origin": "https://evil.example.com"}, closed(is_open, "403")
        yield "no page", bearer(self.page) | token, closed(is_open, "403")
        yield "page without a token", page, closed(is_open, "401")
        yield (
            "page with a forged token",
            page | {"x-user-token": token["x-user-token"][:-2] + "AA"},
            closed(is_open, "401"),
        )
        yield "page with an old token", page | {"x-user-token": self.token(own, -1)}, closed(is_open, "401")
        if request.users or not is_allowed:
            yield "page of another user", page | other, closed(is_open, "403")

    def contents_of_main(self) -> tuple[object, ...]:
        store = self._store
        listed = store.items.stream(), store.users.stream(), store.events.stream()
        rated = [(each.user_id, each.item_id, each.value.tolist()) for each in store.ratings.stream()]
        own_keys = [(key.key_id, key.revoked_at) for key in store.api_keys.read().keys if key.tenant is None]
        return *map(list, listed), rated, own_keys, store.placements.read(), store.jobs.latest(), store.events.types()

    def token(self, user_id: str, seconds: int = 600) -> str:
        return self.tokens.make(self.caller, user_id, seconds)[0]


def closed(is_open: bool, status: str) -> str:
    return "let in" if is_open else status


@contextmanager
def opened(trial: Trial) -> Iterator[tuple[Credentials, Send, dict[str, Any]]]:
    """The service: real processes, but in `make test`."""
    folder = trial.fresh_folder("data")
    migrate("", folder)
    store = Store.open("", folder)
    keys = Credentials(store)
    TenantLifecycle(Settings(data_dir=folder), store).migrate("other")
    app = create_app(Settings(data_dir=folder))
    try:
        if trial.size == "test":
            with in_process(app) as send:
                yield keys, send, app.openapi()
            return
        with Instance(folder).serving("--no-worker", "--processes", "2") as service:
            yield keys, over_sockets(service.address), app.openapi()
    finally:
        app.state.service.store.close()
        store.close()
