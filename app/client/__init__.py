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
from .operations.charts import Chart, ChartItem, ChartName
from .operations.events import Event, EventsOutcome, EventsPage, EventType, EventTypes, StoredEvent
from .operations.health import Health, Readiness
from .operations.home import Home, HomeRow, Mix, Mixes
from .operations.placements import Placement, Placements, PlacementSettings
from .operations.rankings import ExcludedItem, Pair, Prediction, Predictions, Ranking, RejectedPair
from .operations.ratings import Rating, RatingsOutcome, RatingsPage, StoredRating
from .operations.recommendations import (
    Because,
    GuestRating,
    ItemField,
    Moved,
    Reasons,
    Recommendations,
    RecommendationsBatch,
    RecommendedItem,
    SegmentShare,
    UserRecommendations,
    WhyNot,
)
from .operations.similar import SimilarItem, SimilarItems, SimilarUser, SimilarUsers
from .operations.training import Snapshot, Snapshots, TrainingJob
from .operations.users import Merged, User
from .retries import NO_RETRIES, Retries
from .version import VERSION

__version__ = VERSION

__all__ = [
    "NO_RETRIES",
    "AsyncFakeReckon",
    "AsyncReckon",
    "Because",
    "Chart",
    "ChartItem",
    "ChartName",
    "ConflictError",
    "ConnectionFailedError",
    "Event",
    "EventType",
    "EventTypes",
    "EventsOutcome",
    "EventsPage",
    "ExcludedItem",
    "FakeReckon",
    "FieldError",
    "GuestRating",
    "Health",
    "Home",
    "HomeRow",
    "InvalidInputError",
    "Item",
    "ItemField",
    "ItemsPage",
    "Merged",
    "Mix",
    "Mixes",
    "Moved",
    "NotFoundError",
    "Pair",
    "Placement",
    "PlacementSettings",
    "Placements",
    "Prediction",
    "Predictions",
    "Problem",
    "ProblemError",
    "Ranking",
    "Rating",
    "RatingsOutcome",
    "RatingsPage",
    "Readiness",
    "Reasons",
    "Reckon",
    "ReckonError",
    "Recommendations",
    "RecommendationsBatch",
    "RecommendedItem",
    "RejectedPair",
    "RejectedRow",
    "Retries",
    "RowOutcome",
    "SegmentShare",
    "Sent",
    "SimilarItem",
    "SimilarItems",
    "SimilarUser",
    "SimilarUsers",
    "Snapshot",
    "Snapshots",
    "StorageFullError",
    "StoredEvent",
    "StoredRating",
    "TimedOutError",
    "TooLargeError",
    "TrainingJob",
    "UnavailableError",
    "UnreadableAnswerError",
    "User",
    "UserRecommendations",
    "WhyNot",
    "__version__",
]
