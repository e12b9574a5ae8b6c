import errno
import gzip
import io
import os
import socket
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from app.errors import InvalidInputError, StorageFullError
from app.intake.files import archives, listing
from app.intake.files.listing import InputFile, input_files, verify
from tests.support.archives import ARCHIVERS, COMPRESSORS, seven_zipped, tarred, zipped

ROWS = b"user,item,rating\nu,i,4\n"
MANY_ROWS = b"".join(b"%d,%d,%d\n" % (n, n * 7919 % 1009, n % 5) for n in range(20_000))
ZEROS = bytes(20 << 20)


def in_compressed_tar(compressor: str, data: bytes) -> bytes:
    return COMPRESSORS[compressor](tarred({"r.csv": data}))


def in_archive(archiver: str, data: bytes) -> bytes:
    return ARCHIVERS[archiver]({"r.csv": data})


PACKED: dict[str, Callable[[bytes], bytes]] = {
    **COMPRESSORS,
    **{f"tar.{each}": partial(in_compressed_tar, each) for each in COMPRESSORS},
    **{each: partial(in_archive, each) for each in ARCHIVERS},
}


def content(file: InputFile) -> bytes:
    with file.open() as stream:
        return stream.read()


def contents(path: Path) -> dict[str, bytes]:
    return {file.display_name: content(file) for file in input_files(path) if not file.problem}


def problems(path: Path) -> dict[str, str]:
    return {file.display_name: file.problem for file in input_files(path) if file.problem}


