"""Requests take precedence over training on the same machine.

On Linux, niceness belongs to a thread. The threads of BLAS start when numpy is imported, so to lower the calling thread
and what it starts would leave them at the priority of the requests. Elsewhere niceness is that of the process.

Rejected alternative: the scheduling class SCHED_IDLE. Where requests keep all cores busy, a thread of that class gets
0.3 % of one, too little even to renew its lease; the lowest niceness leaves it 1.5 %.
"""

import os
from contextlib import suppress
from pathlib import Path

NICENESS = 19
TASKS = Path("/proc/self/task")


def yield_to_requests() -> None:
    """Lowers all threads of this process; those that are started later inherit it."""
    os.nice(NICENESS)
    if TASKS.exists():
        for task in TASKS.iterdir():
            # A thread may have ended since, and a container may forbid the call.
            with suppress(ProcessLookupError, PermissionError):
                os.setpriority(os.PRIO_PROCESS, int(task.name), NICENESS)
