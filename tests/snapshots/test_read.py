import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.scoring import open_snapshot
from app.snapshots.errors import SnapshotDamagedError, SnapshotError, SnapshotForeignError, SnapshotOutdatedError
from app.snapshots.manifest import FORMAT
from app.snapshots.read import VerifiedFiles, damage_at_a_glance, manifest_digest
from tests.support.forged import forge_manifest
from tests.support.snapshot_data import DATABASE_ID, SMALL_FILES, snapshot_arrays, write_small_snapshot

ALL_FILES = [*SMALL_FILES, "manifest.json"]


@pytest.fixture(scope="module")
def sound_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_snapshot(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def folder(tmp_path: Path, sound_folder: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(sound_folder, tmp_path / sound_folder.name)


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another version, with other contents."""
    return write_small_snapshot(tmp_path_factory.mktemp("other"), version=2, seed=1)


def test_round_trip(folder: Path) -> None:
    snapshot = open_snapshot(folder, DATABASE_ID, 1)
    read = snapshot.arrays.named
    for name, array in snapshot_arrays().named.items():
        np.testing.assert_array_equal(read[name], array)
        assert not read[name].flags.writeable
    assert snapshot.version == 1
    assert snapshot.manifest.metrics == {"snapshot": {"rmse": 0.9, "ndcg@10": None}}
    assert snapshot.manifest.scale.maximum == 5.0


def test_few_descriptors(folder: Path) -> None:
    """Python keeps one for each file that is mapped, and a process holds the snapshots of many tenants."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    snapshot = open_snapshot(folder, DATABASE_ID, 1)
    assert len(os.listdir("/proc/self/fd")) - before < len(snapshot.arrays.named) / 2  # noqa: PTH208


@pytest.mark.parametrize("name", ALL_FILES)
def test_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(SnapshotDamagedError):
        open_snapshot(folder, DATABASE_ID, 1)


@pytest.mark.parametrize("name", ALL_FILES)
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_truncated_file(folder: Path, name: str, kept: float) -> None:
    os.truncate(folder / name, int((folder / name).stat().st_size * kept))
    with pytest.raises(SnapshotDamagedError):
        open_snapshot(folder, DATABASE_ID, 1)


@pytest.mark.parametrize("name", ALL_FILES)
def test_linked_file(folder: Path, tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(folder / name, elsewhere)
    (folder / name).symlink_to(elsewhere)
    with pytest.raises(SnapshotDamagedError):
        open_snapshot(folder, DATABASE_ID, 1)


def test_linked_folder(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "000002"
    link.symlink_to(folder)
    with pytest.raises(SnapshotDamagedError, match="link"):
        open_snapshot(link, DATABASE_ID, 1)


def test_pipe_does_not_block(folder: Path) -> None:
    (folder / "item_keys.npy").unlink()
    os.mkfifo(folder / "item_keys.npy")
    with pytest.raises(SnapshotDamagedError, match="regular"):
        open_snapshot(folder, DATABASE_ID, 1)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(SnapshotDamagedError):
        open_snapshot(tmp_path / "000001", DATABASE_ID, 1)


@settings(max_examples=150)
@given(name=st.sampled_from(ALL_FILES), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit(sound_folder: Path, name: str, place: float, bit: int) -> None:
    path = sound_folder / name
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[int(place * len(content))] ^= 1 << bit
    path.write_bytes(flipped)
    try:
        if name == "manifest.json" and json_or_none(flipped) == json_or_none(content):
            return  # white space
        with pytest.raises(SnapshotError):
            open_snapshot(sound_folder, DATABASE_ID, 1)
    finally:
        path.write_bytes(content)
    open_snapshot(sound_folder, DATABASE_ID, 1)


def json_or_none(content: bytes | bytearray) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


@pytest.mark.parametrize("name", SMALL_FILES)
def test_file_of_other_version(folder: Path, other_folder: Path, name: str) -> None:
    is_same = (other_folder / name).read_bytes() == (folder / name).read_bytes()
    shutil.copy(other_folder / name, folder / name)
    if is_same:
        open_snapshot(folder, DATABASE_ID, 1)
    else:
        with pytest.raises(SnapshotDamagedError, match=name):
            open_snapshot(folder, DATABASE_ID, 1)


def test_folder_of_other_version(folder: Path, other_folder: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(other_folder, folder)
    with pytest.raises(SnapshotForeignError):
        open_snapshot(folder, DATABASE_ID, 1)


def test_forged_beside_the_register(folder: Path) -> None:
    """With valid checksums; the register has the digest of the manifest that was published."""
    digest = manifest_digest(folder)
    open_snapshot(folder, DATABASE_ID, 1, digest)
    assert damage_at_a_glance(folder, digest) is None
    forge_manifest(folder, lambda document: document["segments"][0].update(weight=7.0))
    open_snapshot(folder, DATABASE_ID, 1)
    with pytest.raises(SnapshotDamagedError, match="not the one that was registered"):
        open_snapshot(folder, DATABASE_ID, 1, digest)
    assert damage_at_a_glance(folder, digest) == "manifest.json is not the one that was registered"


def test_damage_at_a_glance(folder: Path, tmp_path: Path) -> None:
    assert damage_at_a_glance(folder, None) is None
    (folder / "item_keys.npy").write_bytes(b"")
    assert "item_keys.npy is not" in str(damage_at_a_glance(folder, None))
    (folder / "item_keys.npy").unlink()
    assert damage_at_a_glance(folder, None) == "item_keys.npy: No such file or directory"
    assert damage_at_a_glance(tmp_path / "none", None) == "manifest.json: No such file or directory"
    (folder / "manifest.json").write_bytes(b"[]")
    assert damage_at_a_glance(folder, None) == "manifest.json is not a JSON object"
    with pytest.raises(SnapshotDamagedError, match=r"manifest\.json: No such file"):
        manifest_digest(tmp_path / "none")


def test_other_database(folder: Path) -> None:
    with pytest.raises(SnapshotForeignError, match="another-database"):
        open_snapshot(folder, "another-database", 1)


def test_newer_format(folder: Path) -> None:
    forge_manifest(folder, lambda document: document.update(format=FORMAT + 1))
    with pytest.raises(SnapshotForeignError, match="newer"):
        open_snapshot(folder, DATABASE_ID, 1)


def test_older_format(folder: Path) -> None:
    forge_manifest(folder, lambda document: document.update(format=FORMAT - 1))
    with pytest.raises(SnapshotOutdatedError, match="older"):
        open_snapshot(folder, DATABASE_ID, 1)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 100_000, b'{"format": "1"}', b" " * (1 << 21)]
)
def test_no_manifest(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(SnapshotDamagedError):
        open_snapshot(folder, DATABASE_ID, 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("segments"),
        lambda document: document.update(counts={"items": 1, "users": 1, "ratings": 1, "labels": 0}),
        lambda document: document["segments"][0].update(columns=[0, 10_000]),
        lambda document: document["segments"][0].update(columns=[2, 1]),
        lambda document: document["segments"][-1].update(columns=[6, 10_000]),
        lambda document: document["segments"][0]["numbers"].pop("new_item"),
        lambda document: document["segments"][0]["numbers"].pop("half_known"),
        lambda document: document["files"].pop("items.faiss"),
        lambda document: document["files"].pop("item_item.entries.npy"),
        lambda document: document["segments"][2].update(n_entries=76),
        lambda document: document["segments"][2].update(n_entries=None),
        lambda document: document["segments"][2].update(name="transitions"),
        lambda document: document["segments"][2].update(name="taste"),
        lambda document: document["segments"][2]["numbers"].pop("decay"),
        lambda document: document["segments"][2].update(weight=float("nan")),
        lambda document: document["segments"][1].update(columns=None),
        lambda document: document["files"].update({"../../outside": {"size": 1, "sha256": ""}}),
        lambda document: document.update(version="one"),
        lambda document: document.update(rating_scale="x"),
        lambda document: document.update(created_at="x"),
        lambda document: document["segments"][0].update(name="x"),
        lambda document: document["segments"].append(document["segments"][2]),
    ],
)
def test_forged_manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    forge_manifest(folder, change)
    with pytest.raises(SnapshotError):
        open_snapshot(folder, DATABASE_ID, 1)


@pytest.mark.parametrize(
    ("name", "forged"),
    [
        ("item_keys", np.zeros(40, np.int64)),
        ("item_keys", np.zeros((40, 2), np.int64)),
        ("item_vectors", np.full((40, 16), np.inf, np.float32)),
        ("item_vectors", np.zeros((40, 16), np.float64)),
        ("item_vectors", np.zeros((40, 16, 1), np.float32)),
        ("user_vectors", np.zeros((12, 32), np.float32)),
        ("popular_rows", np.full(40, 40, np.int32)),
        ("similar_rows", np.full((40, 50), 2**31 - 1, np.int32)),
        ("item_uncertainties", np.full(40, -0.1, np.float32)),
        ("user_uncertainties", np.full(12, np.nan, np.float32)),
        ("item_item.entries", np.zeros(77, np.float32)),
        ("item_item.entries", np.zeros(76, np.float16)),
        ("item_item.entries", np.full(77, np.inf, np.float16)),
        ("group_starts", np.array([0, 3, 2])),
        ("group_starts", np.empty(0, np.int64)),
        ("group_rows", np.array([0, 1, 40], np.int32)),
        ("group_counts", np.array([2, 1], np.int32)),
        ("user_group_starts", np.zeros(13, np.int64)),
        ("user_groups", np.array([0, 2], np.int32)),
        ("history_starts", np.arange(13)[::-1].copy()),
        ("history_starts", np.zeros(13, np.int64)),
        ("item_counts", np.array([{"object": "array"}] * 40)),
    ],
)
def test_forged_array(folder: Path, name: str, forged: np.ndarray[Any, Any]) -> None:
    np.save(folder / f"{name}.npy", forged, allow_pickle=True)
    forge_manifest(folder)
    with pytest.raises(SnapshotDamagedError, match=name):
        open_snapshot(folder, DATABASE_ID, 1)


@pytest.mark.parametrize(
    "document",
    ["", "{}", "[]", "[[1, 2], [3, 4]]", '["FI", "SE"]', '[["a", "b"], ["a", "b"]]', '[["a", "b"], 7]', "[" * 9999],
)
def test_forged_groups(folder: Path, document: str) -> None:
    (folder / "groups.json").write_text(document)
    forge_manifest(folder)
    with pytest.raises(SnapshotDamagedError, match="groups"):
        open_snapshot(folder, DATABASE_ID, 1)


def test_text_in_place_of_an_array(folder: Path) -> None:
    (folder / "item_keys.npy").unlink()
    (folder / "item_keys.npy").write_text("no array at all")
    forge_manifest(folder)
    with pytest.raises(SnapshotDamagedError, match=r"item_keys\.npy is not an array"):
        open_snapshot(folder, DATABASE_ID, 1)


def test_pickle_is_not_run(folder: Path) -> None:
    marker = folder / "ran"

    class Exploit:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(marker),))

    np.save(folder / "item_keys.npy", np.array([Exploit()]), allow_pickle=True)
    forge_manifest(folder)
    with pytest.raises(SnapshotDamagedError):
        open_snapshot(folder, DATABASE_ID, 1)
    assert not marker.exists()


@pytest.mark.parametrize("shape", ["(1099511627776, 16)", "(40, 4611686018427387904)", "(-1, 16)"])
def test_huge_array_header(folder: Path, shape: str) -> None:
    path = folder / "item_vectors.npy"
    content = path.read_bytes()
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    path.write_bytes(content[:10] + header + content[128:])
    forge_manifest(folder)
    with pytest.raises(SnapshotDamagedError, match="item_vectors"):
        open_snapshot(folder, DATABASE_ID, 1)


@pytest.mark.parametrize("count", [0, 39, 41, 1 << 40, (1 << 63) - 1, (1 << 64) - 1])
@pytest.mark.parametrize("place", [4, 8, 33, 37])
def test_huge_index_header(folder: Path, place: int, count: int) -> None:
    path = folder / "items.faiss"
    content = bytearray(path.read_bytes())
    was = bytes(content[place : place + 8])
    content[place : place + 8] = count.to_bytes(8, "little")
    if bytes(content[place : place + 8]) == was:
        return
    path.write_bytes(content)
    forge_manifest(folder)
    with pytest.raises(SnapshotDamagedError):
        open_snapshot(folder, DATABASE_ID, 1)


def test_index_of_other_vectors(folder: Path, other_folder: Path) -> None:
    """Sizes fit and checksums are forged: only the trial search notices."""
    shutil.copy(other_folder / "items.faiss", folder / "items.faiss")
    forge_manifest(folder)
    with pytest.raises(SnapshotDamagedError, match="trial search"):
        open_snapshot(folder, DATABASE_ID, 1)


def test_verified_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are hashed once for those who look. What is written to since is hashed again, and found damaged."""
    hashed: list[int] = []
    digest_of = hashlib.file_digest

    def counted(file: Any, name: str) -> Any:
        hashed.append(file.fileno())
        return digest_of(file, name)

    monkeypatch.setattr("app.snapshots.read.hashlib.file_digest", counted)
    verified = VerifiedFiles()
    for _ in range(2):
        open_snapshot(folder, DATABASE_ID, 1, verified=verified)
    n = len(hashed)
    assert n == len(SMALL_FILES)
    path = folder / "item_keys.npy"
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(SnapshotDamagedError, match="not what was written"):
        open_snapshot(folder, DATABASE_ID, 1, verified=verified)
    # Who serves answers looks at everything.
    monkeypatch.setattr("app.snapshots.read.MOST_KNOWN", 0)
    with pytest.raises(SnapshotDamagedError):
        open_snapshot(folder, DATABASE_ID, 1)
