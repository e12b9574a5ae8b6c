import gzip
import zipfile
from pathlib import Path

import pytest

from app.errors import InvalidInputError
from app.intake.files import InputFile, input_files, verify


def content(file: InputFile) -> bytes:
    with file.open() as stream:
        return stream.read()


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_folder_in_order(tmp_path: Path) -> None:
    for name in ("b.csv", "A.CSV", ".hidden"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "folder").mkdir()
    files = input_files(tmp_path)
    assert [file.name for file in files] == ["a.csv", "b.csv"]
    assert content(files[0]) == b"A.CSV"


def test_zip_members(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "ml.zip", {"ml/ratings.csv": b"x", "__MACOSX/ml/ratings.csv": b"y", "ml/.DS": b"z"})
    (file,) = input_files(path)
    assert (file.name, file.display_name, content(file)) == ("ratings.csv", "ml.zip: ratings.csv", b"x")


def test_hostile_member_names(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"../../ratings.csv": b"x", "/etc/items.csv": b"y", "..\\users.csv": b"z"})
    assert sorted(file.name for file in input_files(path)) == ["items.csv", "ratings.csv", "users.csv"]
    assert list(tmp_path.iterdir()) == [path]


def test_gzip(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv.gz").write_bytes(gzip.compress(b"x,y"))
    (file,) = input_files(tmp_path / "ratings.csv.gz")
    assert (file.name, content(file)) == ("ratings.csv", b"x,y")


def test_zip_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("ratings.csv", "w") as member:
        for _ in range(40):
            member.write(bytes(1 << 20))
    with pytest.raises(InvalidInputError, match="far more than a file of ratings"):
        verify(input_files(path))


def test_gzip_bomb(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv.gz").write_bytes(gzip.compress(bytes(40 << 20)))
    with pytest.raises(InvalidInputError, match="far more than a file of ratings"):
        verify(input_files(tmp_path / "ratings.csv.gz"))


def test_too_many_members(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "many.zip", {f"{n}.csv": b"" for n in range(1001)})
    with pytest.raises(InvalidInputError, match="1001 files"):
        input_files(path)


def test_truncated_gzip(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv.gz").write_bytes(gzip.compress(b"1,2,3\n" * 1000)[:-20])
    with pytest.raises(InvalidInputError, match="damaged or cut short"):
        verify(input_files(tmp_path / "ratings.csv.gz"))


def test_truncated_zip(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"ratings.csv": b"1,2,3\n"})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InvalidInputError, match="damaged zip"):
        input_files(path)


def test_bit_flip_in_zip(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"ratings.csv": b"1,2,3\n" * 1000})
    broken = bytearray(path.read_bytes())
    broken[50] ^= 0xFF
    path.write_bytes(broken)
    with pytest.raises(InvalidInputError, match="damaged or cut short"):
        verify(input_files(path))


def test_encrypted_zip(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"ratings.csv": b"1,2,3\n"})
    marked = bytearray(path.read_bytes())
    marked[6] |= 1  # the flag of the local header
    marked[marked.index(b"PK\x01\x02") + 8] |= 1  # and of the directory
    path.write_bytes(marked)
    with pytest.raises(InvalidInputError, match="is encrypted"):
        verify(input_files(path))


def test_missing_path(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="there is no file or folder"):
        input_files(tmp_path / "nothing")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").touch()
    with pytest.raises(InvalidInputError, match="is empty"):
        input_files(tmp_path / "ratings.csv")
