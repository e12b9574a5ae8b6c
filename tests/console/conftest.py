from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from app.main import create_app
from app.settings import Settings
from app.wiring import Service
from tests.support.console import Console


@pytest.fixture
def app(trained_url: str, tmp_path: Path) -> FastAPI:
    """On a snapshot really learned, on each of the two databases."""
    return create_app(Settings(database_url=trained_url, data_dir=tmp_path, snapshot_poll_seconds=3_600))


@pytest.fixture
def console(app: FastAPI) -> Iterator[Console]:
    opened = Console(app)
    with opened.client:
        yield opened


@pytest.fixture
def empty(database_url: str, tmp_path: Path) -> Iterator[Console]:
    """A service that knows nothing yet."""
    opened = Console(create_app(Settings(database_url=database_url, data_dir=tmp_path, snapshot_poll_seconds=3_600)))
    with opened.client:
        yield opened


@pytest.fixture
def service(console: Console) -> Service:
    service: Service = console.client.app.state.service  # type: ignore[attr-defined]  # an application
    return service
