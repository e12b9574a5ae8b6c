"""Removes the snapshot folders that will not be opened again."""

import os
import re
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from app.snapshots.write import DOWNLOAD_PREFIX, STAGING_PREFIX, folder_name

ORPHAN_SECONDS = 3600.0
"""Younger folders may belong to a run that is about to register them. Writing and opening take minutes at most."""

_OURS = re.compile(rf"({re.escape(STAGING_PREFIX)}|{re.escape(DOWNLOAD_PREFIX)}).+|\d{{6,}}(\.removed)?")


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


def unregistered_folders(root: Path, registered: Collection[int]) -> list[Path]:
    """Staging folders and snapshots that are not registered, by name; folders with other names are not ours.

    `registered`: the versions in the database.
    """
    kept = {folder_name(version) for version in registered}
    # Links and foreign names are left alone: they were put there on purpose.
    return [
        folder
        for folder in sorted(root.iterdir() if root.is_dir() else ())
        if _OURS.fullmatch(folder.name) and folder.name not in kept and not folder.is_symlink() and folder.is_dir()
    ]


def remove_orphans(root: Path, registered: Collection[int]) -> list[str]:
    """Remove the unregistered folders older than an hour, and return their names.

    `registered`: the versions in the database, whose folders stay whatever their age.
    """
    now = time.time()
    removed = []
    for folder in unregistered_folders(root, registered):
        changed_at = folder.stat().st_mtime
        if changed_at > now:
            # The clock was set back: from now on the folder ages by the clock as it is.
            os.utime(folder, (now, now))
        elif now - changed_at > ORPHAN_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder.name)
    return removed


def remove_downloads(root: Path) -> None:
    """Remove what downloads left that were killed. Only while no other one can run."""
    for folder in root.glob(f"{DOWNLOAD_PREFIX}*"):
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)
