"""All that SQL keeps: ratings, items, users, training jobs, the register of snapshots. The only home of SQLAlchemy.

It takes and returns entities, in bulk as columns; it translates and never decides what to recommend. May import
`entities` and `errors`. SQLAlchemy Core, synchronous: a small SQLite read costs 60 us synchronously and 600 us through
an async driver. What differs between the two databases stands in `sqlite.py` and `postgres.py`, and nowhere else.

Refused: the ORM (rows would leave as objects that read lazily); foreign keys from ratings (they double the cost of a
bulk write; the write path locks the user and readers ignore ratings of an item that is gone); a sequence number as the
watermark of changes (sequences do not commit in order: `users.version` counts instead).
"""

from app.store.jobs import Claim, Job, LeaseLostError
from app.store.migration import migrate
from app.store.ratings import REPLACED, STORED, UNCHANGED, Recorded
from app.store.snapshots import SnapshotEntry
from app.store.store import Store
from app.store.training_reads import TrainingData

__all__ = [
    "REPLACED",
    "STORED",
    "UNCHANGED",
    "Claim",
    "Job",
    "LeaseLostError",
    "Recorded",
    "SnapshotEntry",
    "Store",
    "TrainingData",
    "migrate",
]
