"""Reckon's Python client: `Reckon` blocks, `AsyncReckon` awaits, `FakeReckon` is for the tests of a product.

Owns what a caller needs to speak with the service and imports nothing of it: relative imports and httpx alone. It is
built as a wheel of its own, `reckon_client`. Every operation is written once, for both clients (`call.py`); answers are
frozen dataclasses.
"""

from .batches import RejectedRow, RowOutcome, Sent
from .clients import AsyncReckon, Reckon
from .errors import (
    ConflictError,
    ConnectionFailedError,
    FieldError,
    InvalidInputError,
    NotFoundError,
    Problem,
    ProblemError,
    ReckonError,
    StorageFullError,
    TimedOutError,
    TooLargeError,
    UnavailableError,
    UnreadableAnswerError,
)
from .fake import AsyncFakeReckon, FakeReckon
from .operations.catalogue import Item, ItemsPage
from .operations.health import Health, Readiness
from .operations.ratings import Rating, RatingsOutcome, RatingsPage, StoredRating
from .operations.recommendations import Recommendations, RecommendedItem
from .operations.similar import SimilarItem, SimilarItems
from .operations.training import Snapshot, Snapshots, TrainingJob
from .operations.users import User
from .retries import NO_RETRIES, Retries
from .version import VERSION

__version__ = VERSION

__all__ = [
    "NO_RETRIES",
    "AsyncFakeReckon",
    "AsyncReckon",
    "ConflictError",
    "ConnectionFailedError",
    "FakeReckon",
    "FieldError",
    "Health",
    "InvalidInputError",
    "Item",
    "ItemsPage",
    "NotFoundError",
    "Problem",
    "ProblemError",
    "Rating",
    "RatingsOutcome",
    "RatingsPage",
    "Readiness",
    "Reckon",
    "ReckonError",
    "Recommendations",
    "RecommendedItem",
    "RejectedRow",
    "Retries",
    "RowOutcome",
    "Sent",
    "SimilarItem",
    "SimilarItems",
    "Snapshot",
    "Snapshots",
    "StorageFullError",
    "StoredRating",
    "TimedOutError",
    "TooLargeError",
    "TrainingJob",
    "UnavailableError",
    "UnreadableAnswerError",
    "User",
    "__version__",
]
