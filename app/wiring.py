"""Builds every object from the settings, once a process. An object receives what it uses, never the container."""

from dataclasses import dataclass
from datetime import datetime

from app.observability.metrics import Metrics, SnapshotState
from app.serving.live import LiveSnapshot
from app.serving.recommend import Recommender
from app.serving.reranking.already_rated import AlreadyRated
from app.serving.reranking.available import Available
from app.serving.reranking.requested import Requested
from app.serving.retrieval.nearest import Nearest
from app.serving.retrieval.popular import Popular
from app.serving.similar import SimilarFinder
from app.serving.tastes import Tastes
from app.serving.tokens import Tokens
from app.settings import Settings
from app.snapshots import ActiveSnapshot
from app.store import Store


def open_store(settings: Settings) -> Store:
    return Store.open(settings.database_url, settings.data_dir)


@dataclass(frozen=True, slots=True)
class Service:
    """What the API's doors open onto."""

    store: Store
    live: LiveSnapshot
    recommender: Recommender
    similar: SimilarFinder
    tokens: Tokens
    metrics: Metrics

    @classmethod
    def build(cls, settings: Settings) -> "Service":
        store = open_store(settings)
        live = LiveSnapshot(
            active=ActiveSnapshot(store.installation.database_id),
            data_dir=settings.data_dir,
            register=store.snapshots,
            items=store.items,
            ratings=store.ratings,
            jobs=store.jobs,
        )
        tokens = Tokens(store.installation.token_key)
        recommender = Recommender(
            users=store.users,
            live=live,
            tastes=Tastes(store.ratings, store.users),
            sources=[Nearest(), Popular()],
            rules=[Available(), AlreadyRated(), Requested()],
            tokens=tokens,
        )
        return cls(
            store=store,
            live=live,
            recommender=recommender,
            similar=SimilarFinder(items=store.items, live=live),
            tokens=tokens,
            metrics=Metrics(lambda: _snapshot_state(live)),
        )


def _snapshot_state(live: LiveSnapshot) -> SnapshotState | None:
    snapshot = live.current.snapshot
    if snapshot is None:
        return None
    return snapshot.version, datetime.fromisoformat(snapshot.manifest.created_at).timestamp()
