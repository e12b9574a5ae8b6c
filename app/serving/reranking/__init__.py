"""Rules: one file a rule, and one line here, at the place where it acts.

A *restriction* acts before retrieval, on the mask of eligible rows, so that a list is as long as requested while that
many items are eligible. A *rule of order* acts on what is ranked: it weighs candidates anew (`weighing.py`) or places
some in slots (`slots.py`). It may bring items in and never shortens the list.

A rule that is off is not called: `CompiledPlacement.plan` lists those that are on. Unavailable items and items that the
user dislikes are never shown; these two rules have no setting.
"""

from app.serving.parts import OrderRule, Restriction
from app.serving.reranking.already_consumed import AlreadyConsumed
from app.serving.reranking.available import Available
from app.serving.reranking.boost import Boosting
from app.serving.reranking.category_cap import CategoryCap
from app.serving.reranking.demotion import Demotion
from app.serving.reranking.disliked import Disliked
from app.serving.reranking.dissimilar import Dissimilar
from app.serving.reranking.diversity import Diversity
from app.serving.reranking.exploration import Exploration
from app.serving.reranking.filtered import Filtered
from app.serving.reranking.freshness import Freshness
from app.serving.reranking.novelty import Novelty
from app.serving.reranking.own_items import OwnItems
from app.serving.reranking.predicted_enough import PredictedEnough
from app.serving.reranking.promotion import Promotion
from app.serving.reranking.recurring import Recurring
from app.serving.reranking.requested import Requested
from app.serving.reranking.rotation import Rotation

RESTRICTIONS: tuple[Restriction, ...] = (
    Dissimilar(),
    Available(),
    OwnItems(),
    Disliked(),
    Requested(),
    Filtered(),
    PredictedEnough(),
    Recurring(),  # before what was consumed is dropped: it notes what is due again
    AlreadyConsumed(),
)

ORDER_RULES: tuple[OrderRule, ...] = (
    # By weight,
    Boosting(),
    Freshness(),
    Novelty(),
    Demotion(),
    Rotation(),
    # then by the items before and after,
    Diversity(),
    CategoryCap(),
    # then by slots: a rule does not move what a later one places.
    Exploration(),
    Promotion(),
    Recurring(),
)
