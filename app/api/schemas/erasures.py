"""Receipts of erasures, as `app.erasure.receipt` makes them."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from app.erasure.receipt import NOT_REACHED
from app.store.erasures import HASH


class RemovedOut(BaseModel):
    ratings: int = Field(description="Ratings, deleted ones included")
    events: int
    deleted_events: int = Field(description="Ids of events that had been deleted", examples=[0])
    redirects: int = Field(description="Ids of guests who had been merged into the user", examples=[0])
    items: int = Field(description="Items that named the user in `created_by`; they stay", examples=[0])
    rejected_rows: int = Field(
        description="Rejected rows of imports, of which any may name the user: all that were kept", examples=[0]
    )
    rejected_files: int = Field(
        description="Files of rejected rows of imports, removed for all erasures of this time", examples=[0]
    )


class BackupOut(BaseModel):
    file: str = Field(description="Name of the file", examples=["monday.db"])
    made_at: datetime = Field(examples=["2024-03-01T20:15:00Z"])


class ErasureOut(BaseModel):
    erasure_id: str = Field(examples=["4565925e3f924cf3be20e1bb021ba46b"])
    database_id: str = Field(examples=["1f0c2b6f4c0e4b0f9a4a7f1d2c3b4a59"])
    state: Literal["pending", "completed"]
    requested_at: datetime = Field(examples=["2024-03-01T20:15:00Z"])
    due_at: datetime = Field(description="`requested_at` and `RECKON_ERASURE_HOURS`", examples=["2024-03-02T20:15:00Z"])
    completed_at: datetime | None = Field(examples=["2024-03-01T22:15:00Z"])
    user_hash: str = Field(description="Of the id, by `hash_algorithm` and `salt`; hexadecimal", examples=["9c1e5f"])
    salt: str = Field(description="Hexadecimal", examples=["5e0b7f"])
    hash_algorithm: str = Field(examples=[HASH])
    removed: RemovedOut
    removed_snapshots: list[int] = Field(description="Versions of snapshots that held the user", examples=[[1, 2]])
    snapshot_version: int | None = Field(description="The snapshot without the user that replaced them")
    backups: list[BackupOut] = Field(
        description="Copies by `reckon backup` that hold the user still; to be deleted by the operator"
    )
    not_reached: list[str] = Field(description="What the service cannot erase by itself", examples=[list(NOT_REACHED)])
    signature: str | None = Field(
        description="HMAC-SHA-256 by the key of the database; null while pending. `reckon erasures verify` checks it",
        examples=["b1946a"],
    )
