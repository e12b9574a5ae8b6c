"""Finds out who makes a request, before anything of it is read but its headers. `app.api.access` says what for."""

from collections.abc import Callable, Collection, Mapping

import structlog
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import response_to
from app.auth.errors import UnauthorizedError, UserTokenError, WrongOriginError
from app.auth.key_ring import ANYONE, Caller, HeldKey, KeyRing
from app.auth.keys import id_of
from app.auth.rate_limits import RateLimits
from app.auth.refusals import ENDED, MADE_UP, Refusals
from app.auth.user_tokens import UserTokens
from app.errors import ReckonError
from app.store.audit import ANY_CALLER, AuditLog

log = structlog.get_logger()

BEARER = b"bearer "
USER_TOKEN = b"x-user-token"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
EXPOSED = ("ETag", "Idempotency-Replayed", "Location", "Retry-After", "X-Request-Id")


class Authentication:
    """ASGI middleware. Refuses every request without a valid key, but those of open paths, once a key exists.

    `open_paths`: need no key. `open_folder`: as a prefix of paths, likewise.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: KeyRing,
        limits: RateLimits,
        user_tokens: UserTokens,
        refusals: Refusals,
        audit: AuditLog,
        open_paths: Collection[str],
        open_folder: str,
    ) -> None:
        self._app = app
        self._keys = keys
        self._limits = limits
        self._user_tokens = user_tokens
        self._refusals = refusals
        self._audit = audit
        self._open_paths = frozenset(open_paths)
        self._open_folder = open_folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            state = scope.setdefault("state", {})
            path = scope["path"]
            if self._keys.is_open:
                state["caller"] = ANYONE
            elif path not in self._open_paths and not path.startswith(self._open_folder):
                try:
                    state["caller"] = await self._caller(scope)
                except ReckonError as error:
                    response = await response_to(Request(scope), error)
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)

    async def _caller(self, scope: Scope) -> Caller:
        text = token = None
        for name, value in scope["headers"]:
            if name == b"authorization" and value[: len(BEARER)].lower() == BEARER:
                text = value[len(BEARER) :].strip().decode("latin-1")
            elif name == USER_TOKEN:
                token = value.decode("latin-1")
        # A request without a key is no attempt to guess one.
        if text is None:
            raise UnauthorizedError
        address = scope["client"][0] if scope.get("client") else ""
        try:
            key = self._keys.find(text)
        except UnauthorizedError:
            key = await self._find_again(text, address)
        caller = key.caller
        if key.key.kind == "browser":
            if not _is_page_of(key.key.origins, dict(scope["headers"])):
                raise WrongOriginError
            caller = self._narrowed(key, token)
        if key.limit is not None:
            self._limits.count_request(key.limit, key.key.key_id, caller.user_id or "")
        return caller

    async def _find_again(self, text: str, address: str) -> HeldKey:
        # Of unknown keys alone: others may share the address, and a valid key is no guess.
        self._limits.check_failures(address)
        try:
            return await run_in_threadpool(self._keys.find_again, text)
        except UnauthorizedError:
            self._limits.count_failure(address)
            log.warning("authentication failed", peer=address)
            await self._record_refusal(id_of(text))
            raise

    async def _record_refusal(self, key_id: str | None) -> None:
        """`key_id`: as the key says. The address is left out: that of a visitor of a page is nothing to be kept."""
        kind = ENDED if self._keys.was_made(key_id) else MADE_UP
        entry = ANY_CALLER, "authenticate", key_id or "no key of this service", UnauthorizedError.type
        n_left_out = self._refusals.left_out_before(kind, *entry)
        if n_left_out is not None:
            await run_in_threadpool(self._audit.record_refusal, *entry, n_left_out=n_left_out)

    def _narrowed(self, key: HeldKey, token: str | None) -> Caller:
        if token is None:
            raise UserTokenError
        return self._user_tokens.narrowed(key.caller, token)


def _is_page_of(origins: Collection[str], headers: Mapping[bytes, bytes]) -> bool:
    """Whether a page of one of the origins sends the request; a page cannot change these headers.

    Browsers send no `Origin` with a GET to the page's own origin, but `Sec-Fetch-Site: same-origin`. The page is then
    of the name by which it calls the service, which `WebPages` has checked. A proxy may have ended TLS, so the schemes
    are not compared. Rejected: `Referer`, which pages can leave out, and which `Referrer-Policy` often does.
    """
    if b"origin" not in headers and headers.get(b"sec-fetch-site") == b"same-origin":
        host = headers.get(b"host", b"").decode("latin-1").lower()
        return any(origin.partition("://")[2] == host for origin in origins)
    return headers.get(b"origin", b"").decode("latin-1").lower() in origins


class Origins(CORSMiddleware):
    """Lets the pages of the allowed origins call the API: those of the settings, and those of browser keys.

    `of_keys`: returns the origins of the valid browser keys.
    """

    def __init__(self, app: ASGIApp, *, allowed: Collection[str], of_keys: Callable[[], Collection[str]]) -> None:
        # Without credentials: there are none, and with `*` they would open the API to every page a user visits.
        super().__init__(
            app, allow_origins=allowed, allow_methods=METHODS, allow_headers=("*",), expose_headers=EXPOSED
        )
        self._of_keys = of_keys

    def is_allowed_origin(self, origin: str) -> bool:
        return super().is_allowed_origin(origin) or origin in self._of_keys()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.allow_origins or self._of_keys():
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)
