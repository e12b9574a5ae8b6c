"""What the client tells operators of the service."""

from contextlib import closing
from pathlib import Path

import pytest

from app.client import ConsumedPartition, Consumer, NotFoundError, Reckon
from app.intake.importing import import_path
from app.observability.consumption import ConsumerMetrics
from app.serving.placement_config import settings_to_store
from app.store import Store
from app.store.presence import Presence


def test_arrivals(reckon: Reckon) -> None:
    assert reckon.arrivals().totals.ratings.n == 0
    assert len(list(reckon.arrivals(hours=3))) == 3


def test_processes(reckon: Reckon) -> None:
    reckon.recommendations("ann")
    seen = reckon.processes()
    assert list(seen) == []  # none has beaten yet
    assert (len(seen.activity.minutes), seen.activity.requests, seen.activity.p50_seconds) == (60, 0, None)


def test_consumer(reckon: Reckon, tmp_path: Path) -> None:
    metrics = ConsumerMetrics()
    metrics.observe_lag({("reckon.ratings", 1): 5})
    with closing(Store.open("", tmp_path)) as store:
        Presence(store, "consumer", activity=metrics.as_json).beat()
    (seen,) = reckon.processes()
    assert seen.consumer == Consumer(0, 0, 5, (ConsumedPartition("reckon.ratings", 1, 5),), None)


def test_imports(reckon: Reckon, tmp_path: Path) -> None:
    assert list(reckon.imports()) == []
    with pytest.raises(NotFoundError):
        reckon.rejected_import_rows("latest")
    path = tmp_path / "ratings.csv"
    path.write_text("user,item,rating\nann,x,4\nbob,x,eleven\n")
    store = Store.open("", tmp_path)
    import_path(path, store, rejected_dir=tmp_path, check_settings=settings_to_store)
    store.close()
    (done,) = reckon.imports()
    assert (done.file, done.state, done.counts["ratings"].stored, done.n_rejected) == ("ratings.csv", "succeeded", 1, 1)
    (row,) = reckon.rejected_import_rows(done.import_id)
    assert (row.line, row.field, row.row) == (3, "value", "bob,x,eleven")
