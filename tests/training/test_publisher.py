"""What a publication finds on the disk."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from app.main import create_app
from app.settings import Settings
from app.snapshots.folders import SnapshotFolders
from app.store import Store
from app.training.publisher import Publisher
from app.training.recipe import rating_recipe
from app.training.run import Trainer
from tests.support.published import opened_shop
from tests.support.ratings import incoming
from tests.support.runs import claimed
from tests.support.user_states import tasteful_ratings


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


@pytest.mark.slow
def test_share_of_the_users(tmp_path: Path) -> None:
    """Users outside of the table get the lists that they would get by it, folded in."""
    with opened_shop(tmp_path, tasteful_ratings(n_users=120, n_items=60, n_each=20)) as shop:
        every = shop.train()
        some = replace(shop, trainer=replace(shop.trainer, publisher=replace(shop.trainer.publisher, max_users=40)))
        part = some.train()
        n_kept = len(part.arrays.user_keys)
        assert 20 < n_kept < 60
        assert not part.has_all_users
        assert part.manifest.counts == every.manifest.counts
        assert [each for each in part.manifest.choices if each.startswith("users: the table holds 33.3% of them")]
        np.testing.assert_array_equal(part.item_vectors, every.item_vectors)
        # A third run compares itself with the live one, which is not taken to have lost two thirds of its users.
        with capture_logs() as logged:
            some.train()
        decisions = [entry["decision"] for entry in logged if entry["event"] == "decision"]
        assert [each for each in decisions if each.startswith("passed against snapshot 2")]
        ids = shop.store.users.ids_of(every.arrays.user_keys.tolist())
    lists, strategies = {}, {}
    for version in (1, 2):
        with TestClient(create_app(Settings(data_dir=tmp_path)), base_url="http://localhost") as client:
            assert client.post(f"/snapshots/{version}/activate").status_code == 200
            client.app.state.service.serving.look()  # type: ignore[attr-defined]  # an application
            answers = {user_id: client.get(f"/users/{user_id}/recommendations").json() for user_id in ids.values()}
        assert {each["snapshot_version"] for each in answers.values()} == {version}
        lists[version] = {user_id: [item["item_id"] for item in each["items"]] for user_id, each in answers.items()}
        strategies[version] = [each["strategy"] for each in answers.values()]
    assert lists[1] == lists[2]
    assert strategies[1].count("personalized") == 120
    assert (strategies[2].count("personalized"), strategies[2].count("fold_in")) == (n_kept, 120 - n_kept)
