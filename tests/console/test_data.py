"""Data: imports through the console, exports, the scale and the types of events."""

import csv
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.console.commands import Commands, Ended
from app.console.data_quality import data_quality_view
from app.console.imports import Corrections, corrections_of
from app.entities import EventType
from app.intake.importing import import_path
from app.intake.uploads import Uploads, safe_name
from app.main import create_app
from app.serving.placement_config import settings_to_store
from app.settings import Settings
from app.wiring import Service
from tests.support.console import Console, text_of
from tests.support.keys import stored_key
from tests.support.service import wait_until

RATINGS = "user;item;stars\n" + "".join(f"u{n};i{n % 7};{n % 5 + 1}\n" for n in range(60)) + "u1;i1;eleven\n"


def uploaded(console: Console, content: str | bytes, name: str = "ratings.csv") -> str:
    sent = content.encode() if isinstance(content, str) else content
    return console.done("/console/data/uploads", files={"file": (name, sent)})


def ended(console: Console) -> None:
    """Wait until no import is in progress."""
    wait_until(lambda: 'hx-trigger="every 2s"' not in console.page("/console/data"), 120)


def test_import(empty: Console, tmp_path: Path) -> None:
    page = uploaded(empty, RATINGS, "../My ratings (1).csv")
    text = empty.text(page)
    assert "My_ratings_1_.csv" in text
    assert "u0 i0 1" in text
    dry = text_of(empty.post(f"{page}/dry-run").text)
    assert "ratings: 60 rows can be read, 1 are rejected" in dry
    assert empty.client.get("/counts").json()["ratings"] == 0
    assert empty.done(f"{page}/import") == "/console/data?said=imported"
    ended(empty)
    assert empty.client.get("/counts").json()["ratings"] == 60
    (entry,) = empty.client.app.state.service.store.imports.latest()  # type: ignore[attr-defined]  # an application
    shown = empty.text(f"/console/data/imports/{entry.import_id}")
    assert "'eleven'" in shown
    got = empty.get(f"/console/data/imports/{entry.import_id}/rejected.csv")
    assert got.headers["content-disposition"].startswith("attachment")
    assert next(csv.DictReader(io.StringIO(got.text)))["line"] == "62"
    # Once the command has ended, which is a moment after the import.
    wait_until(lambda: not list((tmp_path / "uploads").iterdir()), 30)
    assert empty.get(page).status_code == 404


def test_corrected(empty: Console) -> None:
    page = uploaded(empty, "a,b,c\nann,x,4\nbob,y,5\n")
    columns = {"kind": "ratings", "use a": "user_id", "use b": "item_id", "use c": "value"}
    target = empty.done(f"{page}/correct", columns)
    assert "user_id item_id value" in empty.text(target)
    assert empty.done(f"{page}/import", columns)
    ended(empty)
    assert empty.client.get("/users/bob/ratings").json()["ratings"][0]["value"] == 5


@pytest.mark.parametrize(
    ("content", "name"),
    [(b"", "empty.csv"), (b"\x00\x01\x02" * 100, "x.bin"), (b"PK\x03\x04broken", "x.zip"), (b"hello", "x.txt")],
)
def test_unreadable(empty: Console, content: bytes, name: str) -> None:
    """It says why, and keeps the file, so that corrections can be tried."""
    got = empty.get(uploaded(empty, content, name))
    assert got.status_code == 200
    assert "not imported" in got.text or "problem" in got.text
    assert "formaction" not in got.text or "/import" not in got.text


def test_no_file(empty: Console) -> None:
    got = empty.post("/console/data/uploads")
    assert (got.status_code, "choose a file first" in got.text) == (422, True)


@pytest.mark.parametrize(
    "fields",
    [
        {"scale": "5:1"},
        {"encoding": "klingon"},
        {"date_format": "%Q"},
        {"kind": "nonsense"},
        {"missing": ",,"},
        {"use user": "user_id", "use item": "user_id"},
    ],
)
def test_bad_corrections(empty: Console, fields: dict[str, str]) -> None:
    page = uploaded(empty, RATINGS)
    got = empty.post(f"{page}/dry-run", fields)
    assert (got.status_code, 'class="problem"' in got.text) == (422, True)
    assert empty.client.get("/counts").json()["ratings"] == 0


