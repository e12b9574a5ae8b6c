"""Everything the service can be asked, one file a topic: what is sent, what is answered, and the operations."""

from .catalogue import CatalogueOperations
from .charts import ChartOperations
from .events import EventOperations
from .health import HealthOperations
from .home import HomeOperations
from .placements import PlacementOperations
from .rankings import RankingOperations
from .ratings import RatingOperations
from .recommendations import RecommendationOperations
from .similar import SimilarOperations
from .training import TrainingOperations
from .users import UserOperations


class Operations(
    RatingOperations,
    EventOperations,
    RecommendationOperations,
    HomeOperations,
    ChartOperations,
    RankingOperations,
    SimilarOperations,
    UserOperations,
    CatalogueOperations,
    PlacementOperations,
    TrainingOperations,
    HealthOperations,
):
    """What both clients offer."""
