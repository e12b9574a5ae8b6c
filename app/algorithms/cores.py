"""The cores that kernels run on. What is learned never depends on how many there are."""

import itertools
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


def available_cores() -> int:
    """Cores this process may use, at least 1: fewer than the machine has inside a container or under taskset."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def thread_pool(n_threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for kernels that release the interpreter lock; meanwhile BLAS has one of its own.

    Where there is a thread for every core, each is bound to one: kernels run for milliseconds between two meetings, too
    short for the system to move a thread away from the core that woke it, and two threads were seen to share a core for
    whole fits. The threads of BLAS wait by spinning, which takes the cores from these, or from another process.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    bind = itertools.cycle(cores) if n_threads == len(cores) else None
    initializer = None if bind is None else lambda: _bind(next(bind))
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(n_threads, initializer=initializer) as pool:
        yield pool


def _bind(core: int) -> None:
    os.sched_setaffinity(threading.get_native_id(), {core})
