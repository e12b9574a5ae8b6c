"""CPU cores and thread pools for the kernels. Learned values never depend on the number of threads."""

import itertools
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


def available_cores() -> int:
    """The number of cores this process may use, at least 1; inside a container or under taskset fewer than exist."""
    # `os.cpu_count` counts the cores of the machine, even inside a container limited to one.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def thread_pool(n_threads: int) -> Iterator[ThreadPoolExecutor]:
    """A pool for kernels that release the GIL; BLAS is limited to one thread while the pool is open.

    With one thread per core, every thread is pinned to its own core.
    """
    # Kernels run for milliseconds between two barriers. That is too short for the scheduler to move a thread away from
    # the core that woke it, and unpinned threads were seen to share one core for whole fits.
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    next_core = itertools.cycle(cores) if n_threads == len(cores) else None
    initializer = None if next_core is None else lambda: _bind(next(next_core))
    # Idle BLAS threads wait by spinning, which takes cores from these threads and from other processes.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(n_threads, initializer=initializer) as pool:
        yield pool


def _bind(core: int) -> None:
    # On Linux a native thread id is a valid process id for the affinity call, so this pins the thread alone.
    os.sched_setaffinity(threading.get_native_id(), {core})
