"""The cores that kernels run on."""

import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor


def available_cores() -> int:
    """Cores this process may use, at least 1: a container's share, not the whole machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_pool(n_threads: int) -> ThreadPoolExecutor:
    """Threads for kernels that release the interpreter lock, each bound to a core of its own where there are enough.

    Kernels run for milliseconds between two meetings: too short for the system to move a thread away from the core
    that woke it. Without the binding, two threads were seen to share one core, and no faster than one, for whole fits.
    """
    if not hasattr(os, "sched_setaffinity") or n_threads > available_cores():
        return ThreadPoolExecutor(n_threads)
    cores = itertools.cycle(sorted(os.sched_getaffinity(0)))
    return ThreadPoolExecutor(n_threads, initializer=lambda: _bind(next(cores)))


def _bind(core: int) -> None:
    os.sched_setaffinity(threading.get_native_id(), {core})