Write = Callable[[str, bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    return write_file


def test_folder_in_order(tmp_path: Path, write: Write) -> None:
    for name in ("b.csv", "A.CSV", "a/b/c.csv", "a/a.csv", "a/b/.hidden/x.csv"):
        write(name, name.encode())
    assert contents(tmp_path) == {name: name.encode() for name in ("A.CSV", "a/a.csv", "a/b/c.csv", "b.csv")}
    assert [file.name for file in input_files(tmp_path)] == ["a.csv", "a.csv", "c.csv", "b.csv"]


@pytest.mark.parametrize(
    "name", [".DS_Store", "Thumbs.db", "desktop.ini", "~$x.xlsx", "__MACOSX/ml/x.csv", "a/.DS/x.csv", "a/.git/b/x.csv"]
)
def test_system_files_left_out(tmp_path: Path, write: Write, name: str) -> None:
    write("folder/a.csv", b"x")
    write(f"folder/{name}", b"y")
    path = write("a.zip", zipped({"a.csv": b"x", name: b"y", f"..\\{name}".replace("/", "\\"): b"z"}))
    assert list(contents(path)) == ["a.zip: a.csv"]
    assert list(contents(tmp_path / "folder")) == ["a.csv"]


@pytest.mark.parametrize("compressor", COMPRESSORS)
@pytest.mark.parametrize("name", ["ratings.csv.{}", "ratings.csv"])
def test_compressed(write: Write, compressor: str, name: str) -> None:
    """The format is recognised by content: downloads lose suffixes."""
    packed = COMPRESSORS[compressor](MANY_ROWS)
    (file,) = input_files(write(name.format(compressor), packed))
    assert (file.name, content(file), file.is_packed) == ("ratings.csv", MANY_ROWS, True)
    assert file.counter.bytes_read == file.size == len(packed)
    verify([file])


def test_frames_of_zstandard(write: Write) -> None:
    """Parallel compressors write skippable frames and several frames of data."""
    pack = COMPRESSORS["zst"]
    packed = b"\x5e\x2a\x4d\x18\x03\0\0\0abc" + pack(ROWS) + pack(MANY_ROWS)
    assert contents(write("r.csv", packed)) == {"r.csv": ROWS + MANY_ROWS}


def test_plain_file_of_packed_name(write: Write) -> None:
    (file,) = input_files(write("ratings.csv.gz", ROWS))
    assert (file.name, content(file), file.is_packed) == ("ratings.csv", ROWS, False)


@pytest.mark.parametrize("archiver", ARCHIVERS)
@pytest.mark.parametrize("name", ["data.{}", "download"])
def test_members(write: Write, archiver: str, name: str) -> None:
    members = {"b.csv": b"second", "a/ratings.csv": MANY_ROWS, "a/empty.csv": b"", "__MACOSX/a/x.csv": b"y"}
    path = write(name.format(archiver), ARCHIVERS[archiver](members))
    assert contents(path) == {
        f"{path.name}: a/empty.csv": b"",
        f"{path.name}: a/ratings.csv": MANY_ROWS,
        f"{path.name}: b.csv": b"second",
    }
    listed = input_files(path)
    assert [(file.name, file.folder) for file in listed][1:] == [
        ("ratings.csv", f"{path.name}: a"),
        ("b.csv", f"{path.name}: ."),
    ]
    verify(listed)
    assert all(file.counter.bytes_read == file.size for file in listed if file.is_packed)


@pytest.mark.parametrize("compressor", COMPRESSORS)
@pytest.mark.parametrize("name", ["data.tar.{}", "data.t{}"])
def test_compressed_tar(write: Write, compressor: str, name: str) -> None:
    path = write(name.format(compressor), COMPRESSORS[compressor](tarred({"a/ratings.csv": ROWS, "b.csv": b"x"})))
    assert contents(path) == {f"{path.name}: a/ratings.csv": ROWS, f"{path.name}: b.csv": b"x"}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_of_zip(write: Write, method: int) -> None:
    assert contents(write("a.zip", zipped({"r.csv": MANY_ROWS}, method))) == {"a.zip: r.csv": MANY_ROWS}


def test_archives_in_archives(tmp_path: Path, write: Write) -> None:
    inner = gzip.compress(tarred({"d/r.csv.gz": gzip.compress(ROWS), "e.csv": b"e"}))
    outer = zipped({"x/inner.tgz": inner, "r.csv": b"r"})
    write("folder/outer.zip", outer)
    assert contents(tmp_path) == {
        "folder/outer.zip: r.csv": b"r",
        "folder/outer.zip: x/inner.tgz: d/r.csv.gz": ROWS,
        "folder/outer.zip: x/inner.tgz: e.csv": b"e",
    }
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_too_deep(write: Write) -> None:
    packed = zipped({"r.csv": ROWS})
    for _ in range(3):
        packed = zipped({"a.zip": packed, "r.csv": ROWS})
    path = write("a.zip", packed)
    assert problems(path) == {"a.zip: a.zip: a.zip: a.zip": "it is an archive in 3 others, so unpack it first"}
    assert len(contents(path)) == 3


def test_same_name_twice(tmp_path: Path, write: Write) -> None:
    write("a/r.csv", b"1")
    write("b/R.csv", b"2")
    assert contents(tmp_path) == {"a/r.csv": b"1", "b/R.csv": b"2"}
    packed = zipped({"r.csv": b"1", "s.csv": b"2"}).replace(b"s.csv", b"r.csv")
    assert contents(write("twice.zip", packed)) == {"twice.zip: r.csv": b"1", "twice.zip: r.csv (2)": b"2"}


def test_archive_beside_its_files(tmp_path: Path, write: Write) -> None:
    """Amounts that are added up would count twice."""
    write("ml/r.csv", MANY_ROWS)
    write("ml/s.csv", b"s")
    write("ml/r.csv.gz", gzip.compress(MANY_ROWS))
    write("ml.tar", tarred({"ml/r.csv": MANY_ROWS, "ml/s.csv": b"t", "ml/t.csv": b"t"}))
    assert problems(tmp_path) == {"ml.tar: ml/r.csv": "the same as ml/r.csv", "ml/r.csv.gz": "the same as ml/r.csv"}
    assert list(contents(tmp_path)) == ["ml/r.csv", "ml/s.csv", "ml.tar: ml/s.csv", "ml.tar: ml/t.csv"]


def test_document_is_one_file(write: Write) -> None:
    book = zipped({"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>"})
    assert contents(write("book.xlsx", book)) == {"book.xlsx": book}
    assert contents(write("books.zip", zipped({"a/book.xlsx": book}))) == {"books.zip: a/book.xlsx": book}


@pytest.mark.parametrize("archiver", ["zip", "tar"])
def test_hostile_member_names(tmp_path: Path, write: Write, archiver: str) -> None:
    """A stored name never becomes a path, and never controls the terminal."""
    members = {"../../r.csv": b"x", "/etc/items.csv": b"y", "a\x1b[2J\u202e.csv": b"z"}
    path = write("hostile", ARCHIVERS[archiver](members))
    assert contents(path) == {
        "hostile: ../../r.csv": b"x",
        "hostile: /etc/items.csv": b"y",
        "hostile: a\\x1b[2J\\u202e.csv": b"z",
    }
    assert list(tmp_path.iterdir()) == [path]


def test_paths_out_of_7z(write: Write) -> None:
    path = write("a.7z", seven_zipped({"../../r.csv": b"x", "/etc/r.csv": b"y", "b.csv": b"z"}))
    assert contents(path) == {"a.7z: b.csv": b"z"}
    assert set(problems(path).values()) == {"a path out of the archive"}


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.FIFOTYPE, "a FIFO"),
        (b"V", "not a regular file"),
    ],
)
def test_special_members_of_tar(write: Write, kind: bytes, problem: str) -> None:
    path = write("a.tar", tarred({"r.csv": ROWS}, **{"x.csv": kind}))
    assert (contents(path), problems(path)) == ({"a.tar: r.csv": ROWS}, {"a.tar: x.csv": problem})
    with pytest.raises(InvalidInputError, match=f"a.tar: x.csv is not read: {problem}"):
        content(input_files(path)[1])


