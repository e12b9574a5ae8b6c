from itertools import pairwise
from pathlib import Path

import pytest

from app.errors import InvalidInputError
from app.intake.files import chunks
from app.intake.files.chunks import first_line, read_chunks, unify_line_breaks
from app.intake.files.listing import InputFile, input_files

TEXT = "user;title\nu1;Caf\u00e9 \u20ac\nu2;\U0001f600\n"


def opened(path: Path, content: bytes, encoding: str | None = None) -> InputFile:
    path = path / "table.csv"
    path.write_bytes(content)
    (file,) = input_files(path, encoding)
    return file


@pytest.mark.parametrize("encoding", [None, "utf-8", "utf-8-sig"])
@pytest.mark.parametrize(
    "written", ["utf-8", "utf-8-sig", "utf-16", "utf-32", pytest.param("utf-16-be", id="utf-16-be with mark")]
)
def test_byte_order_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, encoding: str | None) -> None:
    if encoding and "utf-8" not in written:
        pytest.skip("another encoding is stated")
    # Odd pieces cut characters.
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 7)
    text = f"\ufeff{TEXT}" if written == "utf-16-be" else TEXT
    assert b"".join(read_chunks(opened(tmp_path, text.encode(written), encoding))).decode() == TEXT


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32-be", "cp1252", "latin-1", "shift_jis", "gb18030"])
def test_stated_encodings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 7)
    text = TEXT.encode(encoding, "ignore").decode(encoding)
    assert b"".join(read_chunks(opened(tmp_path, text.encode(encoding), encoding))).decode() == text


def test_stated_encoding_with_mark(tmp_path: Path) -> None:
    file = opened(tmp_path, f"\ufeff{TEXT}".encode("utf-16-le"), "utf-16-le")
    assert b"".join(read_chunks(file)).decode() == TEXT


def test_bytes_not_in_encoding(tmp_path: Path) -> None:
    """They are kept, so that their rows alone are rejected."""
    assert list(read_chunks(opened(tmp_path, b"a\xe9\x81\n", "cp1252"))) == [b"a\xc3\xa9\x81\n"]
    assert list(read_chunks(opened(tmp_path, b"a\xe9\x81\n"))) == [b"a\xe9\x81\n"]


def test_not_in_encoding(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"table\.csv is not utf-16: .*truncated data"):
        list(read_chunks(opened(tmp_path, b"\xff\xfea\0\n", "utf-16")))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [TEXT, "\u540d\u524d,\u70b9\n\u592a\u90ce,3\n"])
def test_utf16_without_mark(tmp_path: Path, encoding: str, text: str) -> None:
    with pytest.raises(InvalidInputError, match=f"without a byte order mark: add --encoding {encoding}"):
        first_line(opened(tmp_path, text.encode(encoding)))


@pytest.mark.parametrize("content", [b"a,b\n1,\0\n", b"\0\x01\0\x02", b"\x7fELF\x02\x01\x01" + bytes(9)])
def test_zeros_of_other_files(tmp_path: Path, content: bytes) -> None:
    assert list(read_chunks(opened(tmp_path, content)))


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(
    "content", [b"a\r\nb\r\n", b"a\rb\r", b"a\nb\n", b"a\nb", b"a\rb", b"a\r\nb\r", b"\r\n\r\na", b"a\r\rb\r\n", b"\r"]
)
def test_line_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, size: int) -> None:
    monkeypatch.setattr(chunks, "CHUNK_BYTES", size)
    found = list(read_chunks(opened(tmp_path, content)))
    assert b"".join(found) == content + (b"" if content[-1:] in b"\r\n" else b"\n")
    assert all(chunk[-1:] in b"\r\n" for chunk in found)
    assert not any(chunk.startswith(b"\n") and before.endswith(b"\r") for before, chunk in pairwise(found))
    assert b"".join(map(unify_line_breaks, found)) == unify_line_breaks(b"".join(found))


@pytest.mark.parametrize(("content", "line"), [(b"\n \t\r\n\r\ta,b\n1,2\n", "\ta,b"), (b"a", "a"), (b"\n\n", "")])
def test_first_line(tmp_path: Path, content: bytes, line: str) -> None:
    assert first_line(opened(tmp_path, content)) == line


@pytest.mark.parametrize("line_break", [b"\n", b"\r\n", b"\r"])
def test_huge_line(tmp_path: Path, line_break: bytes) -> None:
    rows = (b"1,2" + line_break) * 200_000
    with pytest.raises(InvalidInputError, match=r"line 200,001 of table\.csv has more than 4 MiB"):
        list(read_chunks(opened(tmp_path, rows + b"x" * (5 << 20))))


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    (file,) = input_files(tmp_path)
    with pytest.raises(InvalidInputError, match="is empty"):
        list(read_chunks(file))
