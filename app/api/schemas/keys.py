"""API keys and user tokens."""

from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import BaseModel, Field

from app.auth.keys import KEY_EXAMPLE, LONGEST_LIFETIME, MAX_NOTE, ApiKey, KeyKind
from app.auth.scopes import Scope
from app.auth.user_tokens import MAX_SECONDS
from app.intake.rows import Body
from app.intake.value_types import Id, Text
from app.texts import ORIGIN_PATTERN

EXAMPLE_SCOPES = ["recommendations:read", "ratings:write"]
RateLimit = Annotated[Text, Field(max_length=50)]


class KeyIn(Body):
    scopes: list[Scope] = Field(
        min_length=1, max_length=6, description="What the key allows", examples=[EXAMPLE_SCOPES]
    )
    note: Text = Field(
        "", max_length=MAX_NOTE, description="Whose key it is, and what for", examples=["shop backend of Ann"]
    )
    expires_in: Annotated[int, Field(strict=True, ge=1, le=LONGEST_LIFETIME.days * 86_400)] | None = Field(
        None, description="Seconds until the key ends; absent: never", examples=[7_776_000]
    )
    rate_limit: RateLimit | None = Field(
        None,
        description="Requests allowed; absent: no limit, and `20/second` for each user of a browser key",
        examples=["100/second"],
    )
    origins: list[Annotated[Text, Field(pattern=ORIGIN_PATTERN, json_schema_extra={"pattern": ORIGIN_PATTERN})]] = (
        Field(
            default_factory=list,
            max_length=20,
            description="Makes a browser key for the pages of these origins, such as `https://shop.example.com`",
            examples=[[]],
        )
    )


class KeyOut(BaseModel):
    """What is stored of a key; the key itself is not."""

    key_id: str = Field(examples=["4f1d09c2ab77"])
    kind: KeyKind = Field(examples=["secret"])
    scopes: list[Scope] = Field(examples=[EXAMPLE_SCOPES])
    origins: list[str] = Field(examples=[[]])
    note: str = Field(examples=["shop backend of Ann"])
    rate_limit: str | None = Field(examples=["100/second"])
    is_valid: bool = Field(description="Neither revoked nor expired", examples=[True])
    created_at: datetime
    expires_at: datetime | None = Field(examples=["2027-03-01T20:15:00Z"])
    revoked_at: datetime | None = Field(examples=[None])
    last_used_at: datetime | None = Field(
        description="Stored about once a minute; null: not used yet", examples=["2026-03-01T20:15:00Z"]
    )

    @classmethod
    def from_key(cls, stored: ApiKey, **others: str) -> Self:
        names = cls.model_fields.keys() - {"is_valid"} - others.keys()
        values = {name: getattr(stored, name) for name in names}
        return cls(is_valid=stored.is_valid(datetime.now(UTC)), **values, **others)


class NewKeyOut(KeyOut):
    """A new key, and what is stored of it."""

    key: str = Field(description="The key: it is shown once", examples=[KEY_EXAMPLE], repr=False)


class KeysOut(BaseModel):
    keys: list[KeyOut] = Field(description="Oldest first, with those that are not valid any more")


class UserTokenIn(Body):
    user_id: Id
    expires_in: Annotated[int, Field(strict=True, ge=1, le=MAX_SECONDS)] = Field(
        3_600, description="Seconds until the token ends", examples=[3_600]
    )


class UserTokenOut(BaseModel):
    user_token: str = Field(
        description="For the header `X-User-Token` of requests with a browser key",
        examples=["ut_AAAAAGnFZ..."],
        repr=False,
    )
    expires_at: datetime = Field(examples=["2026-03-01T21:15:00Z"])
