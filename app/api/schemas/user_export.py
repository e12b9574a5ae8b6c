"""Everything that is stored of a user."""

from datetime import datetime

from pydantic import BaseModel, Field

from app.api.schemas.events import EventOut
from app.api.schemas.users import UserOut


class RatingExportOut(BaseModel):
    item_id: str
    value: float | None = Field(description="Null for a rating that was deleted at `rated_at`")
    rated_at: datetime | None = Field(description="Null where it is not known")


class MergedGuestOut(BaseModel):
    guest_id: str
    merged_at: datetime = Field(examples=["2024-03-01T20:15:00Z"])


class DeletedEventOut(BaseModel):
    event_id: str
    deleted_at: datetime = Field(examples=["2024-03-01T20:15:00Z"])


class UserExportOut(BaseModel):
    user: UserOut
    merged_guests: list[MergedGuestOut] = Field(
        description="Guests who were merged into the user in the last 90 days; what they did is part of the rest"
    )
    created_items: list[str] = Field(description="Items that name the user in `created_by`", examples=[["318"]])
    deleted_events: list[DeletedEventOut] = Field(description="Events taken back in the last 30 days")
    ratings: list[RatingExportOut]
    events: list[EventOut] = Field(description="Newest first; those that show which lists the user was shown included")
