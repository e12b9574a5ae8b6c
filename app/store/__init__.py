"""Everything kept in SQL: ratings, items, users, events, placements, training jobs, the register of snapshots.

The only package that imports SQLAlchemy. It takes and returns entities, in bulk as columns; it may import `entities`
and `errors`. It uses SQLAlchemy Core, synchronously: a small SQLite read costs 60 us that way and 600 us through an
async driver. The differences between the two databases are in `sqlite.py` and `postgres.py`, behind the protocol of
`dialect.py`; `serving_reads.py` holds the few reads of one answer.

Refused: the ORM (its objects would leave the package and read lazily); foreign keys from ratings (they double the cost
of a bulk write; writers lock the user, and readers ignore ratings of deleted items); a sequence number as the watermark
of changes (sequences do not commit in order; `users.version` counts changes instead).
"""

from app.store.availability import WAIT_SECONDS
from app.store.erasures import Erasure
from app.store.jobs import Claim, Job, JobCancelledError, LeaseLostError
from app.store.migration import migrate
from app.store.ratings import REPLACED, STORED, UNCHANGED, UNKNOWN_ITEM, Recorded
from app.store.snapshots import SnapshotEntry
from app.store.store import Store
from app.store.training_reads import TrainingData

__all__ = [
    "REPLACED",
    "STORED",
    "UNCHANGED",
    "UNKNOWN_ITEM",
    "WAIT_SECONDS",
    "Claim",
    "Erasure",
    "Job",
    "JobCancelledError",
    "LeaseLostError",
    "Recorded",
    "SnapshotEntry",
    "Store",
    "TrainingData",
    "migrate",
]
