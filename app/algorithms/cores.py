"""How many threads are worth starting. What is learned never depends on it."""

import os


def available_cores() -> int:
    """The cores this process may run on: fewer than the machine has inside a container or under taskset."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1
