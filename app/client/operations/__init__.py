"""Every operation of the service, one file a topic: what is sent, what is answered, and the operations themselves."""

from .catalogue import CatalogueOperations
from .erasures import ErasureOperations
from .interactions import InteractionOperations
from .keys import KeyOperations
from .monitoring import MonitoringOperations
from .pages import PageOperations
from .placements import PlacementOperations
from .rankings import RankingOperations
from .recommendations import RecommendationOperations
from .training import TrainingOperations


class Operations(
    InteractionOperations,
    RecommendationOperations,
    PageOperations,
    RankingOperations,
    CatalogueOperations,
    ErasureOperations,
    PlacementOperations,
    TrainingOperations,
    MonitoringOperations,
    KeyOperations,
):
    """All operations; both clients inherit them."""
