"""Keeps web pages from using the service with the network of their visitor, and browsers from misusing its answers.

A page that a user visits can send requests to every address that the browser can reach, such as a service on the same
machine. It needs no permission for a simple request, whose answer it cannot read but whose effect stays. Three checks
refuse such requests:

- **Host**: a page can let its own name resolve to the address of the service (DNS rebinding), and is then of the same
  origin as the service. Its requests carry that name. So the header must be an address, a name without a dot, which
  has no public DNS, a name of this machine, or one of `RECKON_ALLOWED_HOSTS`.
- **Origin** and **Sec-Fetch-Site**, which a page cannot change: a request that is not a GET must come from no page, a
  page of the service itself, a page of `RECKON_CORS_ORIGINS`, or a page of a browser key's origin.
- **Content-Type**, see `app.api.routing.StrictRoute`.

Rejected alternative: tokens in forms. Both headers are sent by every browser of the last years, and the callers of an
API have no forms.
"""

from collections.abc import Callable, Collection, Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import response_to
from app.errors import ReckonError
from app.settings import ANY_HOST, ANY_ORIGIN

MAX_REMEMBERED_HOSTS = 100

READING = frozenset({"GET", "HEAD", "OPTIONS"})
SAME_ORIGIN = frozenset({b"same-origin", b"none"})
"""Values of Sec-Fetch-Site: a page of the service itself, and no page (a bookmark, the address bar)."""

HEADERS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
"""Of every answer: a browser must not guess another content type, nor tell other sites the ids in an address."""


class HostNotAllowedError(ReckonError):
    type = "host-not-allowed"
    title = "The service is not known by this name"
    status = 421

    def __init__(self) -> None:
        super().__init__("the header `Host` must be given once, with an address or a name of RECKON_ALLOWED_HOSTS")


class CrossSiteRequestError(ReckonError):
    type = "cross-site-request"
    title = "Pages of other sites may not do this"
    status = 403

    def __init__(self) -> None:
        super().__init__("only pages of an origin of RECKON_CORS_ORIGINS may send anything but GET")


class WebPages:
    """ASGI middleware.

    `hosts`: `*` allows any, `.example.com` all names below. `origins`: `*` allows any. `of_keys`: returns the origins
    of the valid browser keys, which are allowed as well.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: Collection[str], origins: Collection[str], of_keys: Callable[[], Collection[str]]
    ) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)
        self._of_keys = of_keys
        # Parsing a host takes longer than the other work of this class, and a service is called by few names.
        self._allowed_hosts: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += HEADERS
            await send(message)

        refusal = self._refusal_of(scope)
        if refusal is None:
            await self._app(scope, receive, send_guarded)
        else:
            response = await response_to(Request(scope), refusal)
            await response(scope, receive, send_guarded)

    def _refusal_of(self, scope: Scope) -> ReckonError | None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        # Only HTTP/1.0, which no browser speaks, allows a request without the header.
        is_named = len(hosts) == 1 or (not hosts and scope["http_version"] == "1.0")
        if not is_named or not all(map(self._is_allowed, hosts)):
            return HostNotAllowedError()
        if scope["method"] not in READING and not self._is_from_allowed_page(scope["headers"], hosts):
            return CrossSiteRequestError()
        return None

    def _is_allowed(self, host: bytes) -> bool:
        if host in self._allowed_hosts:
            return True
        is_allowed = ANY_HOST in self._hosts or is_allowed_host(host.decode("latin-1"), self._hosts)
        if is_allowed and len(self._allowed_hosts) < MAX_REMEMBERED_HOSTS:
            self._allowed_hosts.add(host)
        return is_allowed

    def _is_from_allowed_page(self, headers: Iterable[tuple[bytes, bytes]], hosts: Iterable[bytes]) -> bool:
        site = origin = None
        for name, value in headers:
            if name == b"sec-fetch-site":
                site = value
            elif name == b"origin":
                origin = value.lower()
        if origin is not None and self._allows(origin.decode("latin-1")):
            return True
        if site is not None:
            return site in SAME_ORIGIN
        # Without either header, no browser sent this. A proxy may have ended TLS, so the schemes are not compared.
        return origin is None or origin.partition(b"://")[2] in {host.lower() for host in hosts}

    def _allows(self, origin: str) -> bool:
        return ANY_ORIGIN in self._origins or origin in self._origins or origin in self._of_keys()


def is_allowed_host(text: str, hosts: Collection[str]) -> bool:
    """Whether a page elsewhere cannot give this name to itself, or it is one of `hosts`."""
    try:
        parts = urlsplit(f"//{text}")
        name, _ = parts.hostname, parts.port
    except ValueError:
        return False
    # Anything else than a host and a port in the header is an attempt to be read in two ways.
    if not name or parts.path or parts.query or parts.fragment or "@" in text:
        return False
    if name in hosts or any(each.startswith(".") and name.endswith(each) for each in hosts):
        return True
    return "." not in name or name.endswith(".localhost") or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
