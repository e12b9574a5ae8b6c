"""Users."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from app.entities import USER_DEFAULTS, Patch, User
from app.intake.rows import Body, DescribedAs
from app.intake.value_types import Attributes, AttributesPatch, Id, Name


class UserIn(Body):
    country: Name | None = Field(None, examples=["FI"])
    attributes: Attributes = Field(default_factory=dict, examples=[{"age": 31, "gender": "F"}])

    def to_entity(self, user_id: str) -> User:
        return User(user_id, self.country, dict(self.attributes))


class UserRowIn(UserIn):
    """A whole user in a batch."""

    user_id: Id

    def to_user(self) -> User:
        return self.to_entity(self.user_id)


class UserPatchIn(Body):
    """A JSON merge patch (RFC 7396): null clears a field or removes an attribute; what is not named stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"attributes": {"age": 32, "gender": None}}]})

    country: Name | None = Field(None, examples=["FI"])
    attributes: AttributesPatch | None = Field(None, examples=[{"age": 32, "gender": None}])

    def to_patch(self, user_id: str) -> Patch:
        given = {name: getattr(self, name) for name in self.model_fields_set}
        changed = given.pop("attributes", None) or {}
        # The default of `attributes` removes all of them.
        cleared = {name: USER_DEFAULTS[name] for name in self.model_fields_set if getattr(self, name) is None}
        return Patch(user_id, given | cleared, changed)


class UsersIn(Body):
    users: list[Annotated[Any, DescribedAs(UserRowIn)]] = Field(
        max_length=1_000,
        description="Up to 1,000 users, each with its `user_id` and the fields of `PUT /users/{user_id}`",
        examples=[[{"user_id": "1", "country": "FI", "attributes": {"age": 31}}]],
    )


class UserOut(BaseModel):
    user_id: str
    country: str | None
    attributes: dict[str, Any]

    @classmethod
    def from_user(cls, user: User) -> Self:
        return cls(user_id=user.user_id, country=user.country, attributes=user.attributes)


class UsersPage(BaseModel):
    users: list[UserOut]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last page")


class MergeOut(BaseModel):
    user: UserOut
    ratings: int = Field(description="Ratings and deletions of the guest that became the user's, being new or newer")
    events: int = Field(description="Events of the guest; all of them became the user's")

    @property
    def user_id(self) -> str:
        return self.user.user_id
