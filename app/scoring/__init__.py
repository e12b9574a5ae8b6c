"""Step 5b: the scorer, assembled from the vectors, segments and index of a snapshot.

Owns the arithmetic of the two sides, whose dot product is the score (`sides.py`), the segments of a snapshot as opened
(`blocks.py`), the `Scorer` that folds users in, scores, predicts and explains (`scorer.py`), the FAISS index and its
build, similar items and users, groups, item and user features, the way from parts to a published folder and back
(`publication.py`), and the live reference that requests read (`active.py`). Only this package imports FAISS.

May import: segments, snapshots, algorithms, entities and errors. Every API process imports this package, so nothing
here imports numba or a learner. Training writes snapshots through it and serving reads them, and neither sees a file
name.

Refused: FAISS's own id map (rows are positions in `item_keys`, so one array answers for all files).
"""

from app.scoring.active import ActiveSnapshot, Refresh
from app.scoring.index import NO_HISTORY
from app.scoring.popular import popularity_scorer
from app.scoring.publication import open_snapshot, write_snapshot
from app.scoring.scorer import PublishedScorer, Scorer
from app.scoring.sides import UserSide
from app.segments.base import Observations

__all__ = [
    "NO_HISTORY",
    "ActiveSnapshot",
    "Observations",
    "PublishedScorer",
    "Refresh",
    "Scorer",
    "UserSide",
    "open_snapshot",
    "popularity_scorer",
    "write_snapshot",
]
