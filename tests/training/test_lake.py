"""Training from files: what is read, what is left out, and that nothing else differs from imported ratings."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from app.algorithms.progress import Stage, ignore
from app.algorithms.storage import IN_MEMORY
from app.cli.training_source import DATABASE, reading_from, settle_scale
from app.entities import RatingScale
from app.errors import ConflictError, InvalidInputError
from app.scoring import PublishedScorer
from app.snapshots.folders import SnapshotFolders
from app.store import Store, migrate
from app.training.columns_file import ColumnFiles
from app.training.errors import TrainingFailedError
from app.training.lake import LargeRead
from app.training.memory_need import RunSize, choose_place, in_blocks, in_memory
from app.training.publisher import Publisher
from app.training.recipe import Recipe, parse_recipe, recipe_of_segments, with_engine
from app.training.run import Trainer
from app.training.scratch import SCRATCH_FOLDER, Scratch
from tests.support.lake import Columns, columns_of, written
from tests.support.published import Shop
from tests.support.ratings import incoming
from tests.support.user_states import tasteful_ratings

RATINGS = tasteful_ratings()
SEGMENTS = recipe_of_segments(["rating=funk_svd", "taste=als_implicit", "popularity"])
SIZE = RunSize(len(RATINGS), 120, 60)


def reading(source: str, recipe: Recipe = SEGMENTS) -> dict[str, Any]:
    return parse_recipe(recipe.document | {"source": source}).document


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    yield from new_shop(tmp_path / "shop")


def new_shop(folder: Path, most_bytes: int | None = None) -> Iterator[Shop]:
    folder.mkdir()
    migrate("", folder)
    with closing(Store.open("", folder)) as store:
        yield Shop(Trainer(store, Publisher(store, SnapshotFolders(folder)), most_bytes))


def read(store: Store, folder: Path, source: str) -> tuple[dict[tuple[str, str], tuple[float, int]], str]:
    """(user id, item id) -> rating and time, and the sentences on what was read."""
    recipe = parse_recipe(reading(source))
    stage = Stage.from_progress(ignore)
    data, rated, notes = LargeRead(recipe, Scratch(folder, 1 << 40), None)(store, store.instance.scale(), stage)
    users, items = store.users.ids_of(data.user_keys.tolist()), dict(store.items.by_key())
    columns = rated.user_rows.tolist(), rated.item_rows.tolist(), rated.values.tolist(), rated.times.tolist()
    found = {
        (users[int(data.user_keys[user])], items[int(data.item_keys[item])].item_id): (value, time)
        for user, item, value, time in zip(*columns, strict=True)
    }
    return found, "; ".join(notes)


def arrays_of(snapshot: PublishedScorer) -> dict[str, np.ndarray]:
    return {name: np.array(array) for name, array in snapshot.arrays.named.items() if "version" not in name}


def test_same_as_imported(shop: Shop, tmp_path: Path) -> None:
    """The snapshot from files is that from the same ratings in the database, to the last bit."""
    from_files = shop.train(reading(written(tmp_path / "lake", columns_of(RATINGS))))
    assert shop.store.ratings.count() == 0
    shop.store.ratings.record(RATINGS)
    imported = shop.train(SEGMENTS.document)
    expected, found = arrays_of(imported), arrays_of(from_files)
    assert [name for name in expected if not np.array_equal(found[name], expected[name])] == []
    assert (from_files.manifest.histories, imported.manifest.histories) == ("snapshot", "database")


@pytest.mark.parametrize("recipe", [SEGMENTS, recipe_of_segments(["rating=als", "taste", "popularity"])])
def test_same_in_mapped_files(recipe: Recipe, tmp_path: Path) -> None:
    """A run larger than memory publishes what a run in memory publishes, to the last bit."""
    source = reading(written(tmp_path / "lake", columns_of(RATINGS)), recipe)
    (in_memory,) = (each.train(source) for each in new_shop(tmp_path / "memory"))
    for each in new_shop(tmp_path / "files", most_bytes=in_blocks(recipe, SIZE) + 1):
        in_files = each.train(source)
        assert not list((tmp_path / "files" / SCRATCH_FOLDER).iterdir())
    expected, found = arrays_of(in_memory), arrays_of(in_files)
    assert [name for name in expected if not np.array_equal(found[name], expected[name])] == []
    said = " ".join(in_files.manifest.choices)
    assert "since they need more memory than RECKON_TRAINING_MEMORY" in said
    assert "quarantine: no new users are looked for" in said


def test_database_larger_than_memory(tmp_path: Path) -> None:
    recipe = SEGMENTS.document
    snapshots = []
    for name, most_bytes in (("memory", None), ("files", in_blocks(SEGMENTS, SIZE) + 1)):
        for each in new_shop(tmp_path / name, most_bytes):
            each.store.ratings.record(RATINGS)
            snapshots.append(arrays_of(each.train(recipe)))
    assert [name for name in snapshots[0] if not np.array_equal(snapshots[0][name], snapshots[1][name])] == []


def test_others_are_refused_above_the_setting() -> None:
    size = RunSize(100_000_000, 1_000_000, 100_000)
    recipe = recipe_of_segments(["taste", "item_item=ease", "popularity"])
    with pytest.raises(TrainingFailedError, match=r"item_item by ease about 2\d\d GB") as refused:
        choose_place(recipe, size, 8 * 10**9)
    assert "taste by als_implicit" in refused.value.advice
    assert choose_place(recipe, size, 10**12) is False
    fits = recipe_of_segments(["taste=als_implicit", "popularity=popularity"])
    assert choose_place(fits, size, 8 * 10**9) is True
    with pytest.raises(TrainingFailedError, match="need at least"):
        choose_place(fits, size, 10**9)


def test_spark_needs_what_this_process_needs() -> None:
    """What it gives its executors is written from the mapped files."""
    size = RunSize(100_000_000, 1_000_000, 100_000)
    recipe = with_engine(recipe_of_segments(["taste=als_implicit", "popularity=popularity"]), "spark")
    assert choose_place(recipe, size, 8 * 10**9) is True
    assert choose_place(recipe, size, 10**12) is False
    pairs = with_engine(recipe_of_segments(["item_item=slim", "popularity=popularity"]), "spark")
    with pytest.raises(TrainingFailedError, match=r"item_item by slim about \d\d\.\d GB") as refused:
        choose_place(pairs, size, 8 * 10**9)
    assert "rating by als or biases" in refused.value.advice
    with pytest.raises(TrainingFailedError, match="need at least"):
        choose_place(recipe, size, 10**9)


def test_refused_run_makes_nothing(tmp_path: Path) -> None:
    """No user and no item of the files."""
    lake = written(tmp_path / "lake", columns_of(RATINGS))
    for shop in new_shop(tmp_path / "shop", most_bytes=1):
        with pytest.raises(TrainingFailedError):
            shop.train(reading(lake))
        assert (shop.store.users.page(limit=1), dict(shop.store.items.by_key())) == ([], {})


def test_refused_for_what_is_stored_makes_nothing(tmp_path: Path) -> None:
    """The files alone would fit."""
    recipe = recipe_of_segments(["taste=als_implicit", "item_item=slim", "popularity"])
    of_files = RunSize(len(RATINGS), len(set(RATINGS.user_id)), len(set(RATINGS.item_id)))
    lake = written(tmp_path / "lake", columns_of(RATINGS))
    for shop in new_shop(tmp_path / "shop", most_bytes=in_memory(recipe, of_files)):
        shop.store.ratings.record(incoming(("stored", "item", 3)))
        with pytest.raises(TrainingFailedError):
            shop.train(reading(lake, recipe))
        assert [user.user_id for _, user in shop.store.users.page(limit=2)] == ["stored"]


def test_later_runs_read_the_files(shop: Shop, tmp_path: Path) -> None:
    """A recipe on the command line names segments; without --from, the files of the live snapshot are read on."""
    lake = written(tmp_path / "lake", columns_of(RATINGS))
    shop.train(reading(lake))
    stated = recipe_of_segments(["rating=biases", "popularity"]).document
    assert (reading_from(shop.store, stated, None) or {})["source"] == lake
    assert "source" not in (reading_from(shop.store, stated, DATABASE) or {})
    assert reading_from(shop.store, None, None) is None
    with pytest.raises(ConflictError, match="is live"):
        settle_scale(shop.store, lake, "0:100")


def test_newest_of_a_pair_counts(shop: Shop, tmp_path: Path) -> None:
    times = pa.array([30, 10, 20, None, 5, None], pa.timestamp("us"))
    repeated = {
        "user_id": ["a", "a", "b", "b", "c", "c"],
        "item_id": ["x", "x", "x", "x", "x", "x"],
        "rating": [5, 1, 2, 3, 4, 5],
        "rated_at": times,
    }
    shop.store.ratings.record(incoming(("b", "x", 4, 20), ("c", "y", 1, 1), ("a", "x", 2, 29)))
    found, _ = read(shop.store, tmp_path, written(tmp_path / "lake", repeated))
    assert found == {("a", "x"): (5, 30), ("b", "x"): (4, 20), ("c", "x"): (4, 5), ("c", "y"): (1, 1)}


def test_rows_left_out_are_counted(shop: Shop, tmp_path: Path) -> None:
    shop.store.ratings.record(incoming(("z", "gone", 4)))
    shop.store.items.delete("gone")
    rows = [
        ("a", "x", 5.0),
        (None, "x", 5.0),
        ("a", None, 5.0),
        ("a", "y", None),
        ("a", "y", float("nan")),
        ("a", "y", float("inf")),
        ("a", "y", 6.0),
        ("a/b", "x", 5.0),
        ("a", " ", 5.0),
        ("a", "gone", 5.0),
    ]
    users, items, values = zip(*rows, strict=True)
    lake = {"user_id": pa.array(users, pa.string()), "item_id": pa.array(items, pa.string()), "rating": values}
    found, said = read(shop.store, tmp_path, written(tmp_path / "lake", lake))
    assert set(found) == {("a", "x")}
    for reason in (
        "2 rows left out: user_id or item_id is null",
        "1 rows left out: rating is null",
        "2 rows left out: rating is not a finite number",
        "1 rows left out: rating is not on the rating scale 1:5",
        "1 rows left out: user_id is not a valid id",
        "1 rows left out: item_id is not a valid id",
        "1 rows left out: the item is deleted",
    ):
        assert reason in said


def test_kinds_of_ids_and_times(shop: Shop, tmp_path: Path) -> None:
    lake = (
        {"user_id": [1, 2], "item_id": pa.array([7, 8], pa.uint16()), "rating": pa.array([1, 2], pa.int8())},
        {"user_id": ["1", "é"], "item_id": pa.array(["8", "7"]).dictionary_encode(), "rating": [3.0, 4.0]},
        {"user_id": ["é"], "item_id": ["8"], "rating": pa.array([5.0], pa.float32())},
    )
    found, _ = read(shop.store, tmp_path, written(tmp_path / "lake", *lake))
    assert {pair: value for pair, (value, _) in found.items()} == {
        ("1", "7"): 1,
        ("2", "8"): 2,
        ("1", "8"): 3,
        ("é", "7"): 4,
        ("é", "8"): 5,
    }
    for kind, time in ((pa.timestamp("s"), 2), (pa.timestamp("ns", "UTC"), 2 * 10**9), (pa.int64(), 2 * 10**6)):
        timed = {"user_id": ["a"], "item_id": ["x"], "rating": [1.0], "rated_at": pa.array([time], kind)}
        one, _ = read(shop.store, tmp_path, written(tmp_path / str(kind).replace("[", "").replace("]", ""), timed))
        assert one["a", "x"] == (1.0, 2 * 10**6)


def test_pairs(tmp_path: Path) -> None:
    for shop in new_shop(tmp_path / "shop"):
        source = written(tmp_path / "lake", {"user_id": ["a", "b"], "item_id": ["x", "x"]})
        with pytest.raises(InvalidInputError, match="no column rating"):
            read(shop.store, tmp_path, source)
        shop.store.instance.set_scale(RatingScale.parse("pairs"))
        found, _ = read(shop.store, tmp_path, source)
        assert {value for value, _ in found.values()} == {1.0}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"user": ["a"], "item_id": ["x"]}, "no column user_id; found: user"),
        ({"user_id": [1.5], "item_id": ["x"]}, "user_id of type double"),
        ({"user_id": [["a"]], "item_id": ["x"]}, r"user_id of type list"),
        ({"user_id": [{"id": "a"}], "item_id": ["x"]}, "user_id of type struct"),
        ({"user_id": ["a"], "item_id": ["x"], "rating": ["5"]}, "rating of type string"),
        ({"user_id": ["a"], "item_id": ["x"], "rated_at": ["2024-01-01"]}, "rated_at of type string"),
    ],
)
def test_wrong_columns(columns: Columns, said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=said) as error:
        ColumnFiles.find(written(tmp_path / "lake", columns))
    assert "needed: user_id and item_id" in error.value.detail


def test_what_is_no_lake(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "ratings.csv").write_text("a,b")
    (tmp_path / "other" / "_SUCCESS").touch()
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    for name, said in (
        ("missing", "neither a file nor a folder"),
        ("empty", "it is empty"),
        ("other", "it holds ratings.csv"),
        ("broken.parquet", "damaged, cut short or not Parquet"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            ColumnFiles.find(str(tmp_path / name))


def test_other_columns_in_a_later_file(shop: Shop, tmp_path: Path) -> None:
    one, other = columns_of(RATINGS), {"user_id": ["a"], "item_id": ["x"]}
    with pytest.raises(InvalidInputError, match=r"part-1\.parquet has the columns user_id, item_id"):
        read(shop.store, tmp_path, written(tmp_path / "lake", one, other))


def test_many_tiny_files(shop: Shop, tmp_path: Path) -> None:
    files = [{"user_id": [number], "item_id": ["x"], "rating": [1.0]} for number in range(1_100)]
    found, said = read(shop.store, tmp_path, written(tmp_path / "lake", *files))
    assert len(found) == 1_100
    assert "most of the time is spent on opening them" in said


def test_merged_guest(shop: Shop, tmp_path: Path) -> None:
    shop.store.ratings.record(incoming(("ann", "x", 4), ("guest", "y", 4)))
    shop.store.users.merge("ann", "guest")
    lake = {"user_id": ["guest"], "item_id": ["z"], "rating": [5.0]}
    found, _ = read(shop.store, tmp_path, written(tmp_path / "lake", lake))
    assert set(found) == {("ann", "x"), ("ann", "y"), ("ann", "z")}


def test_history_of_the_snapshot_and_of_the_database(shop: Shop, tmp_path: Path) -> None:
    """A rating that is given later adds to the history in the snapshot, and a deletion takes from it."""
    snapshot = shop.train(reading(written(tmp_path / "lake", columns_of(RATINGS))))
    store, key = shop.store, int(snapshot.arrays.user_keys[0])
    rows, values, _ = snapshot.arrays.history(0)
    (user_id,) = store.users.ids_of([key]).values()
    items = {item_key: item.item_id for item_key, item in store.items.by_key()}
    rated = [items[int(snapshot.arrays.item_keys[row])] for row in rows]
    new = next(item_id for item_id in items.values() if item_id not in rated)
    late = 10**15
    store.ratings.record(incoming((user_id, new, 5, late), (user_id, rated[0], 1, late), (user_id, rated[1], 1, late)))
    store.ratings.remove(user_id, rated[1], at=late + 1)
    # Older than what the snapshot has.
    store.ratings.record(incoming((user_id, rated[2], 1, 0)))

    from app.serving.user_state import mapped_history  # noqa: PLC0415  beside its use

    changes = asyncio.run(store.reads.changes(key))
    history = changes.over(mapped_history(key, snapshot))
    found = dict(zip([items[int(item_key)] for item_key in history.item_key], history.value.tolist(), strict=True))
    before = dict(zip(rated, values.tolist(), strict=True))
    del before[rated[1]]
    assert found == before | {new: 5, rated[0]: 1}
    assert (np.diff(history.rated_at) <= 0).all()


def test_a_job_without_recipe_reads_where_the_live_snapshot_did(shop: Shop, tmp_path: Path) -> None:
    source = written(tmp_path / "lake", columns_of(RATINGS))
    shop.train(reading(source))
    again = shop.train(None)
    assert again.manifest.requested_recipe["source"] == source
    assert again.manifest.counts["ratings"] == len(RATINGS)


def test_storage_of_what_fits(shop: Shop, tmp_path: Path) -> None:
    recipe = parse_recipe(reading(written(tmp_path / "lake", columns_of(RATINGS))))
    large = LargeRead(recipe, Scratch(tmp_path, 1 << 40), 1 << 40)
    _, rated, _ = large(shop.store, RatingScale(), Stage.from_progress(ignore))
    assert rated.storage is IN_MEMORY
