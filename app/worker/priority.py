"""Requests take precedence over training on the same machine.

The scheduling class SCHED_IDLE of Linux: a thread that serves a request takes the core at once, and a core that only
trains counts as free for it. It is set for each thread by itself, as niceness is on Linux. Those of BLAS start when
numpy is imported, so to lower the calling thread, and what it starts, left them at the priority of the requests.
Elsewhere niceness is that of the process.
"""

import os
from contextlib import suppress
from pathlib import Path

NICENESS = 19
TASKS = Path("/proc/self/task")


def yield_to_requests() -> None:
    """Lowers all threads of this process; those that are started later inherit it."""
    os.nice(NICENESS)
    if not hasattr(os, "SCHED_IDLE") or not TASKS.exists():
        return
    for task in TASKS.iterdir():
        # A thread may have ended since, and a container may forbid the call: niceness is what is left then.
        with suppress(ProcessLookupError, PermissionError):
            os.setpriority(os.PRIO_PROCESS, int(task.name), NICENESS)
            os.sched_setscheduler(int(task.name), os.SCHED_IDLE, os.sched_param(0))
