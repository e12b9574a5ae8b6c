"""The API process: every router on one application."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app.api import docs, problems
from app.api.body_limit import BodyLimit
from app.api.charts import charts_router
from app.api.discovery import discovery_router
from app.api.event_types import event_types_router
from app.api.events import events_router
from app.api.head import HeadAsGet
from app.api.health import health_router
from app.api.items import items_router
from app.api.placements import placements_router
from app.api.predictions import predictions_router
from app.api.rankings import rankings_router
from app.api.ratings import ratings_router
from app.api.recommendations import recommendations_router
from app.api.request_metrics import RequestMetrics
from app.api.similar import similar_router
from app.api.training import training_router
from app.api.users import users_router
from app.observability.logs import configure_logs
from app.settings import Settings
from app.wiring import Service

MAX_BODY_BYTES = 1 << 20

DESCRIPTION = """
Send ratings, ask what to show whom. Every list knows every rating acknowledged before it was asked for.

Errors are `application/problem+json` (RFC 9457) with a stable `type`. Ids are strings of 1-128 characters.
"""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application on the given settings, or on those of the environment."""
    settings = settings or Settings()
    configure_logs(settings.log_format)
    service = Service.build(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        following = service.serving.follow(settings.snapshot_poll_seconds)
        # What there is now stays. Looking through it for garbage, every few thousand answers, would hold up everybody
        # for 70 ms.
        gc.freeze()
        yield
        gc.unfreeze()
        service.serving.stop()
        following.join()
        service.store.close()

    app = FastAPI(
        title="Reckon",
        version="0.1.0",
        summary="A recommendation microservice",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    problems.install(app)
    docs.install(app)
    store = service.store
    app.include_router(
        recommendations_router(
            service.recommender,
            service.request_states,
            service.cache,
            service.tokens,
            store.reads,
            service.metrics,
        )
    )
    app.include_router(similar_router(service.request_states))
    app.include_router(rankings_router(service.recommender, service.request_states, store.reads))
    app.include_router(predictions_router(service.user_states, service.request_states))
    app.include_router(charts_router(store.trends, service.request_states, service.tokens))
    app.include_router(discovery_router(service.recommender, service.user_states, service.request_states, store.users))
    app.include_router(placements_router(store.placements, service.recommender, service.request_states, service.tokens))
    app.include_router(ratings_router(store, service.tokens, service.metrics))
    app.include_router(events_router(store, service.tokens, service.metrics))
    app.include_router(event_types_router(store.events))
    app.include_router(users_router(store.users))
    app.include_router(items_router(store.items, service.tokens))
    app.include_router(training_router(store.jobs, store.snapshots))
    app.include_router(health_router(service.serving, store.users, service.metrics))
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES)
    app.add_middleware(HeadAsGet)
    app.add_middleware(RequestMetrics, metrics=service.metrics)  # outermost
    return app
