import json
from pathlib import Path

import pytest

from app.store import Store, migrate
from tests.support.service import Instance
from tests.support.user_states import tasteful_ratings


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Instance:
    """Snapshots 1 and 2."""
    data_dir = tmp_path_factory.mktemp("data")
    migrate("", data_dir)
    store = Store.open("", data_dir)
    store.ratings.record(tasteful_ratings())
    store.close()
    made = Instance(data_dir)
    made.run("train")
    made.run("train")
    return made


def test_list(instance: Instance) -> None:
    lines = instance.run("snapshots", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["2", "1"]
    assert "ndcg@10" in lines[0]
    cards = json.loads(instance.run("snapshots", "list", "--json").stdout)
    assert [card["version"] for card in cards] == [2, 1]
    assert cards[0]["card"]["watermark"]["n_ratings"] == 2400


def test_activate_and_back(instance: Instance) -> None:
    assert "snapshot 1 is live and pinned" in instance.run("snapshots", "activate", "1").stdout
    assert "pinned" in instance.run("snapshots", "list").stdout.splitlines()[1]
    assert "snapshot 2 is live" in instance.run("snapshots", "activate", "latest").stdout


@pytest.mark.parametrize("version", ["9", "0", "-1", "first", "9" * 30, "¹"])
def test_no_such_version(instance: Instance, version: str) -> None:
    done = instance.run("snapshots", "activate", "--", version, check=False)
    assert done.returncode == 1
    assert version in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_published(tmp_path: Path) -> None:
    migrate("", tmp_path)
    assert "there are no snapshots" in Instance(tmp_path).run("snapshots", "list").stdout
