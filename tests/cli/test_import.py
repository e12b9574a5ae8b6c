import json
import shlex
from pathlib import Path

import pytest

from app.entities import Item
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


def test_wrong_setting_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECKON_UNKNOWN_ITEMS", "maybe")
    finished = reckon("import", folder)
    assert (finished.exit_code, finished.errors[:29]) == (1, "reckon: RECKON_UNKNOWN_ITEMS:")


def test_report_in_words(folder: Path, store: Store) -> None:
    finished = reckon("import", folder)
    assert finished.exit_code == 0
    assert finished.output.splitlines()[:5] == [
        "ratings     3 stored, 0 replaced, 0 unchanged, 0 rejected",
        "users       0 stored, 0 replaced, 0 unchanged, 0 rejected",
        "items       5 stored, 1 replaced, 0 unchanged, 0 rejected",
        "scale       0.5:5:0.5 (detected)",
        "ignored     README.txt, links.csv (--preview says why)",
    ]
    assert store.ratings.count() == 3


def test_report_as_json(folder: Path) -> None:
    report = json.loads(reckon("import", folder, "--json").output)
    assert report["ratings"] == {
        "readable": 3,
        "stored": 3,
        "replaced": 0,
        "unchanged": 0,
        "rejected": 0,
        "repeated": 0,
    }
    assert (report["scale"], report["is_scale_detected"], report["rejected_path"]) == ("0.5:5:0.5", True, None)


def test_dry_run(folder: Path, store: Store) -> None:
    finished = reckon("import", folder, "--dry-run")
    assert finished.output.startswith("ratings     3 readable, 0 rejected\n")
    assert "nothing stored" in finished.output
    assert store.ratings.count() == 0


def test_whole_rows(tmp_path: Path, store: Store) -> None:
    (tmp_path / "items.csv").write_text("item_id,year\nx,1990\n")
    for options, title in (((), "X"), (("--replace",), None)):
        store.items.record([Item("x", "X")])
        assert reckon("import", tmp_path / "items.csv", *options).exit_code == 0
        assert store.items.get("x") == Item("x", title, year=1990)


