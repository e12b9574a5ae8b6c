import csv
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.entities import UNKNOWN_TIME, AttributeValue, Event, EventType, Item, RatingScale, User, from_microseconds
from app.errors import ConflictError, InvalidInputError
from app.intake import blocks
from app.intake.column_names.columns import Columns, Kind
from app.intake.formats import delimited
from app.intake.hints import FileHints
from app.intake.importing import import_path
from app.intake.rated_file import load_rated_file
from app.intake.report import Counts, ImportReport
from app.serving.placement_config import settings_to_store
from app.store import Store
from app.store.events import MAX_TYPES
from tests.store.test_events import amounts
from tests.support.movielens import write_1m, write_100k, write_latest
from tests.support.ratings import incoming

MOVIELENS = Path(__file__).parents[2] / "../shared/data/ml-latest-small"


def run(path: Path, store: Store, **options: Any) -> ImportReport:
    rejected_dir = path.parent / "rejected"
    return import_path(path, store, rejected_dir=rejected_dir, check_settings=settings_to_store, **options)


def stored(store: Store) -> list[tuple[str, str, float, int]]:
    return [
        row
        for chunk in store.ratings.stream()
        for row in zip(chunk.user_id, chunk.item_id, chunk.value.tolist(), chunk.rated_at.tolist(), strict=True)
    ]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "ratings.csv"
    path.write_text("user,item,rating,timestamp\nu1,i1,4,100\nu1,i2,2,\nu2,i1,5,300\n")
    return path


def test_generic_file(store: Store, table: Path) -> None:
    report = run(table, store)
    assert report.ratings == Counts(readable=3, stored=3)
    assert (report.scale, report.is_scale_detected) == (RatingScale(1, 5, 1), True)
    assert store.instance.scale() == RatingScale(1, 5, 1)
    assert stored(store) == [
        ("u1", "i1", 4.0, 100_000_000),
        ("u1", "i2", 2.0, UNKNOWN_TIME),
        ("u2", "i1", 5.0, 300_000_000),
    ]


def test_again_changes_nothing(store: Store, table: Path) -> None:
    run(table, store)
    changes = store.ratings.change_count()
    report = run(table, store)
    assert report.ratings == Counts(readable=3, unchanged=3)
    assert (report.is_scale_detected, store.ratings.change_count()) == (False, changes)


def test_newer_replaces(store: Store, table: Path) -> None:
    run(table, store)
    table.write_text("user,item,rating,timestamp\nu1,i1,3,200\nu2,i1,1,200\nu3,i1,1,200\n")
    assert run(table, store).ratings == Counts(readable=3, stored=1, replaced=1, unchanged=1)


def test_duplicate_rows(store: Store, table: Path) -> None:
    table.write_text("user,item,rating\nu,i,3\nu,i,3\nu,i,4\n")
    report = run(table, store)
    assert report.ratings == Counts(readable=3, stored=1, replaced=1, unchanged=1, repeated=2)
    assert "2 rows repeat the user and the item of an earlier row: the newest rating of a pair counts" in report.notes
    assert report.as_json()["ratings"]["repeated"] == 2
    assert stored(store) == [("u", "i", 4.0, UNKNOWN_TIME)]


def test_repeats_over_files(store: Store, tmp_path: Path) -> None:
    """Those of an earlier file of the import count, and those of an earlier import or of a rejected row do not."""
    for n in range(2):
        (tmp_path / f"{n}.csv").write_text("user,item,rating\nu,i,3\nu,j,3\nu,k,eleven\nu,k,4\n")
    dry = run(tmp_path, store, is_dry_run=True, scale=RatingScale())
    first, again = run(tmp_path, store), run(tmp_path / "0.csv", store)
    assert (dry.ratings.repeated, first.ratings.repeated, again.ratings.repeated) == (3, 3, 0)
    assert again.notes == []


def test_concatenated_files(store: Store, table: Path) -> None:
    table.write_text(table.read_text() + table.read_text().replace("u1", "u3"))
    report = run(table, store)
    assert (report.ratings, report.n_repeated_headers) == (Counts(readable=6, stored=5, unchanged=1, repeated=1), 1)


