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


@dataclass(frozen=True, slots=True)
class Merged:
    """`user`: as it is now. `ratings`, `events`: how many of the guest's are the user's now."""

    user: User
    ratings: int
    events: int


class UserOperations:
    @operation("GET", "/users/{user_id}")
    def user(self, user_id: str) -> Request[User]:
        """A user; raises `NotFoundError` where nothing is known of them."""
        return Request(User, path={"user_id": user_id})

    @operation("PUT", "/users/{user_id}")
    def put_user(
        self, user_id: str, *, country: str | None = None, attributes: Mapping[str, Any] | None = None
    ) -> Request[User]:
        """Make or replace a user: what is left out becomes empty. Ratings and events are not touched."""
        return Request(User, path={"user_id": user_id}, body={"country": country, "attributes": attributes})

    @operation("DELETE", "/users/{user_id}")
    def delete_user(self, user_id: str) -> Request[None]:
        """Delete a user with all ratings and events; also where there is none."""
        return Request(type(None), path={"user_id": user_id})

    # Not repeatable: the guest is gone afterwards, so a second one would be answered with `NotFoundError`.
    @operation("POST", "/users/{user_id}/merge/{guest_id}")
    def merge_guest(self, user_id: str, guest_id: str) -> Request[Merged]:
        """All that is known of a guest becomes the user's, and the guest is gone. The user need not exist."""
        return Request(Merged, path={"user_id": user_id, "guest_id": guest_id})
