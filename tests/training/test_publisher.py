"""What a publication finds on the disk."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.snapshots.folders import SnapshotFolders
from app.store import Store
from app.training.publisher import Publisher
from app.training.recipe import rating_recipe
from app.training.run import Trainer
from tests.support.ratings import incoming
from tests.support.runs import claimed


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_folder_left_over(store: Store, tmp_path: Path) -> None:
    """By a run after the state that the database was restored to: it stays as it is, under its own version."""
    trainer = Trainer(store, Publisher(store, SnapshotFolders(tmp_path)))
    left_over = trainer.publisher.root / "000001"
    left_over.mkdir(parents=True)
    (left_over / "manifest.json").write_text("of another state")
    store.ratings.record(incoming(("ann", "x", 4)))
    store.jobs.enqueue("request", recipe=rating_recipe("funk_svd").document)
    with capture_logs() as logged:
        version = trainer.run(claimed(store))
    assert version == 2
    assert [each.version for each in store.snapshots.entries()] == [2]
    assert [file.name for file in left_over.iterdir()] == ["manifest.json"]
    assert [each["version"] for each in logged if each["event"] == "snapshot folder is left over"] == [1]