def test_other_encoding(store: Store, tmp_path: Path) -> None:
    """Without the encoding the row alone is rejected, and the reason names the option."""
    path = tmp_path / "items.csv"
    path.write_bytes("item_id,title\n1,Caf\u00e9\n2,Tea\n3,\u20ac 5\n".encode("cp1252"))
    report = run(path, store)
    assert report.items == Counts(readable=1, stored=1, rejected=2)
    assert [row.reason.rpartition(" add ")[2] for row in report.first_rejected] == [
        *("--encoding latin-1", "--encoding cp1252")
    ]
    assert run(path, store, hints=FileHints(encoding="cp1252")).items == Counts(readable=3, stored=2, unchanged=1)
    assert [item.title for item in store.items.stream()] == ["Tea", "Caf\u00e9", "\u20ac 5"]


def test_unclosed_quote_stores_nothing(store: Store, table: Path) -> None:
    table.write_text('user,item,rating\n"u1",i1,4\n"u2,i1,4\n' + "u3,i1,4\n" * 100_000)
    with pytest.raises(InvalidInputError, match=r"the row in line 3 of ratings\.csv has a quote that is not closed"):
        run(table, store)
    assert stored(store) == []


def test_movielens_folder(store: Store, tmp_path: Path) -> None:
    report = run(write_latest(tmp_path / "ml"), store)
    assert (report.items, report.ratings) == (
        Counts(readable=6, stored=5, replaced=1),
        Counts(readable=3, stored=3),
    )
    assert report.ignored == ["README.txt", "links.csv"]
    assert store.items.get("1") == Item("1", "Toy Story", ("Adventure", "Animation"), 1995, {"tags": ["funny"]})
    assert store.items.get("3") == Item("3", "American President, The", ("Comedy", "Drama"), 1995)
    assert [item.item_id for item in store.items.stream()] == ["1", "3", "4", "5", "6"]


def test_users_of_movielens(store: Store, tmp_path: Path) -> None:
    run(write_1m(tmp_path / "1m"), store)
    assert store.users.get("1") == User(
        "1",
        None,
        {"age": 1, "age_group": "Under 18", "gender": "F", "occupation": "K-12 student", "zip_code": "48067"},
    )
    run(write_100k(tmp_path / "100k"), store)
    assert store.users.get("186") == User(
        "186", None, {"age": 39, "gender": "F", "occupation": "executive", "zip_code": "V1G4L"}
    )


def test_named_fields_alone_overwrite(store: Store, tmp_path: Path) -> None:
    run(write_latest(tmp_path / "ml"), store)
    report = run(tmp_path / "ml" / "links.csv", store)
    assert report.items == Counts(readable=1, replaced=1)
    attributes: dict[str, AttributeValue] = {"tags": ["funny"], "imdbId": "0114709", "tmdbId": "862"}
    assert store.items.get("1") == Item("1", "Toy Story", ("Adventure", "Animation"), 1995, attributes)


def test_bad_rows_rejected(store: Store, table: Path) -> None:
    soon = int((datetime.now(UTC) + timedelta(hours=1)).timestamp())
    table.write_bytes(
        b"user,item,rating,timestamp\n"
        b"u1,i1,4,100\nu1,i2,nan,100\nu1,i2\n\xff,i1,3,100\n"
        + f"u2,i1,3,{soon}\n".encode()
        + b'"a,b",i2,x,100\nu3,i1,3,1\n'
    )
    report = run(table, store)
    assert report.ratings == Counts(readable=2, stored=2, rejected=5)
    assert report.rejected_path is not None
    with report.rejected_path.open(encoding="utf-8", newline="") as lines:
        header, *rows = csv.reader(lines)
    assert header == ["file", "line", "reason", "row"]
    assert sorted((row[1], row[2].split(":")[0], row[3]) for row in rows) == [
        ("3", "value", "u1,i2,nan,100"),
        ("4", "has 2 fields instead of 4", "u1,i2"),
        ("5", "user_id", "\\udcff,i1,3,100"),
        ("6", "rated_at", f"u2,i1,3,{soon}"),
        ("7", "value", '"a,b",i2,x,100'),
    ]
    assert {row[0] for row in rows} == {"ratings.csv"}
    assert len(report.first_rejected) == 5


