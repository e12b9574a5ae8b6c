"""Files that wait to be imported."""

import io
from pathlib import Path

import pytest

from app.errors import NotFoundError, StorageFullError
from app.intake.uploads import PART, Uploads, safe_name


def test_kept_whole(tmp_path: Path) -> None:
    """An upload is there once all of it is; an id of another one leads nowhere."""
    uploads = Uploads(tmp_path)

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert uploads.waiting() == []
            return super().read(size)

    upload_id = uploads.keep("ratings.csv", 3, Watched(b"abc"))
    (found,) = uploads.waiting()
    assert (found.upload_id, found.path.name, found.n_bytes) == (upload_id, "ratings.csv", 3)
    with pytest.raises(NotFoundError):
        uploads.get("../" + upload_id)


def test_failed_copy(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            raise OSError(28, "No space left on device")

    uploads = Uploads(tmp_path)
    with pytest.raises(StorageFullError):
        uploads.keep("ratings.csv", 3, Full())
    assert list((tmp_path / "uploads").iterdir()) == []


@pytest.mark.parametrize("name", [PART, "", "..", "../.part", "a/b\\.csv", "é.csv", "x" * 500])
def test_safe_name(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert not safe.startswith(".")
    assert len(safe) <= 120
