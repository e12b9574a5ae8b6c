"""Files that cannot be written, said in words that a person can act on."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import ConflictError, StorageFullError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def writing_in(folder: Path) -> Iterator[None]:
    """Raises `StorageFullError` where there is no room in `folder`, `ConflictError` where it cannot be written to."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFullError(f"there is no room left in {folder}") from error
        raise ConflictError(f"{folder} cannot be written to: {error.strerror or error}") from error
