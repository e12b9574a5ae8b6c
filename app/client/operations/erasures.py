"""The data of a single person: what is stored of them, and the proof that nothing is stored any more."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ..call import Request, operation
from .catalogue import User
from .interactions import StoredEvent


@dataclass(frozen=True, slots=True)
class Removed:
    """How much was removed of each kind.

    `ratings`: deleted ones included.
    `deleted_events`, `redirects`: ids of events that had been deleted, and of guests who had been merged into the user.
    `items`: those that named the user as their creator; they stay.
    `rejected_files`: files of rejected rows of imports. `rejected_rows`: such rows that the database kept.
    """

    ratings: int
    events: int
    deleted_events: int
    redirects: int
    items: int
    rejected_files: int
    rejected_rows: int = 0


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy of the database that still holds the user."""

    file: str
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Erasure:
    """The receipt of an erasure; `reckon erasures verify` checks the JSON of it.

    `due_at`: until when it is to be completed.
    `user_hash`: of the id, by `hash_algorithm` and `salt`; all hexadecimal.
    `removed_snapshots`: versions of snapshots that held the user; `snapshot_version`: of the one that replaced them.
    `backups`, `not_reached`: what the operator has to look after.
    `signature`: None while it is pending.
    """

    erasure_id: str
    database_id: str
    state: Literal["pending", "completed"]
    requested_at: datetime
    due_at: datetime
    completed_at: datetime | None
    user_hash: str
    salt: str
    hash_algorithm: str
    removed: Removed
    removed_snapshots: tuple[int, ...]
    snapshot_version: int | None
    backups: tuple[Backup, ...]
    not_reached: tuple[str, ...]
    signature: str | None


@dataclass(frozen=True, slots=True)
class ExportedRating:
    """A rating as stored. `value`: None where it was deleted at `rated_at`."""

    item_id: str
    value: float | None
    rated_at: datetime | None


@dataclass(frozen=True, slots=True)
class MergedGuest:
    """A guest who was merged into the user."""

    guest_id: str
    merged_at: datetime


@dataclass(frozen=True, slots=True)
class DeletedEvent:
    """An event that was taken back."""

    event_id: str
    deleted_at: datetime


@dataclass(frozen=True, slots=True)
class UserExport:
    """Everything that is stored of a user. `created_items`: items that name the user as their creator."""

    user: User
    merged_guests: tuple[MergedGuest, ...]
    created_items: tuple[str, ...]
    deleted_events: tuple[DeletedEvent, ...]
    ratings: tuple[ExportedRating, ...]
    events: tuple[StoredEvent, ...]


class ErasureOperations:
    @operation("GET", "/erasures/{erasure_id}")
    def erasure(self, erasure_id: str) -> Request[Erasure]:
        """The receipt of an erasure; `latest`: of the newest. Raises `NotFoundError` where there is none."""
        return Request(Erasure, path={"erasure_id": erasure_id})

    @operation("GET", "/users/{user_id}/export")
    def export_user(self, user_id: str) -> Request[UserExport]:
        """Everything that is stored of a user. Raises `NotFoundError` where there is none."""
        return Request(UserExport, path={"user_id": user_id})