def test_one_at_a_time(empty: Console) -> None:
    first, second = uploaded(empty, RATINGS), uploaded(empty, RATINGS)
    assert empty.post(f"{first}/import").status_code == 303
    got = empty.post(f"{second}/import")
    assert (got.status_code, "another import is in progress" in got.text) == (409, True)
    ended(empty)


@pytest.fixture
def other(database_url: str, tmp_path: Path) -> Iterator[Console]:
    """Another process of the same service, or the same after a restart."""
    opened = Console(create_app(Settings(database_url=database_url, data_dir=tmp_path, snapshot_poll_seconds=3_600)))
    with opened.client:
        yield opened


def test_other_process(empty: Console, other: Console) -> None:
    """It knows of an import that runs, refuses another, and says why one has failed."""
    first, second = uploaded(empty, RATINGS, "first.csv"), uploaded(other, RATINGS, "second.csv")
    assert empty.post(f"{first}/import", {"scale": "5:1"}).status_code == 303
    assert 'hx-trigger="every 2s"' in other.page("/console/data")
    assert "first.csv" not in other.text("/console/data").partition("Not imported yet")[2].partition(".csv")[0]
    got = other.post(f"{second}/import")
    assert (got.status_code, "another import is in progress" in got.text) == (409, True)
    ended(other)
    for console in (empty, other):
        shown = console.page("/console/data")
        assert "The last import failed" in shown
        assert f'href="{first}?scale=5%3A1"' in shown
    assert other.done(f"{first}/import")
    ended(empty)
    assert [each["state"] for each in other.client.get("/imports").json()["imports"]] == ["succeeded", "failed"]
    wait_until(lambda: other.get(first).status_code == 404, 30)
    assert "The last import failed" not in empty.page("/console/data")


def test_progress(empty: Console) -> None:
    """A bar with the share and the time that is left, or one without where they are not known; the rows in any case."""
    imports = empty.client.app.state.service.store.imports  # type: ignore[attr-defined]  # an application
    import_id = imports.begin("ratings.csv")
    paths = ("/console/data", f"/console/data/imports/{import_id}")
    for path in paths:
        assert '<progress max="1" aria-label' in empty.page(path)
    counts = {"readable": 1_200, "stored": 1_200, "replaced": 0, "unchanged": 0, "rejected": 0, "repeated": 3}
    imports.report(import_id, {"ratings": counts}, 0.25)
    for path in paths:
        shown = empty.page(path)
        assert '<progress max="1" value="0.2500"' in shown
        assert "25 %" in text_of(shown)
        assert "1,200" in shown
    assert "3 rows repeat the user and the item of an earlier row" in empty.text(paths[1])
    imports.finish(import_id, "succeeded", {"ratings": counts})
    for path in paths:
        assert "<progress max" not in empty.page(path)


