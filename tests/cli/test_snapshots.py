import json
from pathlib import Path

import pytest

from app.store import migrate
from app.training.recipe import rating_recipe
from tests.support.commands import Finished, reckon
from tests.support.published import opened_shop
from tests.support.user_states import tasteful_ratings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Snapshots 1 and 2."""
    data_dir = tmp_path_factory.mktemp("data")
    with opened_shop(data_dir, tasteful_ratings()) as shop:
        for _ in range(2):
            shop.train(rating_recipe("funk_svd").document)
    return data_dir


@pytest.fixture
def published(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECKON_DATA_DIR", str(folder))


def snapshots(*options: str) -> Finished:
    return reckon("snapshots", *options)


@pytest.mark.usefixtures("published")
def test_list() -> None:
    lines = snapshots("list").output.splitlines()
    assert [line.split()[0] for line in lines] == ["2", "1"]
    assert "ndcg@10" in lines[0]
    cards = json.loads(snapshots("list", "--json").output)
    assert [card["version"] for card in cards] == [2, 1]
    assert cards[0]["card"]["watermark"]["n_ratings"] == 2400


@pytest.mark.usefixtures("published")
def test_activate_and_back() -> None:
    assert "snapshot 1 is live and pinned" in snapshots("activate", "1").output
    assert "pinned" in snapshots("list").output.splitlines()[1]
    assert "snapshot 2 is live" in snapshots("activate", "latest").output


@pytest.mark.parametrize("version", ["9", "0", "-1", "first", "9" * 30, "¹"])
@pytest.mark.usefixtures("published")
def test_no_such_version(version: str) -> None:
    done = snapshots("activate", "--", version)
    assert done.exit_code == 1
    assert version in done.errors
    assert "Traceback" not in done.errors


@pytest.mark.usefixtures("published")
def test_damaged_one(folder: Path) -> None:
    kept = folder / "snapshots" / "000001" / "groups.json"
    content = kept.read_bytes()
    kept.unlink()
    try:
        refused = snapshots("activate", "1")
        assert refused.exit_code == 1
        assert "groups.json" in refused.errors
        assert "cannot be served: groups.json" in snapshots("list").output
    finally:
        kept.write_bytes(content)


def test_nothing_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate("", tmp_path)
    monkeypatch.setenv("RECKON_DATA_DIR", str(tmp_path))
    assert "there are no snapshots" in snapshots("list").output
