"""A small disk of its own, for tests and faults that fill it."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_volume(folder: Path, mebibytes: int) -> Iterator[Path | None]:
    """Mount a file system in memory at the folder; None where this process may not mount."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    command = [mount or "", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)]
    is_mounted = bool(mount and umount) and subprocess.run(command, check=False, capture_output=True).returncode == 0
    try:
        yield folder if is_mounted else None
    finally:
        if is_mounted and umount:
            subprocess.run([umount, "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all that is left."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        for n_bytes in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * n_bytes)
            except OSError:  # full
                continue
    return filler
