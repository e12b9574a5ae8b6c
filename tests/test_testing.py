"""`app.testing`: the real service in the test's process."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from starlette.types import Receive, Scope, Send

from app.client import AsyncReckon, InvalidInputError, ProblemError, Rating, Reckon
from app.settings import Settings
from app.testing import AppTransport, RunningApp, running_app

ROOT = Path(__file__).parents[1]


@pytest.fixture
def app() -> Iterator[RunningApp]:
    with running_app() as running:
        yield running


def test_both_kinds_of_clients(app: RunningApp) -> None:
    """One service answers them: from several threads, and on loops that are not its own."""

    async def count(user_id: str) -> int:
        async with AsyncReckon(transport=app.transport) as reckon:
            pages = await asyncio.gather(*(reckon.ratings(user_id) for _ in range(5)))
            return sum(len(page.ratings) for page in pages)

    with Reckon(transport=app.transport) as reckon, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: reckon.rate("ann", f"item-{n}", 4), range(20)))
        assert asyncio.run(count("ann")) == asyncio.run(count("ann")) == 5 * 20


def test_trained(app: RunningApp) -> None:
    """The snapshot is live as soon as `train` returns; a second one replaces it."""
    rows = [
        Rating(f"u{user}", f"i{item}", 5 if user % 2 == item % 2 else 1)
        for user in range(40)
        for item in range(30)
        if (7 * user + 3 * item) % 4
    ]
    with Reckon(transport=app.transport) as reckon:
        reckon.rate_many(rows)
        assert reckon.recommendations("u1").strategy == "popular"
        for version in (1, 2):
            assert app.train(seed=version) == version
            answer = reckon.recommendations("u1", limit=5)
            assert (answer.strategy, answer.snapshot_version) == ("personalized", version)
        reckon.activate_snapshot(1)
        assert app.train() == 3
        assert {each.version: each.is_live for each in reckon.snapshots()} == {1: True, 2: False, 3: False}


def test_nothing_to_learn(app: RunningApp) -> None:
    with pytest.raises(RuntimeError, match="rejected: there are no ratings"):
        app.train()


def test_own_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the environment nor the given settings lead a test to a real database."""
    monkeypatch.setenv("RECKON_DATABASE_URL", "postgresql+psycopg://127.0.0.1:9/production")
    real = Settings(data_dir=tmp_path, database_url=f"sqlite:///{tmp_path / 'real.db'}", snapshots_kept=2)
    for settings in (None, real):
        with running_app(settings) as app, Reckon(transport=app.transport) as reckon:
            reckon.rate("ann", "x", 4)
            folder = app.settings.data_dir
            assert (folder / "reckon.db").exists()
        assert not folder.exists()
    assert app.settings.snapshots_kept == 2
    assert list(tmp_path.iterdir()) == []


def test_scale() -> None:
    with running_app(scale="0:1") as app, Reckon(transport=app.transport) as reckon:
        assert reckon.rate("ann", "x", 1).value == 1
        with pytest.raises(InvalidInputError):
            reckon.rate("ann", "x", 4)


def test_streamed_body(app: RunningApp) -> None:
    """The body of a blocking client may be a stream."""
    with httpx.Client(transport=app.transport, base_url="http://any") as http:
        parts = [b'{"user_id": "ann", ', b'"item_id": "x", "value": 4}']
        headers = {"content-type": "application/json"}
        assert http.post("/ratings", content=iter(parts), headers=headers).status_code == 201


def test_error_of_the_application() -> None:
    """It is answered, as over the network, and does not reach the caller as an exception of the application."""

    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise LookupError("broken")

    with start_blocking_portal() as portal, Reckon(transport=AppTransport(broken, portal)) as reckon:
        with pytest.raises(ProblemError) as caught:
            reckon.livez()
        assert caught.value.status == 500


def test_without_httpx() -> None:
    program = "import sys; sys.modules['httpx'] = None; import app.testing"
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "pip install 'httpx" in ran.stderr.splitlines()[-1]


def test_import_is_light() -> None:
    """The learners and their compiler are loaded by the first `train`."""
    program = "import sys, app.testing; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
