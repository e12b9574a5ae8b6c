from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from app.store import Store
from app.wiring import Service
from tests.support.trained import fill, train


@pytest.fixture
def service(store: Store, database_url: str, tmp_path: Path) -> Iterator[Service]:
    """Everything behind the API, on a trained store; it looks for snapshots only when `live.poll()` is called."""
    fill(store)
    train(store, tmp_path)
    built = Service.build(Settings(database_url=database_url, data_dir=tmp_path))
    yield built
    built.store.close()
