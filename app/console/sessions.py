"""Finds out who uses the console and for which catalogue, before a page is made.

While no API key exists, the service is open and so is the console. Afterwards an operator logs in with a key of the
scope `console` (to look) or `admin` (to change), and the session cookie names the key. Its requests are those of the
key: they see its catalogue, and end when it is revoked.
"""

import time
from asyncio import Semaphore, wait_for
from collections.abc import Iterable
from urllib.parse import quote

import structlog
from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from app.auth.console_sessions import ConsoleSession, ConsoleSessions
from app.auth.errors import RateLimitedError, UnauthorizedError
from app.auth.key_ring import ANYONE, Caller
from app.console.rendering import problem_page
from app.console.resend import address_of, resend_page
from app.errors import OverloadedError, ReckonError, UnavailableError
from app.observability.request_ids import HEADER, accepted_or_new, current
from app.tenancy.open_services import OpenServices
from app.wiring import Control, Service

log = structlog.get_logger()

COOKIE = "reckon_session"
LOGIN, LOGOUT = "/console/login", "/console/logout"
STATIC = "/console/static/"
POLL = b"x-poll"
"""The header of a request that a page makes by itself, to show what is new."""

MAX_REQUESTS = 8
"""Of the console in progress in a process: its pages must not slow down the answers of the API."""

FILES, MAX_FILES = "/console/data/uploads", 4
"""Requests that receive a file or look through one take minutes. They have places of their own."""

WAIT_SECONDS = 10.0

HEADERS = (
    (b"cache-control", b"no-store"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)


class SessionEndedError(UnauthorizedError):
    title = "Your session has ended"

    def __init__(self) -> None:
        super().__init__("Nothing was changed. Log in at /console/login in a new tab, come back here and try again.")


class Sessions:
    """ASGI middleware. Sets `caller`, `session`, `service` and its `lease` in the state of the request.

    `image_hosts`: whose pictures the pages may show.
    """

    def __init__(
        self, app: ASGIApp, *, service: Service, control: Control, tenants: OpenServices, image_hosts: Iterable[str]
    ) -> None:
        self._app = app
        self._service = service
        self._keys, self._limits = control.keys, control.limits
        self._tenants = tenants
        self._sessions = ConsoleSessions(lambda: control.store.instance.token_key)
        self._places, self._file_places = Semaphore(MAX_REQUESTS), Semaphore(MAX_FILES)
        self._image_hosts = frozenset(image_hosts)
        self._policy = policy(self._image_hosts).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.setdefault("state", {})
        headers = dict(scope["headers"])
        state["request_id"] = accepted_or_new(headers.get(HEADER, b""))
        current.set(state["request_id"])
        state |= {"sessions": self._sessions, "image_hosts": self._image_hosts}
        # A page that renews itself shows nobody at work.
        session = self._sessions.read(Request(scope).cookies.get(COOKIE, ""), renews=POLL not in headers)
        is_free = scope["path"].startswith((STATIC, LOGIN, LOGOUT))
        caller, refusal = None, None
        try:
            caller = self._caller(session, counts=not is_free)
        except (RateLimitedError, UnavailableError) as error:
            refusal = error
        if caller is ANYONE and session is None:
            # Forms need a session, also where nobody logs in.
            session = self._sessions.start(None)
        state |= {"session": session, "caller": caller, "is_open": self._keys.is_open}

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message["headers"]}
                message["headers"] += [each for each in HEADERS if each[0] not in names]
                message["headers"] += [
                    (b"content-security-policy", self._policy),
                    (HEADER, state["request_id"].encode()),
                ]
                # Logging in and out set their own. A cache may keep files, and must not keep a session with them.
                sets_it = b"set-cookie" in names or scope["path"].startswith(STATIC)
                if session is not None and not sets_it and session.cookie != Request(scope).cookies.get(COOKIE):
                    message["headers"].append((b"set-cookie", cookie_of(session, scope).encode()))
            await send(message)

        if is_free:
            await self._app(scope, receive, send_guarded)
        elif refusal is not None:
            await problem_page(Request(scope), refusal)(scope, receive, send_guarded)
        elif caller is None:
            await (await login_first(Request(scope, receive)))(scope, receive, send_guarded)
        else:
            await self._for_caller(caller, scope, receive, send_guarded)

    def _caller(self, session: ConsoleSession | None, *, counts: bool) -> Caller | None:
        """None if the operator must log in. `counts`: whether the request counts towards the limit of the key.

        Raises `RateLimitedError`, and `UnavailableError` if the keys have not been read for too long.
        """
        if self._keys.is_open:
            return ANYONE
        if session is None or session.key_id is None:
            return None
        held = self._keys.get(session.key_id)
        if held is None or held.is_suspended:
            return None
        held.use.at = time.time()
        if counts and held.limit is not None:
            self._limits.count_request(held.limit, held.key.key_id, "")
        return held.caller

    async def _for_caller(self, caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
        lease = None
        places = self._file_places if scope["path"].startswith(FILES) else self._places
        try:
            await wait_for(places.acquire(), WAIT_SECONDS)
        except TimeoutError:
            await problem_page(Request(scope), OverloadedError())(scope, receive, send)
            return
        try:
            service = self._service
            if caller.tenant is not None:
                lease, service = await self._tenants.lease(caller.tenant)
            scope["state"] |= {"service": service, "lease": lease}
            with bound_contextvars(**({} if caller.tenant is None else {"tenant": caller.tenant})):
                await self._app(scope, receive, send)
        except ReckonError as error:  # of the lease: the pages answer their own
            await problem_page(Request(scope), error)(scope, receive, send)
        finally:
            if lease is not None:
                lease.give_back()
            places.release()


def policy(image_hosts: Iterable[str]) -> str:
    """The Content-Security-Policy of all pages: nothing but the files of this service, and pictures of the hosts."""
    images = " ".join(["'self'", "data:", *(f"https://{host}" for host in sorted(image_hosts))])
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src {images}; connect-src 'self';"
        " font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def cookie_of(session: ConsoleSession, scope: Scope) -> str:
    """The value of `Set-Cookie`. `Lax`: a link from elsewhere to a page opens it; a form from elsewhere sends none."""
    # A proxy ends TLS. A client that sends the header itself makes its own cookie stricter.
    is_secure = scope["scheme"] == "https" or dict(scope["headers"]).get(b"x-forwarded-proto") == b"https"
    secure = "; Secure" if is_secure else ""
    return f"{COOKIE}={session.cookie}; Path=/; HttpOnly; SameSite=Lax{secure}"


async def login_first(request: Request) -> Response:
    """To the page on which the operator logs in, and from there back to what was asked for.

    What the operator has typed is kept: a form comes back to be sent again, and a page that asks for a part of itself
    stays and says so.
    """
    if request.headers.get("hx-request"):
        # A redirect would be followed, and its page put into a part of this one.
        return problem_page(request, SessionEndedError())
    if request.method in {"GET", "HEAD"}:
        return RedirectResponse(f"{LOGIN}?next={quote(address_of(request))}", status_code=303)
    kept = await resend_page(request, is_logged_in=False, status=SessionEndedError.status)
    return kept or problem_page(request, SessionEndedError())