def test_link_in_zip(write: Write) -> None:
    info = zipfile.ZipInfo("x.csv")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    assert problems(write("a.zip", packed.getvalue())) == {"a.zip: x.csv": "a symbolic link"}


def test_special_files_in_folder(tmp_path: Path, write: Write) -> None:
    write("folder/r.csv", ROWS)
    folder = tmp_path / "folder"
    (folder / "link.csv").symlink_to("r.csv")
    (folder / "loop").symlink_to(folder)
    (folder / "outside.csv").symlink_to("/etc/passwd")
    os.mkfifo(folder / "fifo.csv")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket.csv"))
        assert contents(folder) == {"r.csv": ROWS}
        assert problems(folder) == {
            "fifo.csv": "a FIFO",
            "link.csv": "a symbolic link",
            "loop": "a symbolic link",
            "outside.csv": "a symbolic link",
            "socket.csv": "a socket",
        }


def test_link_given_by_name(tmp_path: Path, write: Write) -> None:
    """A link that the user names is followed."""
    write("folder/r.csv", ROWS)
    (tmp_path / "file").symlink_to("folder/r.csv")
    (tmp_path / "place").symlink_to("folder")
    assert (contents(tmp_path / "file"), contents(tmp_path / "place")) == ({"file": ROWS}, {"r.csv": ROWS})