def test_off_scale_rejected(store: Store, table: Path) -> None:
    run(table, store)
    table.write_text("user,item,rating\nu4,i1,5.5\nu4,i2,4.5\nu4,i3,4\n")
    assert run(table, store).ratings == Counts(readable=1, stored=1, rejected=2)


def test_scale_given(store: Store, table: Path) -> None:
    report = run(table, store, scale=RatingScale(1, 4, 1))
    assert report.ratings == Counts(readable=2, stored=2, rejected=1)
    assert (report.is_scale_detected, store.instance.scale()) == (False, RatingScale(1, 4, 1))
    with pytest.raises(ConflictError, match="stored ratings lie outside"):
        run(table, store, scale=RatingScale(0, 1))


def test_pairs(store: Store, table: Path) -> None:
    """A file without ratings holds pairs; whatever value comes later is stored as 1."""
    table.write_text("user_id,item_id,timestamp\nu1,i1,100\nu1,i2,200\n")
    report = run(table, store)
    assert (str(report.scale), report.is_scale_detected, report.ratings.stored) == ("pairs", True, 2)
    table.write_text("user,item,rating\nu2,i1,7\nu2,i2,0\n")
    report = run(table, store)
    assert (report.ratings.stored, report.ratings.rejected) == (1, 1)
    assert "this service stores pairs" in report.first_rejected[0].reason
    assert {row[2] for row in stored(store)} == {1.0}


def test_pairs_among_stars(store: Store, table: Path) -> None:
    """A file without ratings is no file of ratings 1."""
    run(table, store)
    table.write_text("user,item\nu9,i1\n")
    report = run(table, store)
    assert report.ratings == Counts(rejected=1)
    assert (
        report.first_rejected[0].reason == "value: is missing, and only pairs have none; values here are stars (1:5:1)"
    )


def test_amounts(store: Store, table: Path) -> None:
    table.write_text("user,artist,plays\nu1,i1,1\nu1,i2,352698\nu2,i1,3\nu2,i2,2\n" + "u3,i3,9\n" * 18 + "u2,i3,-4\n")
    report = run(table, store)
    assert (str(report.scale), report.ratings.stored, report.ratings.rejected) == ("amounts", 5, 1)
    assert report.first_rejected[0].reason.startswith("value: is not an amount")


def test_sums(store: Store, table: Path) -> None:
    """Rows of one import are added up; a row without a value counts 1; the sums replace what is stored."""
    table.write_text("user,item,timestamp\nu1,i1,300\nu1,i2,100\nu1,i1,200\n")
    report = run(table, store, is_summed=True)
    assert (str(report.scale), report.ratings) == ("amounts", Counts(readable=3, stored=2, replaced=1, repeated=1))
    expected = [("u1", "i1", 2.0, 300_000_000), ("u1", "i2", 1.0, 100_000_000)]
    assert stored(store) == expected
    again = run(table, store, is_summed=True)
    assert again.ratings == Counts(readable=3, unchanged=3, repeated=1)
    assert again.notes == ["1 row repeats the user and the item of an earlier row: the amounts of a pair are added up"]
    table.write_text("user,item,rating,timestamp\nu1,i1,2.5,400\nu1,i1,4,100\n")
    run(table, store, is_summed=True)
    assert stored(store) == [("u1", "i1", 6.5, 400_000_000), expected[1]]


def test_stars_are_not_summed(store: Store, table: Path) -> None:
    with pytest.raises(InvalidInputError, match="only amounts are summed, and the values here are 1:5"):
        run(table, store, is_summed=True, scale=RatingScale())


def test_stored_scale_kept(store: Store, table: Path) -> None:
    store.instance.set_scale(RatingScale(1, 10, 1))
    assert run(table, store).scale == RatingScale(1, 10, 1)


def of_values(path: Path, values: list[Any], first: int = 0) -> Path:
    """A file of ratings, the first of them in line 2. `first`: number of the first item."""
    rows = (f"u{row % 7},i{first + row},{value}\n" for row, value in enumerate(values))
    path.write_text("user,item,rating\n" + "".join(rows))
    return path


TEN = [*range(1, 11)]


