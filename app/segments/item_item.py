"""The segment `item_item`: what goes together. A linear regression of every item on the other items of a history.

Its table ignores the order of choices. The history may be decayed nevertheless: what came last says most about what
comes next.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from app.algorithms.choice_sequences import ChoiceSequences
from app.algorithms.progress import ProgressCallback
from app.segments.sparse import SparseSegment


class ItemItemSegment(SparseSegment):
    """Learned by `ease` or by `slim`."""

    name = "item_item"
    closed_form = "ease"
    on_neighbours = "slim"
    first: ClassVar[Mapping[str, float]] = {"regularization": 1.0, "dropout": 0.3, "n_neighbours": 100}
    steps = (
        {"regularization": 0.3},
        {"regularization": 3.0},
        {"dropout": 0.0},
        {"dropout": 0.6},
        {"n_neighbours": 200},
    )
    similar_kind = "together"

    def _table(
        self,
        algorithm: str,
        settings: Mapping[str, Any],
        sequences: ChoiceSequences,
        rng: np.random.Generator,
        progress: ProgressCallback,
    ) -> sparse.csr_array:
        from app.algorithms.ease import EASE
        from app.algorithms.slim import SLIM

        if algorithm == self.on_neighbours:
            return SLIM(**settings).fit(sequences, rng, progress).table
        penalties = {name: settings[name] for name in ("regularization", "dropout")}
        return EASE(**penalties).fit(sequences, rng, progress).outgoing(settings["n_entries"])