def test_pipe_given_by_name(tmp_path: Path) -> None:
    """Opening it would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInputError, match="pipe is a FIFO: write its content to a file first"):
        input_files(tmp_path / "pipe")
    with pytest.raises(InvalidInputError, match="zero is a device"):
        input_files(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("head", "name"), [(b"Rar!\x1a\x07\x00", "RAR"), (b"\x04\x22\x4d\x18", "LZ4"), (b"LZIP", "lzip")]
)
def test_unsupported_formats(write: Write, head: bytes, name: str) -> None:
    with pytest.raises(InvalidInputError, match=f"x.csv is not read: Reckon does not unpack {name}"):
        content(input_files(write("x.csv", head + ROWS))[0])


@pytest.mark.parametrize(
    ("module", "packed"), [("backports.zstd", b"\x28\xb5\x2f\xfd"), ("py7zr", b"7z\xbc\xaf\x27\x1c")]
)
def test_library_absent(write: Write, monkeypatch: pytest.MonkeyPatch, module: str, packed: bytes) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    path = write("x", packed)
    assert [file.problem.endswith("pip install 'reckon[archives]'") for file in input_files(path)] == [True]


@pytest.mark.parametrize(
    "packed",
    [
        *(pytest.param(lambda each=each: PACKED[each](ZEROS), id=each) for each in PACKED if each != "tar"),
        pytest.param(lambda: zipped({"r.csv": ZEROS}, zipfile.ZIP_BZIP2), id="zip by bzip2"),
        pytest.param(lambda: gzip.compress(gzip.compress(ZEROS)), id="twice"),
        pytest.param(lambda: zipped({"a.zip": zipped({"r.csv": ZEROS})}), id="nested"),
        pytest.param(
            lambda: zipped({f"{n}.tgz": in_compressed_tar("gz", ZEROS[: 3 << 20]) for n in range(8)}), id="many copies"
        ),
        pytest.param(lambda: zipped({f"{n}.csv": ZEROS[: 3 << 20] for n in range(8)}), id="many members"),
        pytest.param(lambda: zipped({f"{n}.zip": zipped({"r.csv": ZEROS[: 3 << 20]}) for n in range(8)}), id="many"),
    ],
)
def test_bombs(write: Write, packed: Callable[[], bytes]) -> None:
    with pytest.raises(InvalidInputError, match="bomb was refused as a possible zip bomb"):
        verify(input_files(write("bomb", packed())))


def test_memory_bomb_in_zip(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """zipfile unpacks at once what it reads of this method."""
    sizes: list[int] = []
    read = zipfile.ZipExtFile.read

    def noted(stream: zipfile.ZipExtFile, size: int) -> bytes:
        sizes.append(size)
        return read(stream, size)

    monkeypatch.setattr(zipfile.ZipExtFile, "read", noted)
    verify(input_files(write("a.zip", zipped({"r.csv": MANY_ROWS}, zipfile.ZIP_BZIP2))))
    assert set(sizes) == {4096}


def test_memory_bomb_in_header(write: Write) -> None:
    """tarfile keeps the long name of a member in memory."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 3 << 20
    packed = tarred({"r.csv": ROWS})[:1024] + info.tobuf() + bytes(4 << 20)
    with pytest.raises(InvalidInputError, match="a header is larger than 1 MiB"):
        input_files(write("a.tar", packed))


def test_sparse_member(write: Write) -> None:
    info = tarfile.TarInfo("x.csv")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 0
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"77777777777\0"  # the real size: 8 GiB of zeros
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    assert problems(write("a.tar", bytes(header) + bytes(1024))) == {"a.tar: x.csv": "a sparse file"}


@pytest.mark.parametrize("archiver", ARCHIVERS)
def test_too_many_members(write: Write, monkeypatch: pytest.MonkeyPatch, archiver: str) -> None:
    monkeypatch.setattr(archives, "MAX_FILES", 3)
    path = write("many", ARCHIVERS[archiver]({f"{n}.csv": b"x" for n in range(4)}))
    with pytest.raises(InvalidInputError, match="many holds more than 3 files"):
        input_files(path)