def test_typo_sets_no_scale(store: Store, table: Path) -> None:
    report = run(of_values(table, [1, 2, 3, 4.5, 5, 45, *[0.5, 2, 3.5, 5] * 300]), store)
    assert (str(report.scale), report.ratings) == ("0.5:5:0.5", Counts(readable=1_205, stored=1_205, rejected=1))
    assert report.notes == ["1 value is far from the others and was set aside: 45 (line 7)"]
    assert [(row.line, row.reason.split(";")[0]) for row in report.first_rejected] == [
        (7, "value: is not on the rating scale 0.5:5:0.5")
    ]
    assert report.warnings == []


def test_places_name_the_file(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    folder.mkdir()
    of_values(folder / "a.csv", TEN * 20)
    of_values(folder / "b.csv", [*TEN, 99])
    assert run(folder, store).notes[1:] == ["1 value is far from the others and was set aside: 99 (b.csv, line 12)"]


@pytest.mark.parametrize("is_dry_run", [False, True])
def test_missing_set_aside(store: Store, table: Path, is_dry_run: bool) -> None:
    report = run(of_values(table, [*TEN * 20, *[0] * 300, "x"]), store, is_dry_run=is_dry_run)
    assert (str(report.scale), report.ratings.readable, report.ratings.rejected) == ("1:10:1", 200, 1)
    assert report.n_set_aside == 300
    assert [note[:30] for note in report.notes] == ["0 is the value of 300 of 500 r"]
    assert report.warnings == []


@pytest.mark.parametrize("scale", [None, RatingScale(1, 10, 1)])
def test_missing_off_a_stated_scale(store: Store, table: Path, scale: RatingScale | None) -> None:
    """What stands for a missing rating does so under a scale that was not detected from the file."""
    store.instance.set_scale(RatingScale(1, 10, 1))
    report = run(of_values(table, [*TEN * 20, *[0] * 300, 11]), store, scale=scale)
    assert (report.ratings.readable, report.ratings.rejected, report.n_set_aside) == (200, 1, 300)
    assert len(report.first_rejected) == 1
    assert [note[:30] for note in report.notes] == [
        "0 is the value of 300 of 501 r",
        "1 value is not on the scale 1:",
    ]


def test_missing_recognised_late(store: Store, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a first pass, rows before a value is recognised are rejected; every row has one outcome."""
    monkeypatch.setattr(delimited, "ROWS_PER_BLOCK", 100)
    store.instance.set_scale(RatingScale(1, 10, 1))
    report = run(of_values(table, [0, *TEN * 20, *[0] * 300]), store)
    assert (report.ratings.readable, report.ratings.rejected, report.n_set_aside) == (200, 100, 201)


def test_missing_kept(store: Store, table: Path) -> None:
    report = run(of_values(table, TEN * 20 + [0] * 300), store, scale=RatingScale(0, 10))
    assert (report.ratings.stored, report.n_set_aside, report.notes) == (500, 0, [])


def test_doubts_are_asked_once(store: Store, table: Path) -> None:
    """A 0 that was stored as a rating is settled by then."""
    notes = [run(of_values(table, [0, 9, 10]), store).notes for _ in range(2)]
    assert ([note[:30] for note in notes[0]], notes[1]) == (["0 is the value of 1 of 3 rows "], [])


def test_missing_stated(store: Store, table: Path) -> None:
    hints = FileHints(missing=frozenset({"0"}))
    report = run(of_values(table, [0, 9, 10, 0]), store, hints=hints)
    assert (str(report.scale), report.ratings.stored, report.n_set_aside, report.notes) == ("1:10:1", 2, 2, [])
    report = run(of_values(table, [0, 0]), store, hints=hints)
    assert report.warnings == ["all ratings are missing: 2 rows were set aside"]


def test_poor_scale_stays_open(store: Store, table: Path) -> None:
    """A scale under which few ratings were accepted gives way to that of a larger file, and then holds."""
    assert str(run(of_values(table, [5, 4, *["?"] * 3]), store).scale) == "1:5:1"
    report = run(of_values(table, TEN, first=100), store)
    assert (str(report.scale), str(report.previous_scale), report.ratings.stored) == ("1:10:1", "1:5:1", 10)
    report = run(of_values(table, [*range(10, 100, 10)] * 4, first=200), store)
    assert (str(report.scale), report.ratings.stored, report.ratings.rejected) == ("1:10:1", 4, 32)


def test_good_scale_holds(store: Store, table: Path) -> None:
    run(of_values(table, [5, 4, 1, "?"]), store)
    report = run(of_values(table, TEN, first=100), store)
    assert (str(report.scale), report.ratings.stored, report.ratings.rejected) == ("1:5:1", 5, 5)
    assert report.first_rejected[0].reason.endswith("`reckon scale set MIN:MAX` changes it")


@pytest.mark.parametrize(
    ("value", "values", "scale", "stored"),
    [
        (2.0, [1, 2, 6, 9, 10], "1:10:1", 5),
        (1.5, [1, 2, 6, 9, 10], "1:5", 2),  # not on 1:10:1
        (2.0, [1, 2, 3, 4, 5], "1:5", 5),  # all fit
        (2.0, [9], "1:5", 0),  # no more than are stored
    ],
)
def test_scale_of_other_ratings(
    store: Store, table: Path, value: float, values: list[int], scale: str, stored: int
) -> None:
    """Ratings that came through the API were accepted by the default scale, which gives way only to a better one."""
    store.ratings.record(incoming(("u9", "i1", value, 50), ("u9", "i2", 5.0, 50)))
    report = run(of_values(table, values), store)
    assert (str(report.scale), report.is_scale_detected, report.ratings.stored) == (scale, scale == "1:10:1", stored)
    assert store.ratings.count() == 2 + stored


def test_warnings_by_kind(store: Store, tmp_path: Path) -> None:
    """Few bad rows among many of another kind are no few."""
    folder = write(
        tmp_path / "shop",
        items="item_id,is_available\n" + "a,old\n" * 2 + "b,true\n" * 2,
        ratings="user,item,rating\n" + "".join(f"u,i{row},{row % 5 + 1}\n" for row in range(300)) + "u,x,lots\n",
    )
    assert run(folder, store).warnings == [
        "50 % of the rows of items were rejected; the first reason: is_available: 'old' is neither true nor false"
    ]


def test_first_pass_ignores_bad_rows(store: Store, table: Path) -> None:
    table.write_text(f"user,item,rating\nu,i,{2**63}\nu,j,inf\nu,k,1\nu,l,10\n")
    assert run(table, store).scale == RatingScale(1, 10, 1)


def test_dry_run_changes_nothing(store: Store, table: Path) -> None:
    table.write_text("user,item,rating\nu,i,9\nu,j,x\n")
    before = store.instance.scale()
    report = run(table, store, is_dry_run=True)
    assert report.ratings == Counts(readable=1, rejected=1)
    assert (report.scale, report.rejected_path) == (RatingScale(1, 10, 1), None)
    assert report.first_rejected[0].line == 3
    assert (store.instance.scale(), store.ratings.count(), store.users.count()) == (before, 0, 0)
    assert not (table.parent / "rejected").exists()


def test_interrupted_import_finished(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "ROWS_PER_BLOCK", 10)
    monkeypatch.setattr(store.database.dialect, "rows_at_once", 20)
    path = tmp_path / "ratings.csv"
    path.write_text("user,item,rating\n" + "".join(f"u{n},i{n % 7},{n % 5 + 1}\n" for n in range(195)))

    def stop(_fraction: float, stage: str) -> None:
        if stage == "ratings" and store.ratings.count() >= 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(path, store, progress=stop)
    n_stored = store.ratings.count()
    assert n_stored in range(30, 195, 10)  # what was read before is stored
    assert run(path, store).ratings == Counts(readable=195, stored=195 - n_stored, unchanged=n_stored)


def test_progress_reported(store: Store, tmp_path: Path) -> None:
    calls: list[tuple[float, str]] = []
    run(write_1m(tmp_path / "ml"), store, progress=lambda fraction, stage: calls.append((fraction, stage)))
    fractions = [fraction for fraction, _ in calls]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert list(dict.fromkeys(stage for _, stage in calls)) == ["rating scale", "items", "users", "ratings"]
    # To look for the scale takes little of the time.
    assert max(fraction for fraction, stage in calls if stage == "rating scale") < 0.1


@pytest.mark.parametrize("packed", [False, True])
def test_progress_of_sums(store: Store, tmp_path: Path, packed: bool) -> None:
    """That they are read is little of the work, and the rest is to store them."""
    path = tmp_path / "sums.zip"
    text = "user,item,plays\n" + "".join(f"u{n},i{n % 5},{n}\n" for n in range(100))
    if packed:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("sums.csv", text)
    else:
        path = tmp_path / "sums.csv"
        path.write_text(text)
    fractions: list[float] = []
    run(path, store, is_summed=True, progress=lambda fraction, _stage: fractions.append(fraction))
    assert fractions == sorted(fractions)
    assert fractions[-2] < 0.1
    assert fractions[-1] == pytest.approx(1.0)


EVENTS = "event_id,type,user_id,item_id,at\n"


def write(folder: Path, **texts: str) -> Path:
    """A folder of CSV files."""
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def test_types_before_their_events(store: Store, tmp_path: Path) -> None:
    """The names of the files play no part; users come before events, which count for their countries."""
    folder = write(
        tmp_path / "shop",
        a_happened="timestamp,event,user,item,event id,price\n100,hummed,u,i,e1,9.5\n",
        b_people="user,country\nu,NO\n",
        c_types="is_consumption,is_exposure,weight,type,description\n1,0,2.5,hummed,softly\n",
        d_places='settings,placement\n"{""own_items"": true}",e-mail\n',
    )
    report = run(folder, store)
    assert report.n_rejected == 0
    assert [report.counts_of(kind).stored for kind in Kind] == [1, 1, 0, 1, 0, 1]
    assert EventType("hummed", 2.5, is_consumption=True) in store.events.types().values()
    assert list(store.events.stream()) == [Event("e1", "hummed", "u", "i", from_microseconds(100_000_000))]
    assert len(store.trends.top_trending("NO")[0]) == 1
    assert store.placements.all()["e-mail"]["own_items"] is True
    assert store.users.get("u") == User("u", "NO")


def test_same_event_twice(store: Store, tmp_path: Path) -> None:
    """The first event of an id and user is kept, within a file and across files."""
    events = EVENTS + "e1,clicked,u,i,100\ne2,clicked,u,i,100\ne1,liked,u,j,200\n"
    folder = write(tmp_path / "shop", events=events)
    assert run(folder, store).events == Counts(readable=3, stored=2, unchanged=1)
    before = list(store.events.stream()), amounts(store, "u"), store.trends.top_trending()[1].tolist()
    write(folder, events=EVENTS + "e1,bought,u,j,300\ne2,liked,u,i,100\n")
    assert run(folder, store).events == Counts(readable=2, unchanged=2)
    assert (list(store.events.stream()), amounts(store, "u"), store.trends.top_trending()[1].tolist()) == before
    write(folder, events=EVENTS + "e1,bought,v,j,300\n")
    assert run(folder, store).events == Counts(readable=1, stored=1)


def test_bad_events_rejected(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    good = b"e1,clicked,u,i,100\ne2,hummed,u,i,soon\n"
    path.write_bytes(
        EVENTS.encode() + good + b"\xff,clicked,u,i,1\ne4,clicked,u,i\ne5,clicked,,i,1\ne6,clicked,u,i,1\n"
    )
    report = run(path, store)
    assert report.events == Counts(readable=2, stored=2, rejected=4)
    assert sorted((row.line, row.reason.split(":")[0]) for row in report.first_rejected) == [
        (3, "at"),
        (4, "event_id"),
        (5, "has 4 fields instead of 5"),
        (6, "user_id"),
    ]
    assert store.users.count() == 1
    # A type that only a bad row names is not created.
    assert "hummed" not in [each.name for each in store.events.types().values()]


LOG = "timestamp,visitorid,event,itemid,transactionid\n100,u,view,i,\n200,u,addtocart,i,\n200,u,transaction,i,7\n"


def test_events_without_ids(store: Store, tmp_path: Path) -> None:
    """Types are created, and neither a second import nor an overlapping file stores an event twice."""
    path = tmp_path / "events.csv"
    path.write_text(LOG)
    hints = FileHints(Columns.parse("at=timestamp,user=visitorid,type=event,item=itemid"))
    report = run(path, store, hints=hints)
    assert report.events == Counts(readable=3, stored=3)
    assert report.created_types == [
        EventType("view", 1.0),
        EventType("addtocart", 2.0),
        EventType("transaction", 3.0, is_consumption=True),
    ]
    before = amounts(store, "u"), list(store.events.stream())
    report = run(path, store, hints=hints)
    assert (report.events, report.created_types) == (Counts(readable=3, unchanged=3), [])
    path.write_text(LOG + "200,u,addtocart,i,\n300,u,view,i,\n")
    assert run(path, store, hints=hints).events == Counts(readable=5, stored=1, unchanged=4)
    assert before[0] != amounts(store, "u") == before[0] | {("i", "view"): (2, 100_000_000, 300_000_000, None)}


def test_dry_run_creates_no_type(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user,item,event,time\nu,i,view,100\n")
    types = store.events.types()
    report = run(path, store, is_dry_run=True)
    assert (report.events.readable, [each.name for each in report.created_types]) == (1, ["view"])
    assert store.events.types() == types


def test_bad_configuration_rejected(store: Store, tmp_path: Path) -> None:
    folder = write(
        tmp_path / "shop",
        event_types="type,weight,is_exposure,is_consumption\nread,1,0,1\nhummed,loud,0,0\na/b,1,0,0\nshort\n",
        placements='placement,settings\nhome,"{""sources"": [""nearby""]}"\nE-Mail,{}\nend,{}\n',
        events=EVENTS + "e1,read,u,i,1\ne2,hummed,u,i,1\n",
    )
    report = run(folder, store)
    assert report.event_types == Counts(readable=1, stored=1, rejected=3)
    assert report.placements == Counts(readable=1, stored=1, rejected=2)
    assert report.events == Counts(readable=1, stored=1, rejected=1)
    assert list(store.placements.all()) == ["end"]
    assert report.first_rejected[0].reason.startswith("sources.0: Input should be 'nearest'")


def test_one_type_too_many(store: Store, tmp_path: Path) -> None:
    types = "".join(f"t{number},1,0,0\n" for number in range(MAX_TYPES))
    folder = write(
        tmp_path / "shop",
        event_types="type,weight,is_exposure,is_consumption\n" + types,
        events=EVENTS + "e1,t0,u,i,1\ne2,t99,u,i,1\n",
    )
    report = run(folder, store)
    assert report.event_types == Counts(readable=94, stored=94, rejected=6)
    assert "event types already" in report.first_rejected[0].reason
    assert report.events == Counts(readable=1, stored=1, rejected=1)


def test_configuration_replaced(store: Store, tmp_path: Path) -> None:
    store.placements.put("home", {"diversity": 0.5, "novelty": 0.5})
    store.placements.put("end", {"novelty": 0.5})
    folder = write(
        tmp_path / "shop",
        event_types="type,weight,is_exposure,is_consumption\nclicked,1,0,0\nbought,7,0,1\n",
        placements='placement,settings\nhome,"{""diversity"": 0.25}"\n',
    )
    report = run(folder, store)
    assert report.event_types == Counts(readable=2, replaced=1, unchanged=1)
    assert report.placements == Counts(readable=1, replaced=1)
    assert store.placements.all()["home"]["diversity"] == 0.25
    assert [each.changed_by for each in store.placements.versions("home", 10)] == ["command line", None]
    assert store.placements.all()["home"]["novelty"] == 0.0
    assert store.placements.all()["end"] == {"novelty": 0.5}
    assert run(folder, store).placements == Counts(readable=1, unchanged=1)
    # What changes nothing has no entry.
    acts = [(entry.actor, entry.action, entry.target, entry.outcome) for entry in reversed(store.audit.entries(9))]
    assert acts == [
        ("command line", "placements.put", "home", "succeeded"),
        ("command line", "event-types.put", "bought", "succeeded"),
    ]


def test_audit_of_scale_and_created_types(store: Store, tmp_path: Path) -> None:
    folder = write(tmp_path / "shop", ratings="user_id,item_id,value\nu,i,4\nu,j,9\n", events=EVENTS + "e1,zap,u,i,1\n")
    run(folder, store, scale=RatingScale(1, 10, 1), is_dry_run=True)
    assert store.audit.entries(9) == []
    run(folder, store, scale=RatingScale(1, 10, 1))
    with pytest.raises(ConflictError):
        run(folder, store, scale=RatingScale(1, 5, 1))
    acts = [(entry.action, entry.target, entry.outcome) for entry in reversed(store.audit.entries(9))]
    assert acts == [
        ("scale.set", "1:10:1", "succeeded"),
        ("event-types.put", "zap", "succeeded"),
        ("scale.set", "1:5:1", "conflict"),
    ]


def test_dry_run_of_events(store: Store, tmp_path: Path) -> None:
    folder = write(
        tmp_path / "shop",
        event_types="type,weight,is_exposure,is_consumption\nread,1,0,1\n",
        placements="placement,settings\nend,{}\nend,[]\n",
        events=EVENTS + "e1,read,u,i,1\ne2,hummed,u,i,1\n",
    )
    types, version = store.events.types(), store.placements.read()[0]
    report = run(folder, store, is_dry_run=True)
    assert report.events == report.placements == Counts(readable=1, rejected=1)
    assert report.event_types == Counts(readable=1)
    assert (store.events.types(), store.events.count()) == (types, 0)
    assert store.placements.read() == (version, {})


def test_events_without_rows(store: Store, tmp_path: Path) -> None:
    folder = write(tmp_path / "shop", events=EVENTS, placements="placement,settings\n")
    report = run(folder, store)
    assert (report.n_readable, report.n_rejected, report.ignored) == (0, 0, [])


def test_interrupted_import_of_events(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "ROWS_PER_BLOCK", 10)
    folder = write(tmp_path / "shop", events=EVENTS + "".join(f"e{n},shown,u{n % 7},i,1\n" for n in range(95)))

    def stop(_fraction: float, stage: str) -> None:
        if stage == "events" and store.events.count() >= 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(folder, store, progress=stop)
    assert store.events.count() == 30
    assert run(folder, store).events == Counts(readable=95, stored=65, unchanged=30)
    assert amounts(store, "u0") == {("i", "shown"): (14, 1_000_000, 1_000_000, None)}


def test_bomb_stores_nothing(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ratings.csv", "user,item,rating\nu,i,3\n" + "u,i,3\n" * (4 << 20))
    with pytest.raises(InvalidInputError, match="far more than a file of ratings"):
        run(path, store)
    assert store.ratings.count() == 0


def test_header_alone(store: Store, table: Path) -> None:
    table.write_text("user,item,rating\n")
    assert run(table, store).ratings == Counts()


def test_other_ratings_untouched(store: Store, table: Path) -> None:
    store.ratings.record(incoming(("u9", "i1", 3.0, 50)))
    run(table, store)
    assert store.ratings.count() == 4


def test_blocks_fit_a_transaction() -> None:
    assert blocks.ROWS_PER_BLOCK <= 50_000


@pytest.mark.skipif(not MOVIELENS.exists(), reason="the MovieLens data set is not beside the repository")
def test_real_movielens(store: Store) -> None:
    report = import_path(MOVIELENS, store, rejected_dir=Path("unused"), check_settings=settings_to_store)
    assert report.ratings == Counts(readable=100_836, stored=100_836)
    # The tags of 1,572 films follow the films.
    assert report.items == Counts(readable=11_314, stored=9_742, replaced=1_572)
    assert report.scale == RatingScale(0.5, 5, 0.5)
    data = store.training_reads.load()
    assert (len(data.ratings), len(data.user_keys), len(data.item_keys)) == (100_836, 610, 9_742)
    np.testing.assert_allclose(data.ratings.value.mean(), 3.501557, atol=1e-6)


@pytest.mark.parametrize(("name", "scale"), [("quantity", "amounts"), ("plays", "amounts"), ("stars", "1:5:1")])
def test_name_says_amounts(store: Store, tmp_path: Path, name: str, scale: str) -> None:
    path = tmp_path / "sales.csv"
    path.write_text(f"customer,sku,{name}\n" + "".join(f"c{row % 9},s{row},{row % 5 + 1}\n" for row in range(200)))
    assert str(run(path, store).scale) == scale
    assert str(load_rated_file(path).detection.scale) == scale
