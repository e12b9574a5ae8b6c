import time
from pathlib import Path

import numpy as np

from app.observability.shown_items import N_KEYS, ShownItems

HOUR = 3_600_000_000
KEYS = np.arange(1, 11, dtype=np.int64)


def test_processes_share(tmp_path: Path) -> None:
    one, other = ShownItems(str(tmp_path)), ShownItems(str(tmp_path))
    now = time.time_ns() // 1_000
    one.note(np.array([1, 2]), now)
    third = ShownItems(str(tmp_path))  # of a process that is started later
    other.note(np.array([2, 3]), now)
    assert [each.counted(KEYS) for each in (one, other, third)] == [3, 3, 3]


def test_forgotten_after_a_day() -> None:
    shown, now = ShownItems(None), time.time_ns() // 1_000
    shown.note(np.array([1, 2]), now - 26 * HOUR)
    shown.note(np.array([3]), now - 23 * HOUR)
    assert shown.counted(KEYS) == 1


def test_only_keys_with_a_cell() -> None:
    shown = ShownItems(None)
    keys = np.array([5, N_KEYS, 10**12])
    shown.note(keys, time.time_ns() // 1_000)
    assert shown.counted(keys) == 1
