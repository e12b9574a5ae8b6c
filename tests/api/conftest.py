from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings


@pytest.fixture
def trained(trained_url: str, tmp_path: Path) -> Iterator[TestClient]:
    """The whole API on a snapshot really learned."""
    settings = Settings(database_url=trained_url, data_dir=tmp_path, snapshot_poll_seconds=0.05)
    with TestClient(create_app(settings), raise_server_exceptions=False) as opened:
        yield opened


@pytest.fixture
def unpolled(trained_url: str, tmp_path: Path) -> Iterator[TestClient]:
    """As `trained`, but no poll counts trends and popularity anew while the test runs: lists depend on both."""
    settings = Settings(database_url=trained_url, data_dir=tmp_path, snapshot_poll_seconds=3_600)
    with TestClient(create_app(settings), raise_server_exceptions=False) as opened:
        yield opened
