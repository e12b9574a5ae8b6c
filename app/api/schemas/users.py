"""Users."""

from typing import Any, Self

from pydantic import BaseModel, Field

from app.api.schemas.body import Body
from app.api.types import Attributes, Name
from app.entities import User


class UserIn(Body):
    country: Name | None = Field(None, examples=["FI"])
    attributes: Attributes = Field(default_factory=dict, examples=[{"age": 31, "gender": "F"}])

    def to_entity(self, user_id: str) -> User:
        return User(user_id, self.country, dict(self.attributes))


class UserOut(BaseModel):
    user_id: str = Field(examples=["ann"])
    country: str | None
    attributes: dict[str, Any]

    @classmethod
    def from_user(cls, user: User) -> Self:
        return cls(user_id=user.user_id, country=user.country, attributes=user.attributes)


class MergeOut(BaseModel):
    user: UserOut
    ratings: int = Field(description="Ratings and deletions of the guest that became the user's, being new or newer")
    events: int = Field(description="Events of the guest; all of them became the user's")
