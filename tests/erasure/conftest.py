"""Snapshots whose folders hold a text alone: erasures look at entries and folders, never inside."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.snapshots.write import folder_name
from app.store import Store

Publish = Callable[[str], int]


@pytest.fixture
def publish(store: Store, tmp_path: Path) -> Publish:
    """Publishes a snapshot of the data as they are now, with this text in its folder; returns its version."""

    def publish(text: str) -> int:
        n_erasures = store.training_reads.load().n_erasures
        store.jobs.enqueue("request")
        claim = store.jobs.claim("worker", lease_seconds=60)
        assert claim is not None
        version = store.snapshots.next_version()
        folder = tmp_path / "snapshots" / folder_name(version)
        folder.mkdir(parents=True)
        (folder / "features.json").write_text(text)
        card = {"reason": None, "format": 0, "watermark": {"n_erasures": n_erasures}}
        store.snapshots.register(claim, version=version, path=str(folder.relative_to(tmp_path)), card=card)
        return version

    return publish