def test_unknown_items(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.csv").write_text("user,item,rating\nu,x,5\nu,y,4\n")
    store.items.record([Item("x")])
    monkeypatch.setenv("RECKON_UNKNOWN_ITEMS", "reject")
    finished = reckon("import", tmp_path / "mine.csv")
    assert "rejected    mine.csv, line 3: item_id: there is no such item" in finished.output
    assert finished.output.startswith("ratings     1 stored, 0 replaced, 0 unchanged, 1 rejected\n")


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
    (folder / "events.csv").write_text("event_id,type,user_id,item_id,at\ne1,clicked,u,i,1\ne2,clicked,u,i,soon\n")
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
    assert "rejected    events.csv, line 3: at: 'soon' is not a time" in finished.output
    assert (list(store.placements.all()), store.events.count()) == (["end"], 1)


def test_preview(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("Buyer,SKU,Stars,Note\nu,[b]i,5,x\nu,j,lots,y\n")
    finished = reckon("import", path, "--preview", "--rows", 2)
    assert finished.exit_code == 0
    lines = finished.output.splitlines()
    assert lines[:3] == [
        "mine.csv: ratings (delimited)",
        "  columns  Buyer -> user_id, SKU -> item_id, Stars -> value",
        "  ignored  Note",
    ]
    assert [cell.strip() for cell in lines[6].split("\N{BOX DRAWINGS LIGHT VERTICAL}")[1:-1]] == [
        "u",
        "[b]i",
        "5.0",
        "",
    ]
    assert lines[-2:] == ["  rejected line 3: value: 'lots' is not a number", "preview, nothing stored"]
    assert store.ratings.count() == 0
    assert not (tmp_path / "rejected").exists()


def test_preview_as_json(folder: Path) -> None:
    files = json.loads(reckon("import", folder, "--preview", "--rows", 1, "--json").output)["files"]
    ratings = next(file for file in files if file["file"] == "ratings.csv")
    assert (ratings["kind"], len(ratings["rows"])) == ("ratings", 1)
    assert next(file["problem"] for file in files if file["file"] == "README.txt")


def test_refusal_names_the_option(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("Kunde;Product SKU;Stars;Reviewed At\nc1;p1;5;2020-01-01 10:00\nc2;p2;4;2020-01-02 11:00\n")
    refused = reckon("import", path)
    assert (refused.exit_code, store.items.count()) == (1, 0)
    proposed = next(line for line in refused.errors.splitlines() if "rows are ratings" in line)
    assert reckon("import", path, *shlex.split(proposed.partition(": ")[2])).exit_code == 0
    assert store.ratings.count() == 2


def test_left_out_cells_shown(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id,title,year\n1,Heat,unknown\n2,Ran,c. 1985\n3,Up,2009\n")
    finished = reckon("import", path)
    assert finished.output.splitlines()[2] == "items       3 stored, 0 replaced, 0 unchanged, 0 rejected"
    assert "left out    items.csv, column year: 2, the first in line 2: 'unknown' is not a year" in finished.output
    assert [(item.title, item.year) for item in store.items.stream()] == [("Heat", None), ("Ran", None), ("Up", 2009)]
    (left_out,) = json.loads(reckon("import", path, "--json").output)["left_out"]
    assert (left_out["column"], left_out["n_cells"], left_out["line"]) == ("year", 2, 2)


@pytest.mark.parametrize(
    ("row", "option"), [("u;i;4;03/04/2015", ["--date-format", "%d/%m/%Y"]), ("u;i;1,234;", ["--decimal", ","])]
)
def test_options_for_values(tmp_path: Path, store: Store, row: str, option: list[str]) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f"user;item;rating;date\n{row}\n")
    refused = reckon("import", path)
    assert (refused.exit_code, option[0] in refused.errors) == (1, True)
    assert reckon("import", path, *option).exit_code == 0
    assert store.ratings.count() == 1


def test_no_decimal_sign(tmp_path: Path) -> None:
    refused = reckon("import", tmp_path, "--decimal", "comma")
    assert "--decimal 'comma' is neither . nor ," in refused.errors


def test_all_rejected_fails(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("user,item,rating\nu,i,lots\n")
    assert reckon("import", path).exit_code == 1


def test_many_rejected(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    rows = [f"u,i{row},{'lots' if row < 4 else row % 5 + 1}" for row in range(125)]
    path.write_text("\n".join(["user,item,rating", *rows]))
    finished = reckon("import", path)
    *_, done, warning = finished.output.splitlines()
    assert (finished.exit_code, done[:7]) == (0, "done in")
    assert warning == "warning: 3.2 % of the rows were rejected; the first reason: value: 'lots' is not a number"
    strict = reckon("import", path, "--strict", "--json")
    assert (strict.exit_code, json.loads(strict.output)["warnings"]) == (1, [warning.removeprefix("warning: ")])
    path.write_text("\n".join(["user,item,rating", *rows[3:]]))
    finished = reckon("import", path, "--strict")
    assert (finished.exit_code, finished.output.splitlines()[-1][:7]) == (0, "done in")


def test_scale_in_words(tmp_path: Path) -> None:
    """How to widen a scale that is only the range of the values; what was set aside; what it was before."""
    path = tmp_path / "mine.csv"
    path.write_text("user,item,rating\nu,i,13\nu,j,19\nu,k,?\nu,l,?\nu,m,?\n")
    assert (
        "scale       13:19 (detected); if the scale is wider, say so with --scale MIN:MAX or reckon scale set MIN:MAX\n"
        in reckon("import", path).output
    )
    path.write_text("user,item,rating\n" + "".join(f"u,i{row},{row}\n" for row in [0, 30, 60, 90]) + "v,i,-1\n")
    finished = reckon("import", path)
    assert "scale       0:100 (detected, 13:19 before)\nset aside   1 without a rating\n" in finished.output
    assert "note        -1 is the value of 1 of 5 rows and lies off the scale of the others" in finished.output
    assert json.loads(reckon("import", path, "--json").output)["n_set_aside"] == 1


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


def test_created_types_shown(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item,event,time\nu,i,view,100\nu,i,pondered,100\n")
    lines = reckon("import", path).output.splitlines()
    assert "created     event types view (weight 1); PUT /event-types/NAME changes a weight" in lines
    assert any(line.startswith("created     event types pondered with weight 0: nothing is learned") for line in lines)
    assert store.events.count() == 2


def test_notes_shown(tmp_path: Path) -> None:
    """How a file of an unusual shape was read is part of the report, in words and as JSON."""
    path = tmp_path / "train.txt"
    path.write_text("0 1 2 3\n1 4 5\n")
    note = "train.txt: each line was read as a user, then the items of that user"
    assert f"note        {note}" in reckon("import", path).output.splitlines()
    assert json.loads(reckon("import", path, "--json").output)["notes"] == [note]
