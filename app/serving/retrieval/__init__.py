"""Sources of candidates: one file a source, and one line here.

A source proposes eligible rows; `Candidates.from_proposals` joins what they propose without duplicates. The order here
is the order of the names in answers and in the OpenAPI document.
"""

from app.scoring import Scorer
from app.serving.parts import Source
from app.serving.retrieval.boosted import BoostedSource
from app.serving.retrieval.category import CategorySource
from app.serving.retrieval.group import GroupSource
from app.serving.retrieval.nearest import NearestSource
from app.serving.retrieval.newest import NewestSource
from app.serving.retrieval.popular import PopularSource
from app.serving.retrieval.similar import SimilarSource
from app.serving.retrieval.tables import TableSource
from app.serving.retrieval.trending import TrendingSource

SOURCES: tuple[Source, ...] = (
    NearestSource(),
    SimilarSource(),
    CategorySource(),
    GroupSource(),
    PopularSource(),
    TrendingSource(),
    NewestSource(),
    TableSource("item_item"),
    TableSource("transitions"),
    BoostedSource(),
)


def sources_of(scorer: Scorer) -> list[str]:
    """The names of the sources that can propose while this scorer is served."""
    return [source.name for source in SOURCES if source.works_with(scorer)]
