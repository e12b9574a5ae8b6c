"""Ratings that are read from a bucket: what is found there, and what is said where they cannot be read."""

import itertools
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from app.algorithms.progress import Stage
from app.errors import InvalidInputError
from app.snapshots.errors import ObjectChangedError, ObjectStorageDownError, ObjectStorageRefusedError
from app.snapshots.folders import SnapshotFolders
from app.store import Store, migrate
from app.training import source_files
from app.training.columns_file import ColumnFiles, SkippedRows
from app.training.lake import LargeRead
from app.training.publisher import Publisher
from app.training.recipe import parse_recipe, recipe_of_segments
from app.training.run import Trainer
from app.training.scratch import Scratch
from tests.support.lake import Columns, columns_of, parquet, written
from tests.support.object_storage import BUCKET, S3Server, s3_server
from tests.support.published import Shop
from tests.support.service import Instance
from tests.support.user_states import tasteful_ratings

RATINGS = tasteful_ratings()
SEGMENTS = recipe_of_segments(["taste=als_implicit", "popularity=popularity"])


@pytest.fixture
def address(storage: S3Server, prefix: str) -> str:  # noqa: ARG001  its environment
    return f"s3://{BUCKET}/{prefix}/lake"


@pytest.fixture
def shop(folder: Path) -> Iterator[Shop]:
    migrate("", folder)
    with closing(Store.open("", folder)) as store:
        yield Shop(Trainer(store, Publisher(store, SnapshotFolders(folder))))


def upload(storage: S3Server, prefix: str, *names: str, columns: Columns | None = None) -> None:
    """Objects of these names, which share the rows."""
    table = pa.table(dict(columns or columns_of(RATINGS)))
    bounds = np.linspace(0, len(table), len(names) + 1).astype(int).tolist()
    for name, (start, end) in zip(names, itertools.pairwise(bounds), strict=True):
        part = table.slice(start, end - start)
        content = parquet(dict(zip(part.column_names, part.columns, strict=True)), rows_per_group=100)
        storage.write(f"{prefix}/lake/{name}", content)


def rows_in(address: str) -> list[tuple[str, int]]:
    """The file of each batch, and its rows."""
    return [(batch.file, len(batch)) for batch in ColumnFiles.find(address).batches(SkippedRows())]


def test_same_as_from_a_folder(shop: Shop, storage: S3Server, prefix: str, address: str, tmp_path: Path) -> None:
    """The snapshot has the same bits."""
    upload(storage, prefix, "part-0.parquet", "part-1.parquet")
    from_bucket = shop.train(parse_recipe(SEGMENTS.document | {"source": f"{address}/"}).document)
    lake = written(tmp_path / "lake", columns_of(RATINGS))
    from_folder = shop.train(parse_recipe(SEGMENTS.document | {"source": lake}).document)
    expected, found = from_folder.arrays.named, from_bucket.arrays.named
    differ = [name for name in expected if not np.array_equal(found[name], expected[name])]
    assert [name for name in differ if "version" not in name] == []
    assert from_bucket.manifest.requested_recipe["source"] == f"{address}/"


