"""The items most similar to each of the items liked last, read from the neighbours stored in the snapshot.

Refused: searching for neighbours that are not stored, in a large catalogue. Ten scans of all items would cost more than
the rest of the answer.
"""

from app.scoring import Scorer
from app.serving.parts import Context, Source
from app.serving.rows import NO_ROWS, Rows

N_LIKED, N_EACH = 10, 10


class SimilarSource(Source):
    name = "similar"

    def works_with(self, scorer: Scorer) -> bool:
        return len(scorer.arrays.similar_rows) > 0

    def candidates(self, context: Context) -> Rows:
        scorer = context.serving.scorer
        liked = context.user.liked_rows(scorer.liked_from)
        liked = liked[liked < context.serving.n_learned][:N_LIKED]
        if not len(liked):
            return NO_ROWS
        # Row -1 fills the places of an item that has fewer neighbours, and is never eligible.
        rows = scorer.arrays.similar_rows.take(liked, axis=0)[:, :N_EACH].ravel()
        return context.eligible.among(rows[rows >= 0])
