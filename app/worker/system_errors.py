"""What an error of the system says to an operator: at which file it happened, and what to do about it."""

from errno import EACCES, EDQUOT, EEXIST, EFBIG, EIO, EMFILE, ENFILE, ENOENT, ENOSPC, ENOTDIR, EPERM, EROFS
from pathlib import Path

from app.errors import StorageFullError
from app.snapshots.errors import ObjectStorageError

DATA_FOLDER = "RECKON_DATA_DIR"
FREE_SPACE = (
    f"Free disk space below {DATA_FOLDER}, raise the quota or limit of its user, or keep fewer snapshots "
    "(`RECKON_SNAPSHOTS_KEPT`); then train again."
)
LET_WRITE = f"Let the user of this process write below {DATA_FOLDER}, and mount it writable; then train again."
OPEN_MORE = "Raise the number of files that the process may open (`ulimit -n`); then train again."
CHECK_DISK = "Check the disk and its mount (`dmesg`); then train again."
MAKE_FOLDER = (
    f"The folder `snapshots` in {DATA_FOLDER} must be a folder, and stay there while a run writes; then train again."
)

_ADVICE = {
    **dict.fromkeys((ENOSPC, EDQUOT, EFBIG), FREE_SPACE),
    **dict.fromkeys((EACCES, EPERM, EROFS), LET_WRITE),
    **dict.fromkeys((EMFILE, ENFILE), OPEN_MORE),
    **dict.fromkeys((EEXIST, ENOENT, ENOTDIR), MAKE_FOLDER),
    EIO: CHECK_DISK,
}


def reason_of(error: OSError, data_dir: Path) -> str:
    """The file and what is wrong: "RECKON_DATA_DIR/snapshots: Permission denied".

    Jobs are read over the API, so the place of the data folder on the machine is left out.
    """
    what = error.strerror or str(error) or type(error).__name__
    if not isinstance(error.filename, str | bytes):
        return f"{what}; the log holds the traceback"
    path = Path(error.filename if isinstance(error.filename, str) else error.filename.decode(errors="replace"))
    if path.absolute().is_relative_to(data_dir.absolute()):
        path = Path(DATA_FOLDER, path.absolute().relative_to(data_dir.absolute()))
    return f"{path}: {what}"


def advice_on(error: Exception) -> str | None:
    """What to do about an error of the system or of object storage, or a full disk; None for other errors."""
    if isinstance(error, ObjectStorageError):
        return error.advice
    if isinstance(error, StorageFullError):
        return FREE_SPACE
    return _ADVICE.get(error.errno or 0, CHECK_DISK) if isinstance(error, OSError) else None