@pytest.mark.parametrize("small_object", [source_files.SMALL_OBJECT, 0])
def test_what_is_read(
    storage: S3Server, prefix: str, address: str, small_object: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parquet objects by name; what Spark and others hide is passed over. Large objects are read by ranges."""
    monkeypatch.setattr(source_files, "SMALL_OBJECT", small_object)
    names = ("b/part 1.parquet", "a.pq", "date=2026-01-01/é+%20.parquet", "_tmp/x.parquet", "b/.y.parquet", "b/_z.pq")
    upload(storage, prefix, *names)
    for other in ("_SUCCESS", "b/notes.csv", "empty/"):
        storage.write(f"{prefix}/lake/{other}", b"")
    storage.write(f"{prefix}/lake-of-others/x.parquet", b"not below the prefix")
    read = rows_in(address)
    assert [name for name, _ in read] == ["a.pq", "b/part 1.parquet", "date=2026-01-01/é+%20.parquet"]
    assert sum(n for _, n in read) == pytest.approx(len(RATINGS) / 2, abs=3)
    assert rows_in(f"{address}/a.pq") == read[:1]


def test_whole_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server(tmp_path) as empty:
        for name, value in empty.environment("").items():
            monkeypatch.setenv(name, value)
        with pytest.raises(InvalidInputError, match="it is empty"):
            ColumnFiles.find(f"s3://{BUCKET}")
        empty.write("in-root.parquet", parquet(columns_of(RATINGS)))
        for address in (f"s3://{BUCKET}", f"s3://{BUCKET}/", f"s3://{BUCKET}/in-root.parquet"):
            assert rows_in(address) == [("in-root.parquet", len(RATINGS))]


def test_what_is_no_lake(storage: S3Server, prefix: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInputError, match=f"there is neither an object {address} nor any below it"):
        ColumnFiles.find(address)
    storage.write(f"{prefix}/lake/ratings.csv", b"a,b")
    with pytest.raises(InvalidInputError, match=r"no Parquet files .* below s3://.*: it holds ratings\.csv"):
        ColumnFiles.find(address)
    storage.write(f"{prefix}/lake/x.parquet", b"PAR1 and no more")
    with pytest.raises(InvalidInputError, match=f"{address}/x.parquet is damaged, cut short or not Parquet"):
        ColumnFiles.find(address)
    upload(storage, prefix, "x.parquet", columns={"user": ["a"], "item_id": ["b"]})
    with pytest.raises(InvalidInputError, match=f"{address}/x.parquet has no column user_id; found: user"):
        ColumnFiles.find(address)
    with pytest.raises(ObjectStorageRefusedError, match="there is no such bucket"):
        ColumnFiles.find(f"s3://{BUCKET}-of-others/lake")
    storage.forwarder.go_down()
    with pytest.raises(ObjectStorageDownError, match="it does not answer"):
        ColumnFiles.find(address)
    storage.forwarder.come_up()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(ObjectStorageRefusedError, match="the secret does not belong to the access key"):
        ColumnFiles.find(address)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ObjectStorageRefusedError, match="no credentials: AWS_SECRET_ACCESS_KEY not set"):
        ColumnFiles.find(address)


@pytest.mark.parametrize("allowed", ["s3:ListBucket", "s3:GetObject"])
def test_no_permission(allowed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To read what was listed, or to list."""
    with s3_server(tmp_path, actions=("s3:PutObject", allowed)) as restricted:
        for name, value in restricted.environment("p").items():
            monkeypatch.setenv(name, value)
        upload(restricted, "p", "part-0.parquet")
        with pytest.raises(ObjectStorageRefusedError, match="permission denied") as refused:
            ColumnFiles.find(f"s3://{BUCKET}/p/lake")
        assert "s3:ListBucket" in refused.value.advice


@pytest.mark.parametrize(
    "source",
    [
        "s3://id:hidden-word@bucket/lake",
        "s3://bucket/lake?secret_key=hidden-word",
        "https://id:hidden-word@example.com/lake",
        "hidden-word-as-a-very-long-scheme://bucket",
        "s3a://bucket/hidden-word",
        "s3://",
        "s3://UPPER/lake",
    ],
)
def test_addresses_that_are_refused(shop: Shop, source: str) -> None:
    """On the command line and in a recipe, before anything is stored; a password is not repeated."""
    for call in (lambda: ColumnFiles.find(source), lambda: parse_recipe(SEGMENTS.document | {"source": source})):
        with pytest.raises(InvalidInputError, match="s3://BUCKET/PREFIX") as refused:
            call()
        assert "hidden-word" not in refused.value.detail
    assert shop.store.jobs.latest() == []


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("is_removed", [False, True])
def test_changed_while_it_is_read(
    storage: S3Server, prefix: str, address: str, *, is_large: bool, is_removed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a large object, or between the listing and a small one."""
    if is_large:
        monkeypatch.setattr(source_files, "SMALL_OBJECT", 0)
    names = ("part-0.parquet",) if is_large else ("part-0.parquet", "part-1.parquet")
    upload(storage, prefix, *names)
    batches = ColumnFiles.find(address).batches(SkippedRows(), rows=100)
    assert len(next(batches)) == 100
    if is_removed:
        storage.client().delete_object(Bucket=BUCKET, Key=f"{prefix}/lake/{names[-1]}")
    else:
        upload(storage, prefix, *names, columns=columns_of(tasteful_ratings(seed=1)))
    what = "removed" if is_removed else "replaced"
    with pytest.raises(ObjectChangedError, match=f"{address}/{names[-1]} was {what} while it was read"):
        list(batches)


def test_storage_goes_down_while_it_is_read(
    shop: Shop, storage: S3Server, prefix: str, address: str, tmp_path: Path
) -> None:
    """Nothing of the files is stored."""
    upload(storage, prefix, "part-0.parquet", "part-1.parquet")

    def cut(_share: float, text: str) -> None:
        if "part-0" in text:
            storage.forwarder.go_down()

    recipe = parse_recipe(SEGMENTS.document | {"source": address})
    read = LargeRead(recipe, Scratch(tmp_path, 1 << 40), None)
    with pytest.raises(ObjectStorageDownError, match=r"cannot read .*part-1\.parquet: it does not answer"):
        read(shop.store, shop.store.instance.scale(), Stage.from_progress(cut))
    assert (shop.store.users.page(limit=1), dict(shop.store.items.by_key())) == ([], {})


def test_command(storage: S3Server, prefix: str, address: str, folder: Path) -> None:
    """A real process; no secret is in what it prints and stores."""
    upload(storage, prefix, "part-0.parquet", "part-1.parquet")
    service = Instance(folder, settings=storage.environment(prefix, RECKON_SNAPSHOT_URL=""))
    service.run("migrate")
    options = ("--segments", "taste=als_implicit,popularity=popularity")
    done = service.run("train", "--from", address, *options, "--json", timeout_seconds=300)
    assert json.loads(done.stdout)["is_live"]
    printed = service.run("train", "--from", address, *options, timeout_seconds=300)
    listed = service.run("snapshots", "list", "--json").stdout
    assert json.loads(listed)[0]["card"]["requested_recipe"]["source"] == address
    kept = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    for secret in storage.full.values():
        assert secret not in printed.stdout + printed.stderr + done.stderr + listed
        assert secret.encode() not in kept
    storage.client().delete_object(Bucket=BUCKET, Key=f"{prefix}/lake/part-0.parquet")
    storage.client().delete_object(Bucket=BUCKET, Key=f"{prefix}/lake/part-1.parquet")
    failed = service.run("train", check=False)
    assert failed.returncode == 1
    assert f"failed: there is neither an object {address} nor any below it" in failed.stdout
    assert "Traceback" not in failed.stdout + failed.stderr
