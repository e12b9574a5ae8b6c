"""Files that an operator has uploaded and not imported yet. They hold users' data, so they are kept for a day at most.

Each upload is a folder of its own below `uploads` in the data folder, with the one file in it.
"""

import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.errors import InvalidInputError, NotFoundError
from app.intake.files.table_writers import writing_in

FOLDER = "uploads"
MAX_UPLOAD_BYTES = 4 << 30
KEPT_SECONDS = 86_400.0
MAX_NAME = 100
IDS = re.compile(r"[0-9a-f]{16}")
PART = ".part"
"""The name of a file that is not whole yet. No upload has it: `safe_name` begins with no dot."""

COPIED_BYTES = 1 << 20
ROOM = 2
"""An import needs about as much room for what it stores as for its file."""


@dataclass(frozen=True, slots=True)
class Upload:
    """`uploaded_at`: seconds since 1970."""

    upload_id: str
    path: Path
    n_bytes: int
    uploaded_at: float


class Uploads:
    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / FOLDER

    def keep(self, name: str, n_bytes: int, source: BinaryIO) -> str:
        """Store what `source` holds, and return the id of the upload. Raises as `begin`.

        The upload is there once it is whole.
        """
        path = self.begin(name, n_bytes)
        part = path.with_name(PART)
        try:
            with writing_in(self._folder):
                with part.open("xb") as target:
                    shutil.copyfileobj(source, target, COPIED_BYTES)
                part.rename(path)
        except BaseException:
            self.remove(path.parent.name)
            raise
        return path.parent.name

    def begin(self, name: str, n_bytes: int) -> Path:
        """Return the path at which the caller is to write the file, and remove uploads that are too old.

        Raises `InvalidInputError` for a file that is too large, or for which there is no room.
        """
        self.check_room(n_bytes)
        with writing_in(self._folder):
            own = self._folder / secrets.token_hex(8)
            own.mkdir(mode=0o700)
        return own / safe_name(name)

    def check_room(self, n_bytes: int) -> None:
        """Remove uploads that are too old. Raises as `begin`; also where the file cannot be received at all."""
        if n_bytes > MAX_UPLOAD_BYTES:
            raise InvalidInputError(
                f"a file has at most {MAX_UPLOAD_BYTES >> 30} GiB here; `reckon import` takes larger ones", field="file"
            )
        with writing_in(self._folder):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.purge(time.time() - KEPT_SECONDS)
            # The framework receives it in the folder for temporary files.
            free = min(shutil.disk_usage(self._folder).free // ROOM, shutil.disk_usage(tempfile.gettempdir()).free)
        if free < n_bytes:
            message = f"there is no room for a file of {n_bytes >> 20:,} MiB: {free >> 20:,} MiB can be used"
            raise InvalidInputError(message, field="file")

    def waiting(self) -> list[Upload]:
        """All uploads, the newest first."""
        found = []
        for folder in self._folders():
            with suppress(NotFoundError):
                found.append(self.get(folder.name))
        return sorted(found, key=lambda upload: -upload.uploaded_at)

    def get(self, upload_id: str) -> Upload:
        """Raises `NotFoundError` for an upload that does not exist, or no longer."""
        folder = self._folder / upload_id
        # The id comes from an address.
        if IDS.fullmatch(upload_id):
            with suppress(OSError):
                for path in (each for each in folder.iterdir() if each.name != PART):
                    status = path.stat()
                    return Upload(upload_id, path, status.st_size, status.st_mtime)
        raise NotFoundError("upload", upload_id)

    def remove(self, upload_id: str) -> None:
        """Remove the upload, if it is there."""
        if IDS.fullmatch(upload_id):
            shutil.rmtree(self._folder / upload_id, ignore_errors=True)

    def purge(self, before: float) -> int:
        """Remove what was uploaded before this time, in seconds since 1970, and return how many."""
        n = 0
        for folder in self._folders():
            with suppress(OSError):
                if folder.stat().st_mtime < before:
                    shutil.rmtree(folder, ignore_errors=True)
                    n += 1
        return n

    def _folders(self) -> Iterator[Path]:
        with suppress(FileNotFoundError):
            yield from (each for each in self._folder.iterdir() if IDS.fullmatch(each.name))


def safe_name(name: str) -> str:
    """The last part of the name of a file, without what could mean anything to a file system or a command."""
    last = re.split(r"[/\\]", name)[-1]
    kept = re.sub(r"[^\w.-]+", "_", last, flags=re.ASCII).lstrip(".-_")
    stem, dot, ending = kept.rpartition(".")
    return f"{stem[:MAX_NAME]}{dot}{ending[:16]}" if stem else kept[:MAX_NAME] or "file"
