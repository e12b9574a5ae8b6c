"""Items."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field

from app.api.schemas.body import Body
from app.api.types import Attributes, Category, Id, Moment, Name
from app.entities import Item


class ItemIn(Body):
    title: Name | None = Field(None, examples=["Star Wars"])
    categories: list[Category] = Field(default_factory=list, max_length=50, examples=[["Action", "Sci-Fi"]])
    year: Annotated[int, Field(strict=True, ge=-10_000, le=10_000)] | None = Field(None, examples=[1977])
    attributes: Attributes = Field(default_factory=dict, examples=[{"minutes": 121, "languages": ["en"]}])
    is_available: bool = Field(True, strict=True)
    available_until: Moment | None = None
    created_by: Id | None = Field(None, description="The user who made it")
    added_at: Moment | None = None

    def to_entity(self, item_id: str) -> Item:
        return Item(
            item_id=item_id,
            title=self.title,
            categories=tuple(dict.fromkeys(self.categories)),
            year=self.year,
            attributes=dict(self.attributes),
            is_available=self.is_available,
            available_until=self.available_until,
            created_by=self.created_by,
            added_at=self.added_at,
        )


class ItemOut(BaseModel):
    item_id: str = Field(examples=["260"])
    title: str | None = Field(description="Null for an item known only from ratings")
    categories: list[str]
    year: int | None
    attributes: dict[str, Any]
    is_available: bool
    available_until: datetime | None
    created_by: str | None
    added_at: datetime | None

    @classmethod
    def of(cls, item: Item) -> Self:
        return cls(
            item_id=item.item_id,
            title=item.title,
            categories=list(item.categories),
            year=item.year,
            attributes=item.attributes,
            is_available=item.is_available,
            available_until=item.available_until,
            created_by=item.created_by,
            added_at=item.added_at,
        )


class ItemsPage(BaseModel):
    items: list[ItemOut]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last")
