"""Whether the service is well."""

from typing import Literal

from pydantic import BaseModel, Field


class Health(BaseModel):
    status: Literal["ok"]


class Readiness(BaseModel):
    status: Literal["ready"]
    snapshot_version: int | None = Field(description="Null: nothing is learned yet, answers are popular items")
