from pathlib import Path

import pytest

from app.snapshots.folders import SnapshotFolders
from app.store import Store
from app.training.publisher import Publisher
from app.training.run import Trainer


@pytest.fixture
def trainer(store: Store, tmp_path: Path) -> Trainer:
    return Trainer(store, Publisher(store, SnapshotFolders(tmp_path), n_kept=3))
