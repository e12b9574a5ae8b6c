"""API keys and user tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from ..call import Request, operation

ScopeName = Literal["recommendations:read", "ratings:write", "catalogue:write", "training", "console", "admin"]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is stored of a key. `origins`: of the pages that may use a browser key; empty for a secret one."""

    key_id: str
    kind: Literal["secret", "browser"]
    scopes: tuple[ScopeName, ...]
    origins: tuple[str, ...]
    note: str
    rate_limit: str | None
    is_valid: bool
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewApiKey(ApiKey):
    """A new key with its `key`, which is answered once."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """All keys, oldest first; iterates over them."""

    keys: tuple[ApiKey, ...]

    def __iter__(self) -> Iterator[ApiKey]:
        return iter(self.keys)


@dataclass(frozen=True, slots=True)
class UserToken:
    """For the pages of one user: `user_token` goes into the header `X-User-Token`, beside a browser key."""

    user_token: str = field(repr=False)
    expires_at: datetime


class KeyOperations:
    @operation("GET", "/keys")
    def keys(self) -> Request[ApiKeys]:
        """What is stored of all keys."""
        return Request(ApiKeys)

    # The service keeps no answer that holds a secret, so a second request would make a second key.
    @operation("POST", "/keys", is_repeatable=False)
    def create_key(
        self,
        *,
        scopes: Sequence[ScopeName],
        note: str | None = None,
        expires_in: int | None = None,
        rate_limit: str | None = None,
        origins: Sequence[str] | None = None,
    ) -> Request[NewApiKey]:
        """Make a key. `expires_in`: seconds; None: it never ends. With `origins` it is a browser key."""
        body = {
            "scopes": list(scopes),
            "note": note,
            "expires_in": expires_in,
            "rate_limit": rate_limit,
            "origins": None if origins is None else list(origins),
        }
        return Request(NewApiKey, body=body)

    @operation("DELETE", "/keys/{key_id}")
    def revoke_key(self, key_id: str) -> Request[None]:
        """End a key. Raises `NotFoundError` where there is none."""
        return Request(type(None), path={"key_id": key_id})

    # Nothing is stored.
    @operation("POST", "/tokens", changes=False)
    def user_token(self, user_id: str, *, expires_in: int | None = None) -> Request[UserToken]:
        """A token with which a page may ask for this user. `expires_in`: seconds, by default an hour."""
        return Request(UserToken, body={"user_id": user_id, "expires_in": expires_in})
