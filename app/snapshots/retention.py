"""Removes the snapshot folders that will not be opened again."""

import os
import re
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from app.snapshots.write import STAGING_PREFIX, folder_name

ORPHAN_SECONDS = 3600.0
"""Younger folders may belong to a run that is about to register them. Writing and opening take minutes at most."""

_OURS = re.compile(rf"{re.escape(STAGING_PREFIX)}.+|\d{{6,}}(\.removed)?")


def remove_snapshot(root: Path, version: int) -> None:
    """Remove a snapshot's folder. It is renamed first, so that no reader sees half of it."""
    folder = root / folder_name(version)
    # Removing a tree is no atomic step, but a rename is: a reader finds a whole folder or none.
    removed = folder.with_suffix(".removed")
    try:
        os.rename(folder, removed)  # noqa: PTH104  kept beside the calls of `os` in write.py
    except FileNotFoundError:
        return
    # What cannot be removed now keeps its new name and is an orphan an hour later.
    shutil.rmtree(removed, ignore_errors=True)


def remove_orphans(root: Path, registered: Collection[int]) -> list[str]:
    """Remove staging folders and unregistered snapshots older than an hour, and return their names.

    Folders whose names are not of this format stay. `registered`: the versions in the database, whose folders stay
    whatever their age.
    """
    kept = {folder_name(version) for version in registered}
    now = time.time()
    removed = []
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        # Links and foreign names are left alone: they were put there on purpose.
        is_orphan = _OURS.fullmatch(folder.name) and folder.name not in kept and not folder.is_symlink()
        if not is_orphan or not folder.is_dir():
            continue
        changed_at = folder.stat().st_mtime
        if changed_at > now:
            # The clock was set back: from now on the folder ages by the clock as it is.
            os.utime(folder, (now, now))
        elif now - changed_at > ORPHAN_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder.name)
    return removed
