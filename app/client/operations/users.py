"""Users, by the caller's ids."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..call import Request, operation


@dataclass(frozen=True, slots=True)
class User:
    user_id: str
    country: str | None
    attributes: Mapping[str, Any]


class UserOperations:
    @operation("GET", "/users/{user_id}")
    def user(self, user_id: str) -> Request[User]:
        """A user; raises `NotFoundError` where nothing is known of them."""
        return Request(User, path={"user_id": user_id})

    @operation("PUT", "/users/{user_id}")
    def put_user(
        self, user_id: str, *, country: str | None = None, attributes: Mapping[str, Any] | None = None
    ) -> Request[User]:
        """Make or replace a user: what is left out becomes empty. Ratings are not touched."""
        return Request(User, path={"user_id": user_id}, body={"country": country, "attributes": attributes})

    @operation("DELETE", "/users/{user_id}")
    def delete_user(self, user_id: str) -> Request[None]:
        """Delete a user with all ratings; also where there is none."""
        return Request(type(None), path={"user_id": user_id})
