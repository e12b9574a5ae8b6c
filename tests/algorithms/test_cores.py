import os
import threading

import pytest

from app.algorithms.cores import available_cores, thread_pool


def test_at_least_one_core() -> None:
    assert available_cores() >= 1


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not bind threads")
def test_own_core_each() -> None:
    n_threads = available_cores()
    together = threading.Barrier(n_threads)

    def cores(_number: int) -> frozenset[int]:
        together.wait(timeout=10)  # so that no thread does the work of another
        return frozenset(os.sched_getaffinity(threading.get_native_id()))

    with thread_pool(n_threads) as pool:
        bound = [*pool.map(cores, range(n_threads))]
    assert len(set(bound)) == n_threads
    assert available_cores() == n_threads  # the caller stays free


def test_more_threads_than_cores() -> None:
    with thread_pool(available_cores() + 3) as pool:
        assert [*pool.map(abs, range(5))] == [0, 1, 2, 3, 4]
