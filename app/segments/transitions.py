"""The segment `transitions`: what comes next. A linear regression of the next choice on the decayed history before it.

It needs the order of choices: without times the segment is left out.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from app.algorithms.choice_sequences import ChoiceSequences
from app.algorithms.progress import ProgressCallback
from app.algorithms.rating_matrix import RatingMatrix
from app.segments.base import SegmentRecipe
from app.segments.sparse import SparseSegment, liked_choices


class TransitionsSegment(SparseSegment):
    """Learned by `transitions` or by `sparse_transitions`."""

    name = "transitions"
    closed_form = "transitions"
    on_neighbours = "sparse_transitions"
    first: ClassVar[Mapping[str, float]] = {"regularization": 20.0, "decay": 0.9, "n_neighbours": 100}
    steps = (
        {"regularization": 60.0},
        {"regularization": 200.0},
        {"regularization": 6.0},
        {"decay": 0.6},
        {"n_neighbours": 200},
    )
    similar_kind = "next"
    ranks_what_was_chosen = False

    def _table(
        self,
        algorithm: str,
        settings: Mapping[str, Any],
        sequences: ChoiceSequences,
        rng: np.random.Generator,
        progress: ProgressCallback,
    ) -> sparse.csr_array:
        from app.algorithms.slim import SparseTransitions
        from app.algorithms.transitions import Transitions

        learner = Transitions(**settings) if algorithm == self.closed_form else SparseTransitions(**settings)
        return learner.fit(sequences, rng, progress).table

    def prepare(self, recipe: SegmentRecipe, ratings: RatingMatrix) -> tuple[SegmentRecipe | None, str | None]:
        """The segment needs known times that differ within a history."""
        if liked_choices(ratings, ratings.least_liked).has_order:
            return recipe, None
        return None, f"{self.name} left out: the times of ratings and events do not say what came after what"