def test_too_many_files(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_FILES", 3)
    for n in range(4):
        write(f"folder/{n}.csv", b"x")
    with pytest.raises(InvalidInputError, match="folder holds more than 3 files"):
        input_files(tmp_path / "folder")


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("n_cut", [9, 1100])
def test_cut_short(write: Write, packed: str, n_cut: int) -> None:
    whole = PACKED[packed](MANY_ROWS)
    # A tar ends with kilobytes of zeros, which carry nothing.
    path = write("cut", whole.rstrip(b"\0")[:-n_cut])
    with pytest.raises(InvalidInputError, match="is damaged or cut short"):
        verify(input_files(path))


@pytest.mark.parametrize("packed", [each for each in PACKED if each not in {"tar", "zst", "tar.zst"}])
def test_bit_flip(write: Write, packed: str) -> None:
    """Neither tar nor, by default, Zstandard has a checksum of the content."""
    broken = bytearray(PACKED[packed](MANY_ROWS))
    broken[len(broken) // 2] ^= 0xFF
    with pytest.raises(InvalidInputError, match=r"broken.* is damaged"):
        verify(input_files(write("broken", bytes(broken))))


def test_damaged_header_in_tar(write: Write) -> None:
    """tarfile alone would take it for the end."""
    packed = bytearray(tarred({"a.csv": ROWS, "b.csv": ROWS}))
    packed[1024 + 10] ^= 0xFF
    with pytest.raises(InvalidInputError, match="is damaged or cut short: a header is damaged"):
        input_files(write("a.tar", bytes(packed)))


def test_encrypted_zip(write: Write) -> None:
    marked = bytearray(zipped({"ratings.csv": ROWS}))
    marked[6] |= 1  # the flag of the local header
    marked[marked.index(b"PK\x01\x02") + 8] |= 1  # and of the directory
    with pytest.raises(InvalidInputError, match=r"a\.zip is encrypted"):
        input_files(write("a.zip", bytes(marked)))


def test_encrypted_7z(write: Write) -> None:
    with pytest.raises(InvalidInputError, match=r"a\.7z is encrypted"):
        input_files(write("a.7z", seven_zipped({"ratings.csv": ROWS}, password="x")))  # noqa: S106  of the test alone


def test_missing_path(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="there is no file or folder"):
        input_files(tmp_path / "nothing")


def test_empty_file(write: Write) -> None:
    with pytest.raises(InvalidInputError, match="is empty"):
        input_files(write("ratings.csv", b""))


@pytest.mark.parametrize(
    ("found", "appended", "read"),
    [(b"1,2\n", b"3,4\n", b"1,2\n"), (b"1,2\n3,", b"45\n5,6\n", b"1,2\n3,45\n"), (b"1,2\n3,", b"4", b"1,2\n3,")],
)
def test_growing_file(write: Write, found: bytes, appended: bytes, read: bytes) -> None:
    """The rows that were there are read, none of them cut."""
    path = write("a.csv", found)
    (file,) = input_files(path)
    with path.open("ab") as log:
        log.write(appended)
    assert content(file) == read


def test_shrinking_file(write: Write) -> None:
    path = write("a.csv", MANY_ROWS)
    (file,) = input_files(path)
    os.truncate(path, 10)
    with pytest.raises(InvalidInputError, match=r"a\.csv is damaged or cut short: it became shorter"):
        content(file)


def test_vanishing_file(write: Write) -> None:
    path = write("a.csv", ROWS)
    (file,) = input_files(path)
    write("other", ROWS).replace(path)
    with pytest.raises(InvalidInputError, match="another file took its place"):
        content(file)
    path.unlink()
    with pytest.raises(InvalidInputError, match="cannot be read: No such file"):
        content(file)


@pytest.mark.parametrize("packed", [*PACKED, "plain"])
def test_any_position(write: Write, packed: str) -> None:
    (file,) = input_files(write("r.csv", PACKED[packed](MANY_ROWS) if packed != "plain" else MANY_ROWS))
    for _ in range(2):
        with file.open_at_any_position() as stream:
            stream.seek(-4, os.SEEK_END)
            assert (stream.read(), stream.tell()) == (MANY_ROWS[-4:], len(MANY_ROWS))
            stream.seek(10)
            assert stream.read(5) == MANY_ROWS[10:15]


def test_no_room_for_copy(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, _data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    with pytest.raises(StorageFullError, match="there is no room left in"):
        input_files(write("a.tgz", gzip.compress(tarred({"r.csv": ROWS}))))


@pytest.mark.parametrize("encoding", ["latin-2000", "base64", "undefined", "x\0y", ""])
def test_unknown_encoding(write: Write, encoding: str) -> None:
    with pytest.raises(InvalidInputError, match="is not an encoding of text, such as"):
        input_files(write("a.csv", ROWS), encoding)
