import json
from pathlib import Path

import pytest

from app.store import Store
from tests.support.commands import reckon
from tests.support.movielens import write_latest


@pytest.fixture(autouse=True)
def environment(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECKON_DATABASE_URL", database_url)
    monkeypatch.setenv("RECKON_DATA_DIR", str(tmp_path))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_latest(tmp_path / "ml")


def test_report_in_words(folder: Path, store: Store) -> None:
    finished = reckon("import", folder)
    assert finished.exit_code == 0
    assert finished.output.splitlines()[:5] == [
        "ratings     3 stored, 0 replaced, 0 unchanged, 0 rejected",
        "users       0 stored, 0 replaced, 0 unchanged, 0 rejected",
        "items       5 stored, 0 replaced, 0 unchanged, 0 rejected",
        "scale       0.5:5:0.5 (detected)",
        "ignored     README.txt, links.csv, tags.csv",
    ]
    assert store.ratings.count() == 3


def test_report_as_json(folder: Path) -> None:
    report = json.loads(reckon("import", folder, "--json").output)
    assert report["ratings"] == {"readable": 3, "stored": 3, "replaced": 0, "unchanged": 0, "rejected": 0}
    assert (report["scale"], report["is_scale_detected"], report["rejected_path"]) == ("0.5:5:0.5", True, None)


def test_dry_run(folder: Path, store: Store) -> None:
    finished = reckon("import", folder, "--dry-run")
    assert finished.output.startswith("ratings     3 readable, 0 rejected\n")
    assert "nothing stored" in finished.output
    assert store.ratings.count() == 0


def test_rejected_rows_shown(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("who;what;stars\nu;i;5\nu;j;lots\n")
    finished = reckon("import", path, "--columns", "user=who,item=what,rating=stars", "--scale", "1:5:1")
    assert finished.exit_code == 0
    assert "rejected    mine.csv, line 3: value: 'lots' is not a number" in finished.output
    (rejected,) = (tmp_path / "rejected").iterdir()
    assert f"all 1 in {rejected}" in finished.output
    assert store.ratings.count() == 1


def test_events_and_placements(tmp_path: Path, store: Store) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "events.csv").write_text("event_id,type,user_id,item_id,at\ne1,clicked,u,i,1\ne2,hummed,u,i,1\n")
    (folder / "placements.csv").write_text('placement,settings\nhome,"{""filter"": ""year >>""}"\nend,{}\n')
    finished = reckon("import", folder)
    assert finished.output.splitlines()[:5] == [
        "events      1 stored, 0 replaced, 0 unchanged, 1 rejected",
        "ratings     0 stored, 0 replaced, 0 unchanged, 0 rejected",
        "users       0 stored, 0 replaced, 0 unchanged, 0 rejected",
        "items       0 stored, 0 replaced, 0 unchanged, 0 rejected",
        "placements  1 stored, 0 replaced, 0 unchanged, 1 rejected",
    ]
    assert "rejected    placements.csv, line 2: filter: at character 6" in finished.output
    assert "rejected    events.csv, line 3: type: there is no event type 'hummed'" in finished.output
    assert (list(store.placements.all()), store.events.count()) == (["end"], 1)


def test_all_rejected_fails(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("user,item,rating\nu,i,lots\n")
    assert reckon("import", path).exit_code == 1


def test_one_clear_line(tmp_path: Path) -> None:
    finished = reckon("import", tmp_path / "nothing.csv")
    assert finished.exit_code == 1
    assert finished.errors == f"reckon: there is no file or folder {tmp_path / 'nothing.csv'}\n"


def test_interrupted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("app.intake.importing.recognise", interrupt)
    finished = reckon("import", folder)
    assert (finished.exit_code, finished.errors) == (
        130,
        "reckon: interrupted; run the same command again to finish the import\n",
    )
