"""Everything the service can be asked, one file a topic: what is sent, what is answered, and the operations."""

from .catalogue import CatalogueOperations
from .health import HealthOperations
from .ratings import RatingOperations
from .recommendations import RecommendationOperations
from .similar import SimilarOperations
from .training import TrainingOperations
from .users import UserOperations


class Operations(
    RatingOperations,
    RecommendationOperations,
    SimilarOperations,
    UserOperations,
    CatalogueOperations,
    TrainingOperations,
    HealthOperations,
):
    """What both clients offer."""
