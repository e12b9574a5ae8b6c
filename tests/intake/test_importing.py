import csv
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.entities import UNKNOWN_TIME, AttributeValue, Event, EventType, Item, RatingScale, User, from_microseconds
from app.errors import ConflictError, InvalidInputError
from app.intake import blocks, delimited
from app.intake.columns import Kind
from app.intake.importing import import_path
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
    assert run(table, store).ratings == Counts(readable=3, stored=1, replaced=1, unchanged=1)
    assert stored(store) == [("u", "i", 4.0, UNKNOWN_TIME)]


def test_movielens_folder(store: Store, tmp_path: Path) -> None:
    report = run(write_latest(tmp_path / "ml"), store)
    assert (report.items, report.ratings) == (Counts(readable=5, stored=5), Counts(readable=3, stored=3))
    assert report.ignored == ["README.txt", "links.csv", "tags.csv"]
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
    attributes: dict[str, AttributeValue] = {"imdbId": "0114709", "tmdbId": "862"}
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


def test_stored_scale_kept(store: Store, table: Path) -> None:
    store.instance.set_scale(RatingScale(1, 10, 1))
    assert run(table, store).scale == RatingScale(1, 10, 1)


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
    path = tmp_path / "ratings.csv"
    path.write_text("user,item,rating\n" + "".join(f"u{n},i{n % 7},{n % 5 + 1}\n" for n in range(95)))

    def stop(_fraction: float, stage: str) -> None:
        if stage == "ratings" and store.ratings.count() >= 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(path, store, progress=stop)
    assert store.ratings.count() == 30
    assert run(path, store).ratings == Counts(readable=95, stored=65, unchanged=30)


def test_progress_reported(store: Store, tmp_path: Path) -> None:
    calls: list[tuple[float, str]] = []
    run(write_1m(tmp_path / "ml"), store, progress=lambda fraction, stage: calls.append((fraction, stage)))
    fractions = [fraction for fraction, _ in calls]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert list(dict.fromkeys(stage for _, stage in calls)) == ["rating scale", "items", "users", "ratings"]


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
    """The first event of an id is kept, within a file and across files."""
    events = EVENTS + "e1,clicked,u,i,100\ne2,clicked,u,i,100\ne1,liked,v,j,200\n"
    folder = write(tmp_path / "shop", events=events)
    assert run(folder, store).events == Counts(readable=3, stored=2, unchanged=1)
    before = list(store.events.stream()), amounts(store, "u"), store.trends.top_trending()[1].tolist()
    write(folder, events=EVENTS + "e1,bought,v,j,300\ne2,liked,u,i,100\n")
    assert run(folder, store).events == Counts(readable=2, unchanged=2)
    assert (list(store.events.stream()), amounts(store, "u"), store.trends.top_trending()[1].tolist()) == before
    assert store.users.get("v") is None


def test_bad_events_rejected(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    good = b"e1,clicked,u,i,100\ne2,hummed,u,i,100\n"
    path.write_bytes(
        EVENTS.encode() + good + b"\xff,clicked,u,i,1\ne4,clicked,u,i\ne5,clicked,,i,1\ne6,clicked,u,i,1\n"
    )
    report = run(path, store)
    assert report.events == Counts(readable=2, stored=2, rejected=4)
    assert sorted((row.line, row.reason.split(":")[0]) for row in report.first_rejected) == [
        (3, "type"),
        (4, "event_id"),
        (5, "has 4 fields instead of 5"),
        (6, "user_id"),
    ]
    assert store.users.count() == 1


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
    assert store.placements.all()["home"]["novelty"] == 0.0
    assert store.placements.all()["end"] == {"novelty": 0.5}
    assert run(folder, store).placements == Counts(readable=1, unchanged=1)


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
    assert report.items == Counts(readable=9_742, stored=9_742)
    assert report.scale == RatingScale(0.5, 5, 0.5)
    data = store.training_reads.load()
    assert (len(data.ratings), len(data.user_keys), len(data.item_keys)) == (100_836, 610, 9_742)
    np.testing.assert_allclose(data.ratings.value.mean(), 3.501557, atol=1e-6)
