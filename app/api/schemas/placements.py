"""Placements."""

from pydantic import BaseModel, Field

from app.api.list_parameters import ListBody
from app.api.types import Id
from app.serving.placement import Placement


class PlacementOut(BaseModel):
    name: str = Field(examples=["home"])
    settings: Placement


class PlacementsOut(BaseModel):
    placements: list[PlacementOut]


class PreviewIn(ListBody):
    user_id: Id
    settings: Placement | None = Field(None, description="Those to try out; null: those stored")
