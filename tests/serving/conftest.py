from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from app.wiring import Service


@pytest.fixture
def service(trained_url: str, tmp_path: Path) -> Iterator[Service]:
    """Everything behind the API, on a trained store; snapshots are followed only by `serving.poll()`."""
    built = Service.build(Settings(database_url=trained_url, data_dir=tmp_path))
    yield built
    built.store.close()
