"""Builds all objects from the settings, once for each application.

Each object receives only the objects that it uses. Nothing is global, so a process can hold several applications.
"""

from dataclasses import dataclass
from datetime import datetime

from app.intake.recording import EventRecorder, RatingRecorder
from app.observability.metrics import Lag, Metrics, SnapshotState
from app.scoring import ActiveSnapshot
from app.serving.charts import ChartReader
from app.serving.exclusion import ExclusionExplainer
from app.serving.home import HomePage
from app.serving.mixes import Mixer
from app.serving.placement_config import PlacementConfigHolder
from app.serving.predictions import RatingPredictor
from app.serving.rankings import CandidateRanker
from app.serving.recommend import Recommender
from app.serving.request_state import RequestStates
from app.serving.response_cache import ResponseCache
from app.serving.serving_state import ServingStateHolder
from app.serving.similar_users import SimilarUserFinder
from app.serving.tokens import TokenSigner
from app.serving.user_state import UserStates
from app.settings import Settings
from app.store import Store


def open_store(settings: Settings) -> Store:
    """Open the database of the settings. Raises `ReckonError` if it cannot be used."""
    return Store.open(settings.database_url, settings.data_dir)


@dataclass(frozen=True, slots=True)
class Service:
    """The objects that the handlers of the API use; each application has its own."""

    store: Store
    serving: ServingStateHolder
    config: PlacementConfigHolder
    request_states: RequestStates
    user_states: UserStates
    recommender: Recommender
    exclusion: ExclusionExplainer
    rankings: CandidateRanker
    predictor: RatingPredictor
    home_page: HomePage
    mixer: Mixer
    similar_users: SimilarUserFinder
    charts: ChartReader
    rating_recorder: RatingRecorder
    event_recorder: EventRecorder
    cache: ResponseCache
    tokens: TokenSigner
    metrics: Metrics

    @classmethod
    def build(cls, settings: Settings) -> "Service":
        """Build the service. Raises `ReckonError` if the database of the settings cannot be used."""
        store = open_store(settings)
        # Snapshots carry the id of their database, so one from another database is refused.
        active = ActiveSnapshot(store.instance.database_id)
        # A function, because the metrics must report the snapshot that is live when they are read.
        metrics = Metrics(lambda: _snapshot_state(active))
        lag = Lag(metrics.observe_lag)
        serving = ServingStateHolder(
            active=active,
            data_dir=settings.data_dir,
            register=store.snapshots,
            items=store.items,
            ratings=store.ratings,
            trends=store.trends,
            jobs=store.jobs,
            instance=store.instance,
            lag=lag,
            count_failure=metrics.count_poll_failure,
        )
        # The key is stored in the database, so that every process accepts the cursors of the others.
        tokens = TokenSigner(store.instance.token_key)
        config = PlacementConfigHolder(store.placements, store.events)
        user_states = UserStates(store.reads, lag)
        request_states = RequestStates(store.reads, serving, config)
        recommender = Recommender(user_states, tokens)
        return cls(
            store=store,
            serving=serving,
            config=config,
            request_states=request_states,
            user_states=user_states,
            recommender=recommender,
            exclusion=ExclusionExplainer(recommender),
            rankings=CandidateRanker(recommender),
            predictor=RatingPredictor(user_states, request_states),
            home_page=HomePage(recommender),
            mixer=Mixer(recommender),
            similar_users=SimilarUserFinder(user_states, store.users),
            charts=ChartReader(store.trends, tokens),
            rating_recorder=RatingRecorder(store),
            event_recorder=EventRecorder(store, tokens.read_recommendation_id),
            cache=ResponseCache(),
            tokens=tokens,
            metrics=metrics,
        )


def _snapshot_state(active: ActiveSnapshot) -> SnapshotState | None:
    """Return the version and the time (seconds since 1970) of the live snapshot; None without one."""
    snapshot = active.current
    if snapshot is None:
        return None
    return snapshot.manifest.version, datetime.fromisoformat(snapshot.manifest.created_at).timestamp()
