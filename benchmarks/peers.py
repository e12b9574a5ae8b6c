"""Services as one would write them by hand, measured in the same run as Reckon.

Start one with `uvicorn benchmarks.peers:NAME`.

`bare` returns the same 20 prebuilt items: the most that the framework can do. `handwritten` keeps vectors in numpy and
filters what the user has seen by a SQLAlchemy query. `handwritten_implicit` asks the implicit library, fitted to the
same ratings and kept in memory, so it never knows a rating that came later. All build the same answer.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from fastapi import FastAPI
from scipy import sparse

from app.serving.query import Recommendations, RecommendedItem

N_FACTORS, N_SHOWN = 64, 20
PATH = "/users/{user_id}/recommendations"


def answer(rows: list[int], scores: list[float]) -> Recommendations:
    items = [
        RecommendedItem(f"i{row + 1}", f"The Title Number {row + 1}", score, 3.5, ["nearest"])
        for row, score in zip(rows, scores, strict=True)
    ]
    return Recommendations("R" * 58, 1, "personalized", items, "C" * 120)


PREBUILT = answer(list(range(N_SHOWN)), [1.0] * N_SHOWN)


def engine() -> sa.Engine:
    return sa.create_engine(f"sqlite:///{Path(os.environ['RECKON_DATA_DIR']) / 'reckon.db'}")


class Handwritten:
    def __init__(self) -> None:
        self.engine = engine()
        tables = sa.MetaData()
        tables.reflect(self.engine)
        self.ratings, self.users_table = tables.tables["ratings"], tables.tables["users"]
        with self.engine.connect() as connection:
            n_items, n_users = (
                connection.execute(sa.select(sa.func.count()).select_from(tables.tables[name])).scalar_one()
                for name in ("items", "users")
            )
        rng = np.random.default_rng(0)
        self.items = rng.standard_normal((n_items, N_FACTORS), dtype=np.float32)
        self.users = rng.standard_normal((n_users + 1, N_FACTORS), dtype=np.float32)

    def recommend(self, user_id: str) -> Recommendations:
        of_user = sa.select(self.users_table.c.user_key).where(self.users_table.c.user_id == user_id).scalar_subquery()
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(self.ratings.c.item_key).where(self.ratings.c.user_key == of_user))
            seen = np.array([row.item_key - 1 for row in rows])
        scores = self.items @ self.users[int(user_id[1:])]
        scores[seen] = -np.inf
        best = np.argpartition(-scores, N_SHOWN)[:N_SHOWN]
        best = best[np.argsort(-scores[best])]
        return answer(best.tolist(), scores[best].tolist())


class HandwrittenImplicit:
    def __init__(self) -> None:
        from implicit.als import AlternatingLeastSquares  # noqa: PLC0415  a peer, installed by `make bench` alone

        with engine().connect() as connection:
            pairs = connection.exec_driver_sql("SELECT user_key - 1, item_key - 1 FROM ratings").all()
        users, items = np.array(pairs, dtype=np.int32).T
        self.liked = sparse.csr_matrix((np.ones(len(users), np.float32), (users, items)))
        self.learned = AlternatingLeastSquares(factors=N_FACTORS, iterations=5, random_state=0)
        self.learned.fit(self.liked, show_progress=False)

    def recommend(self, user_id: str) -> Recommendations:
        row = int(user_id[1:]) - 1
        rows, scores = self.learned.recommend(row, self.liked[row], N=N_SHOWN, filter_already_liked_items=True)
        return answer(rows.tolist(), scores.tolist())


def prepared(
    make: Callable[[], Handwritten | HandwrittenImplicit],
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """A lifespan in which the recommender is made before the first request."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.recommender = make()
        yield

    return lifespan


bare = FastAPI()
handwritten = FastAPI(lifespan=prepared(Handwritten))
handwritten_implicit = FastAPI(lifespan=prepared(HandwrittenImplicit))


@bare.get(PATH)
async def get_bare(user_id: str) -> Recommendations:  # noqa: ARG001  the path is that of the real one
    return PREBUILT


@handwritten.get(PATH)
def get_handwritten(user_id: str) -> Recommendations:
    recommended: Recommendations = handwritten.state.recommender.recommend(user_id)
    return recommended


@handwritten_implicit.get(PATH)
async def get_implicit(user_id: str) -> Recommendations:
    recommended: Recommendations = handwritten_implicit.state.recommender.recommend(user_id)
    return recommended