def test_killed_import(empty: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that says nothing of its end has failed as soon as its process is gone."""

    async def killed(*_arguments: object, **_options: object) -> Ended:
        return Ended(None, "")

    monkeypatch.setattr(Commands, "run", killed)
    page = uploaded(empty, RATINGS)
    assert empty.done(f"{page}/import")
    ended(empty)
    assert "without saying why" in empty.text("/console/data")


def test_discarded(empty: Console) -> None:
    page = uploaded(empty, RATINGS)
    assert empty.done(f"{page}/discard") == "/console/data?said=deleted"
    assert empty.get(page).status_code == 404


@pytest.mark.parametrize("upload_id", ["%2e%2e%2f", "0" * 15, "g" * 16, "0" * 16])
def test_no_such_upload(empty: Console, upload_id: str) -> None:
    assert empty.get(f"/console/data/uploads/{upload_id}").status_code == 404


def test_hostile_file(empty: Console) -> None:
    """What a file holds is shown as text."""
    hostile = "<script>alert(1)</script>"
    got = empty.page(uploaded(empty, f"user,item,rating,{hostile}\n{hostile},x,4,y\n", f"{hostile}.csv"))
    assert hostile not in got
    assert "&lt;script&gt;" in got


def test_purged(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    path = uploads.begin("a.csv", 3)
    path.write_bytes(b"abc")
    assert uploads.get(path.parent.name).n_bytes == 3
    assert uploads.purge(time.time() - 60) == 0
    assert uploads.purge(time.time() + 60) == 1
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("ratings.csv", "ratings.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\My file.tar.gz", "My_file.tar.gz"),
        ("-rf", "rf"),
        ("..", "file"),
        ("é.csv", "csv"),
        ("a" * 500 + ".csv", "a" * 100 + ".csv"),
    ],
)
def test_names(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.mark.parametrize(
    ("sent", "columns"),
    [
        ({"use a": "user_id", "use b": "ignored", "use c": "attribute"}, "user_id=a"),
        ({"use a,b": "item_id"}, 'item_id="a,b"'),
        ({'use say "x"': "item_id"}, 'item_id="say ""x"""'),
        ({"columns": "user,item"}, "user,item"),
    ],
)
def test_columns(sent: dict[str, str], columns: str) -> None:
    assert corrections_of(sent).columns == columns


def test_options() -> None:
    corrections = Corrections(kind="ratings", decimal=",", scale="1:5", replace=True)
    assert corrections.of_import == ["--kind=ratings", "--decimal=,", "--scale=1:5", "--replace"]
    assert (
        corrections_of(dict(pair.split("=") for pair in corrections.query.replace("%3A", ":").split("&"))).scale
        == "1:5"
    )


@pytest.mark.parametrize("table", ["ratings", "events", "items", "users", "event_types", "placements"])
def test_export(console: Console, service: Service, table: str) -> None:
    got = console.post(f"/console/data/export/{table}")
    assert got.status_code == 200
    rows = list(csv.reader(io.StringIO(got.text)))
    counts: dict[str, Any] = console.client.get("/counts").json()
    if table in counts:
        assert len(rows) == 1 + counts[table]
    entry = service.store.audit.entries(1)[0]
    assert (entry.action, entry.target) == ("database.export", table)


def test_formulas(console: Console) -> None:
    title = "=cmd|' /C calc'!A0"
    assert console.client.put("/items/formula", json={"title": title}).status_code == 201
    plain, marked = (console.post("/console/data/export/items", form).text for form in ({}, {"spreadsheet": "on"}))
    assert f",{title}," in plain
    assert f",'{title}," in marked


@pytest.mark.parametrize(
    ("scale", "status"), [("1:10:1", 303), ("4:5", 409), ("5:1", 422), ("", 422), ("x" * 101, 422)]
)
def test_scale(console: Console, scale: str, status: int) -> None:
    got = console.post("/console/data/scale", {"scale": scale})
    assert got.status_code == status
    if status in {409, 422} and len(scale) <= 100:
        assert f'value="{scale}"' in got.text  # what was sent is kept


def test_event_types(console: Console, service: Service) -> None:
    assert console.done("/console/data/event-types", {"name": "played", "weight": "2.5", "flags": "consumption"})
    declared = {each.name: each for each in service.store.events.types().values()}["played"]
    assert (declared.weight, declared.is_consumption, declared.is_exposure) == (2.5, True, False)
    assert console.done("/console/data/event-types/played/delete")
    assert "played" not in {each.name for each in service.store.events.types().values()}
    for weight in ("", "x", "nan", "inf", "1e308"):
        got = console.post("/console/data/event-types", {"name": "played", "weight": weight})
        assert (got.status_code, 'value="played"' in got.text) == (422, True)
    assert console.post("/console/data/event-types", {"name": " ", "weight": "1"}).status_code == 422


