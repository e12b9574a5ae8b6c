"""Fixtures: short; their bodies stand in `tests/support/`."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from threadpoolctl import threadpool_limits

from app.main import create_app
from app.settings import Settings
from app.store import Store
from tests.support.databases import MigratedDatabases


@pytest.fixture(scope="session", autouse=True)
def one_blas_thread() -> Iterator[None]:
    """Two processes of tests on two cores: more threads would wait for one another."""
    with threadpool_limits(1, "blas"):
        yield


@pytest.fixture(scope="session")
def databases() -> Iterator[MigratedDatabases]:
    # Not a pytest folder: other runs of pytest on this machine clear those away after a while.
    with tempfile.TemporaryDirectory(prefix="reckon-tests-") as folder:
        made = MigratedDatabases(Path(folder))
        yield made
        made.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, databases: MigratedDatabases, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated, empty database of this test alone, on each of the two kinds."""
    with databases.fresh(request.param, tmp_path) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def trained_url(request: pytest.FixtureRequest, databases: MigratedDatabases, tmp_path: Path) -> Iterator[str]:
    """As `database_url`, with ratings and a live snapshot really learned from them (see `tests.support.trained`)."""
    with databases.trained(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(database_url, tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(database_url=database_url, data_dir=tmp_path, snapshot_poll_seconds=0.05)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """The whole API on an empty database; nothing is learned yet."""
    with TestClient(create_app(settings), raise_server_exceptions=False) as opened:
        yield opened
