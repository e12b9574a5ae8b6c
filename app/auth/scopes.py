"""What a key allows. Every operation of the API declares the scopes of which it needs one (`app.api.access.needs`)."""

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from app.errors import InvalidInputError

Scope = Literal["recommendations:read", "ratings:write", "catalogue:write", "training", "console", "admin"]

SCOPES: Mapping[Scope, str] = {
    "recommendations:read": "make lists, and read the catalogue; of what users rated, only what explains a list",
    "ratings:write": "write ratings, events and users, and read what is stored of one user",
    "catalogue:write": "write items, placements and event types",
    "training": "request and cancel training, and activate snapshots",
    "console": "read all that an operator sees: users, events, counts, jobs, placements, metrics",
    "admin": "list, create and revoke keys; includes every other scope",
}
ALL_SCOPES: frozenset[Scope] = frozenset(get_args(Scope))
OF_USERS: frozenset[Scope] = frozenset({"recommendations:read", "ratings:write"})
"""What a user token may allow: the lists of its user, and ratings and events of this user."""


def parse_scopes(names: Iterable[str]) -> tuple[Scope, ...]:
    """Return the scopes in the order of `SCOPES`. Raises `InvalidInputError` for none, or an unknown one."""
    given = set(names)
    if unknown := given - ALL_SCOPES:
        raise InvalidInputError(f"there is no scope {min(unknown)!r}; there are: {', '.join(SCOPES)}", field="scopes")
    if not given:
        raise InvalidInputError(f"a key needs a scope: {', '.join(SCOPES)}", field="scopes")
    return tuple(scope for scope in SCOPES if scope in given)


def granted(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Return the scopes with those that they include."""
    held = frozenset(scopes)
    return ALL_SCOPES if "admin" in held else held
