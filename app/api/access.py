"""What each operation needs of the key of its caller, declared beside its route and shown in the OpenAPI document.

    @router.get("/users/{user_id}/home", ..., openapi_extra=needs("recommendations:read", browser=True))

A route without a declaration cannot be made, so an operation that was forgotten is found when the program starts.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request

from app.api.problems import responses
from app.auth.errors import (
    ForbiddenError,
    MissingScopeError,
    OtherUserError,
    RateLimitedError,
    TenantSuspendedError,
    UnauthorizedError,
    UserTokenError,
)
from app.auth.key_ring import Caller
from app.auth.scopes import SCOPES, Scope
from app.errors import InvalidInputError
from app.texts import nfc

CREATOR = "created_by"
NAMING_FIELDS = frozenset({"fields", "filter", "boost"})
"""Parameters, of an address or a body, that name fields of items."""

SCHEME = "key"
IN_BROWSERS = "x-browser"
AUDITED = "x-audited"
OPEN: dict[str, Any] = {"security": []}
"""For `openapi_extra` of the few operations that need no key: they tell nothing of what is stored."""

SECURITY_SCHEMES = {
    SCHEME: {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, made by `reckon keys create`. Its scopes: "
        + "; ".join(f"`{scope}`: {meaning}" for scope, meaning in SCOPES.items())
        + ". A browser key also needs the header `X-User-Token`, see `POST /tokens`.",
    }
}


def needs(*scopes: Scope, browser: bool = False, audit: str | None = None) -> dict[str, Any]:
    """Return the `openapi_extra` of an operation that needs one of the scopes.

    `audit`: the name of the act in the audit log; None: it is no administrative one.

    `browser`: whether a browser key may call it, for the user of its token. Every `user_id` in the path, the query and
    the body must then be that user.
    """
    errors = {
        "no key, or one that is not valid": UnauthorizedError(),
        "the key has other scopes": MissingScopeError(scopes),
        "the key of a tenant that is suspended": TenantSuspendedError(),
        "the rate limit of the key": RateLimitedError("the limit of this API key is 100 per 1 second", 1),
    }
    if browser:
        errors |= {
            "a browser key without a user token": UserTokenError(),
            "a browser key, and another user than that of the token": OtherUserError(),
        }
    described = responses(401, 403, 429, errors=errors)
    return {
        "security": [{SCHEME: [scope]} for scope in scopes],
        "responses": {str(status): each for status, each in described.items()},
        **({IN_BROWSERS: True} if browser else {}),
        **({AUDITED: audit} if audit else {}),
    }


@dataclass(frozen=True, slots=True)
class Access:
    """What one operation needs. `scopes`: one of them; empty for an open operation. `audit`: as in `needs`."""

    scopes: frozenset[Scope]
    browser: bool
    audit: str | None

    @classmethod
    def declared(cls, operation: Mapping[str, Any] | None, name: str) -> "Access":
        """Read the declaration in an `openapi_extra`. Raises `TypeError` if there is none."""
        if operation is None or "security" not in operation:
            raise TypeError(f"{name} declares no scope: add openapi_extra=needs(...), see app/api/access.py")
        scopes = frozenset(scope for each in operation["security"] for scope in each[SCHEME])
        if unknown := scopes - SCOPES.keys():
            raise TypeError(f"{name} declares the unknown scope {min(unknown)}")
        return cls(scopes, operation.get(IN_BROWSERS, False), operation.get(AUDITED))

    def check(self, request: Request) -> str | None:
        """Return the only user whom the request may concern, and whom its body may name; None: any.

        Raises `UnauthorizedError`, or `ForbiddenError` if the key of the caller does not allow the request.
        """
        if not self.scopes:
            return None
        caller = caller_of(request)
        if caller.scopes.isdisjoint(self.scopes):
            raise MissingScopeError([scope for scope in SCOPES if scope in self.scopes])
        if caller.user_id is not None:
            if not self.browser:
                raise ForbiddenError("a browser key cannot call this operation")
            _check_address(request, caller.user_id)
        return caller.user_id


def caller_of(request: Request) -> Caller:
    """Return who makes the request. Raises `UnauthorizedError` for an open path that was called without a key."""
    caller: Caller | None = request.scope["state"].get("caller")
    if caller is None:
        raise UnauthorizedError
    return caller


def _check_fields(name: str, value: object) -> None:
    """Raises `ForbiddenError` if a browser key asks who made an item, be it by a filter: that is another user's id."""
    if name in NAMING_FIELDS and CREATOR in str(value).casefold():
        raise ForbiddenError(f"a browser key cannot name {CREATOR} in {name}: it is the id of another user")


def _check_address(request: Request, user_id: str) -> None:
    """Raises `OtherUserError` if the path or the query names another user, and as `_check_fields`."""
    query = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    for name, value in query:
        _check_fields(name, value)
    if any(name == "user_id" and nfc(value) != user_id for name, value in [*request.path_params.items(), *query]):
        raise OtherUserError


async def check_body(request: Request, user_id: str) -> None:
    """Raises `OtherUserError` if a field anywhere in the body names another user, and as `_check_fields`.

    The handler reads the body afterwards.
    """
    named: list[Any] = []

    def collect(pairs: list[tuple[str, Any]]) -> None:
        # Of a name that is given twice, both count, whichever the handler takes.
        for name, value in pairs:
            _check_fields(name, value)
            if name == "user_id":
                named.append(value)
            elif name == "user_ids":
                named.extend(value if isinstance(value, list) else [value])

    body = await request.body()
    if not body:
        return
    try:
        json.loads(body, object_pairs_hook=collect)
    except (ValueError, RecursionError):
        # Refused here: the parser of the handler might accept what this one does not.
        raise InvalidInputError("the body is not JSON", field="body") from None
    # An absent user may be written as null.
    if any(not isinstance(each, str) or nfc(each) != user_id for each in named if each is not None):
        raise OtherUserError


def operations_by_scope(operations: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, list[str]]:
    """Return the names of the operations that each scope allows; `""` for those that need none."""
    table: dict[str, list[str]] = {"": [], **{scope: [] for scope in SCOPES}}
    for name, operation in operations:
        scopes = [scope for each in operation["security"] for scope in each[SCHEME]]
        for scope in scopes or [""]:
            table[scope].append(name)
    return table
