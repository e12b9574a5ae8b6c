"""What one would write by hand, to stand beside Reckon in the same run: run with `uvicorn benchmarks.peers:NAME`.

`bare` returns the same 20 prebuilt items: the most that the framework can do. `handwritten` keeps vectors in numpy,
filters what the user has seen by a SQLAlchemy query and builds the same answer.
"""

import os
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from fastapi import FastAPI

from app.serving.query import Recommendations, RecommendedItem

N_ITEMS, N_USERS, N_FACTORS, N_SHOWN = 10_000, 5_000, 64, 20

bare = FastAPI()
handwritten = FastAPI()


def answer(rows: list[int], scores: list[float]) -> Recommendations:
    items = [
        RecommendedItem(f"i{row}", f"The Title Number {row}", score, 3.5, ["nearest"])
        for row, score in zip(rows, scores, strict=True)
    ]
    return Recommendations("R" * 58, 1, "personalized", items, "C" * 120)


PREBUILT = answer(list(range(N_SHOWN)), [1.0] * N_SHOWN)


@bare.get("/users/{user_id}/recommendations")
async def get_bare(user_id: str) -> Recommendations:  # noqa: ARG001  the path is that of the real one
    return PREBUILT


class Handwritten:
    """Built on the first request, so that `bare` does not need the database."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.items = rng.standard_normal((N_ITEMS, N_FACTORS), dtype=np.float32)
        self.users = rng.standard_normal((N_USERS + 1, N_FACTORS), dtype=np.float32)
        self.engine = sa.create_engine(f"sqlite:///{Path(os.environ['RECKON_DATA_DIR']) / 'reckon.db'}")
        tables = sa.MetaData()
        tables.reflect(self.engine)
        self.ratings, self.user_table = tables.tables["ratings"], tables.tables["users"]

    def recommend(self, user_id: str) -> Recommendations:
        of_user = sa.select(self.user_table.c.user_key).where(self.user_table.c.user_id == user_id).scalar_subquery()
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(self.ratings.c.item_key).where(self.ratings.c.user_key == of_user))
            seen = np.array([row.item_key - 1 for row in rows])
        scores = self.items @ self.users[int(user_id[1:])]
        scores[seen] = -np.inf
        best = np.argpartition(-scores, N_SHOWN)[:N_SHOWN]
        best = best[np.argsort(-scores[best])]
        return answer(best.tolist(), scores[best].tolist())


built: list[Handwritten] = []


@handwritten.get("/users/{user_id}/recommendations")
def get_handwritten(user_id: str) -> Recommendations:
    if not built:
        built.append(Handwritten())
    return built[0].recommend(user_id)
