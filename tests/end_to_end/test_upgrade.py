"""The data folder of each earlier release starts, migrates, answers, and is trained anew by this one."""

import json
import shutil
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from app.snapshots.manifest import FORMAT
from tests.support.service import Instance, wait_until

RELEASES = sorted((Path(__file__).parents[1] / "data" / "releases").glob("*.tar.xz"))

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("end_to_end")]

PARAMETERS = {"user_id": "u1", "item_id": "i1", "guest_id": "u2", "version": "1", "name": "page", "chart": "popular"}
"""Values of the path parameters, as the fixture holds them."""


@pytest.fixture(params=RELEASES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Instance:
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    return Instance(tmp_path)


def test_migrates_answers_and_learns(old: Instance) -> None:
    recipe = json.loads(stored(old, "SELECT recipe FROM installation"))
    assert {segment["name"] for segment in recipe["segments"]} >= {"rating", "taste", "prior"}
    old.run("migrate")
    more = old.data_dir / "more.csv"
    more.write_text("user,item,rating\nnewcomer,i1,4\n")
    old.run("import", str(more))
    with old.serving("--no-worker") as service:
        service.call("PUT", "/users/erased", {})
        service.call("DELETE", "/users/erased")
        job_id = service.call("POST", "/training-jobs", {})[1]["job_id"]
        statuses = service.get_every(PARAMETERS | {"job_id": job_id, "erasure_id": "latest", "import_id": "latest"})
        assert {path: status for path, status in statuses.items() if status != 200} == {}
        assert service.call("GET", "/users/u1/ratings")[1]["ratings"]
        assert service.call("GET", "/placements/page")[1]["settings"]["filter"] == "year >= 1965"
        items = service.call("GET", "/users/u1/recommendations?placement=page")[1]["items"]
        assert "i3" not in {item["item_id"] for item in items}  # it is hidden
        old.run("train")
        wait_until(lambda: service.call("GET", "/users/u1/recommendations")[1]["strategy"] == "personalized")
        version = service.call("GET", "/users/u1/recommendations")[1]["snapshot_version"]
        segments = service.call("GET", f"/snapshots/{version}")[1]["card"]["requested_recipe"]["segments"]
        # The stored recipe of the release names its segments by their old names.
        renamed = {"prior": "popularity"}
        assert {renamed.get(segment["name"], segment["name"]) for segment in segments} == {
            renamed.get(segment["name"], segment["name"]) for segment in recipe["segments"]
        }


def test_snapshot_of_another_format_is_trained_anew(old: Instance) -> None:
    """An older format is not read: the list is what is popular, and training is due by itself."""
    manifest = json.loads((old.data_dir / "snapshots" / "000001" / "manifest.json").read_text())
    old.run("migrate")
    if manifest["format"] == FORMAT:
        pytest.skip("this release still reads the format of the fixture")
    with old.serving() as service:
        assert service.call("GET", "/users/u1/recommendations")[0] == 200
        wait_until(lambda: service.call("GET", "/users/u1/recommendations")[1]["strategy"] == "personalized")


def test_nothing_is_lost(old: Instance, tmp_path: Path) -> None:
    """Migration keeps every row: counts before and after are equal."""
    tables = ("ratings", "items", "users", "events", "placements")
    counted = [f"SELECT count(*) FROM {table}" for table in tables]  # noqa: S608  names of our own
    before = [stored(old, statement) for statement in counted]
    copy = Instance(tmp_path / "copy")
    shutil.copytree(old.data_dir, copy.data_dir, ignore=shutil.ignore_patterns("copy"))
    copy.run("migrate")
    assert [stored(copy, statement) for statement in counted] == before
    assert all(before)


def stored(instance: Instance, statement: str) -> str:
    with closing(sqlite3.connect(instance.data_dir / "reckon.db")) as connection:
        (value,) = connection.execute(statement).fetchone()
    return str(value)