def test_may_only_look(console: Console, service: Service) -> None:
    """An operator with the scope `console`: no form is shown, and none is taken."""
    console.log_in(log_in_to_look(console, service))
    page = console.page("/console/data")
    assert "<form" not in page.replace('<form method="post" action="/console/logout">', "")
    paths = ("uploads", "scale", "event-types", "event-types/x/delete", "export/ratings")
    assert {console.post(f"/console/data/{path}").status_code for path in paths} == {403}


def test_rejected_rows_are_for_admins(console: Console, service: Service, tmp_path: Path) -> None:
    file = tmp_path / "ratings.csv"
    file.write_text("user,item,rating\nann,i1,SECRET\nbob,i1,4\n")
    import_path(file, service.store, rejected_dir=tmp_path, check_settings=settings_to_store)
    path = f"/console/data/imports/{service.store.imports.latest()[0].import_id}"
    assert "SECRET" in console.page(path)
    assert console.get(f"{path}/rejected.csv").status_code == 200
    assert service.store.audit.entries(1)[0].action == "imports.export_rejected_rows"
    upload = console.done("/console/data/uploads", files={"file": ("a.csv", b"user,item\nSECRET,x\n")})
    console.log_in(log_in_to_look(console, service))
    assert "SECRET" not in console.page(path)
    assert console.get(f"{path}/rejected.csv").status_code == 403
    assert console.get(upload).status_code == 403
    assert console.get("/console/operations/keys").status_code == 403
    assert "a.csv" not in console.page("/console/data")


def log_in_to_look(console: Console, service: Service) -> str:
    key = stored_key(service.store, "console")
    console.client.app.state.control.keys.refresh()  # type: ignore[attr-defined]  # an application
    return key


def test_failed_import(empty: Console) -> None:
    """The file stays, and Data says why."""
    page = uploaded(empty, RATINGS)
    assert empty.done(f"{page}/import", {"scale": "5:1"})
    ended(empty)
    shown = empty.page("/console/data")
    assert "The last import failed" in shown
    assert f'href="{page}?scale=5%3A1"' in shown
    assert empty.get(page).status_code == 200


def test_nothing_readable(empty: Console) -> None:
    """An import of which no row could be read has failed: the file stays, to be read another way."""
    page = uploaded(empty, "user,item,rating\nann,x,many\nbob,y,few\n")
    assert empty.done(f"{page}/import", {"scale": "1:5"})
    ended(empty)
    assert "The last import failed" in empty.page("/console/data")
    assert empty.get(page).status_code == 200
    empty.done(f"{page}/discard")
    assert "The last import failed" not in empty.page("/console/data")


def test_existing_type_is_not_added(console: Console, service: Service) -> None:
    got = console.post("/console/data/event-types", {"name": "shown", "weight": "1", "new": "on", "flags": "exposure"})
    assert (got.status_code, "there is a type" in got.text, got.text.count(" checked")) == (409, True, 1)
    assert {each.name: each.weight for each in service.store.events.types().values()}["shown"] == 0


@pytest.mark.parametrize("weight", [12_345_678.0, 0.001, 1.0])
def test_weight(console: Console, weight: float) -> None:
    """The form holds the weight that is stored, so that sending it unchanged changes nothing."""
    service: Service = console.client.app.state.service  # type: ignore[attr-defined]  # an application
    service.store.events.put_type(EventType("sold", weight))
    page = console.page("/console/data")
    text = repr(weight).removesuffix(".0")
    assert f'<td><bdi>sold</bdi></td><td class="n">{text}</td>' in page
    assert f'name="weight" value="{text}"' in page


def test_quality(console: Console, empty: Console) -> None:
    text = console.text("/console/data/quality")
    assert "Users with one rating" in text
    assert "Where the ratings are" in text
    service: Service = console.client.app.state.service  # type: ignore[attr-defined]  # an application
    shown = data_quality_view(service).quality
    assert shown is data_quality_view(service).quality  # counted once
    assert "No ratings have been learned from yet" in empty.text("/console/data/quality")
