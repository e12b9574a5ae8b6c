"""Runs the real service inside the process of a test, for the tests of a product, without network or mocks.

    with running_app() as app, Reckon(transport=app.transport) as reckon:
        reckon.rate("ann", "260", 5)

This module is above all others in the import order and is part of the service's wheel. It needs httpx, which is a
dependency of the client and not of the service.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.types import ASGIApp

from app.entities import RatingScale
from app.main import create_app
from app.settings import Settings
from app.store import Store, migrate

try:
    import httpx
except ModuleNotFoundError as error:
    text = "app.testing needs httpx, which is not a dependency of the service: pip install 'httpx>=0.28,<1'"
    raise ModuleNotFoundError(text, name="httpx") from error

SNAPSHOT_POLL_SECONDS = 0.02
"""How often the application looks for a new snapshot. Each `train` waits for it, so less than the service's default."""

LIVE_TIMEOUT_SECONDS = 60.0


class AppTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Hands requests to an ASGI application that runs on the event loop of another thread.

    It serves `httpx.Client` and `httpx.AsyncClient` alike, from any number of threads and event loops. The application
    stays on its own loop in either case, since its locks and tasks belong to one loop.
    """

    def __init__(self, app: ASGIApp, portal: BlockingPortal) -> None:
        # An error of the application is answered with 500, as over the network, and not raised in the caller.
        self._asgi = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._portal = portal

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()  # the body of a blocking client may be a stream that a coroutine cannot read
        return self._portal.call(self._answer, request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()  # on the caller's loop, where its stream belongs
        return await asyncio.wrap_future(self._portal.start_task_soon(self._answer, request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        response = await self._asgi.handle_async_request(request)
        # The caller cannot read a stream of this loop, so the response leaves it as a whole.
        content = await response.aread()
        return httpx.Response(response.status_code, headers=response.headers.raw, content=content)


class RunningApp:
    """A service that runs until its `running_app` block ends.

    `transport`: for `Reckon(transport=...)` and `AsyncReckon(transport=...)`, or any other httpx client.
    `settings`: what the service runs with; `data_dir` and `database_url` are those of this block.
    """

    def __init__(self, settings: Settings, transport: AppTransport, live_version: Callable[[], int | None]) -> None:
        """`live_version`: of the snapshot that answers."""
        self._live_version = live_version
        self.settings = settings
        self.transport = transport

    def train(self, *, seed: int = 0) -> int:
        """Train on everything stored so far, here and now; returns the version of the snapshot.

        When it returns, answers come from that snapshot. Raises `RuntimeError`, with the reason, where training ends
        without a snapshot: there is too little to learn from, or the gate rejects the result.
        """
        from app.worker.follow import run_to_end  # noqa: PLC0415  imports the learners and their compiler
        from app.worker.loop import build_trainer  # noqa: PLC0415  see above

        store = Store.open(self.settings.database_url, self.settings.data_dir)
        try:
            job = store.jobs.enqueue("request", seed=seed)
            trainer = build_trainer(self.settings, store)
            job = run_to_end(job, trainer, lease_seconds=self.settings.worker_lease_seconds)
            if job.snapshot_version is None:
                raise RuntimeError(f"training {job.state}: {job.reason}")
            is_live = store.snapshots.get(job.snapshot_version).is_live
        finally:
            store.close()
        if is_live:  # it is not where the test has pinned another
            self._wait_until_live(job.snapshot_version)
        return job.snapshot_version

    def _wait_until_live(self, version: int) -> None:
        deadline = time.monotonic() + LIVE_TIMEOUT_SECONDS
        while self._live_version() != version:
            if time.monotonic() > deadline:
                raise TimeoutError(f"snapshot {version} is not live after {LIVE_TIMEOUT_SECONDS:g} s")
            time.sleep(SNAPSHOT_POLL_SECONDS)


@contextmanager
def running_app(settings: Settings | None = None, *, scale: str | None = None) -> Iterator[RunningApp]:
    """Runs the whole service on a new, empty SQLite database in a temporary folder.

    `settings`: by default those of the environment (`RECKON_...`). `data_dir` and `database_url` are always replaced,
    so a test cannot reach a real database.
    `scale`: the rating scale as `MIN:MAX[:STEP]`; by default 1:5.

    There is no worker: nothing is learned until `RunningApp.train` is called.
    """
    with tempfile.TemporaryDirectory(prefix="reckon-testing-") as folder:
        data_dir = Path(folder)
        own = {
            "data_dir": data_dir,
            "database_url": f"sqlite:///{data_dir / 'reckon.db'}",
            "snapshot_poll_seconds": SNAPSHOT_POLL_SECONDS,
        }
        settings = (settings or Settings()).model_copy(update=own)
        migrate(settings.database_url, data_dir)
        if scale is not None:
            store = Store.open(settings.database_url, data_dir)
            store.instance.set_scale(RatingScale.parse(scale))
            store.close()
        app = create_app(settings)
        # httpx does not run the lifespan of an application, which follows new snapshots and closes the database.
        with (
            start_blocking_portal(name="reckon-testing") as portal,
            portal.wrap_async_context_manager(app.router.lifespan_context(app)),
        ):
            serving = app.state.service.serving
            yield RunningApp(settings, AppTransport(app, portal), lambda: serving.current.scorer.version)
