import subprocess
import sys

import pytest

from app.worker.priority import TASKS

THREADS = """
import os, threading
import numpy
from app.worker.priority import yield_to_requests
before, ending = threading.Thread(target=lambda: ending.wait()), threading.Event()
before.start()
yield_to_requests()
after = threading.Thread(target=lambda: ending.wait())
after.start()
tasks = [int(task) for task in os.listdir("/proc/self/task")]
print(*{os.getpriority(os.PRIO_PROCESS, task) for task in tasks}, len(tasks) >= 3)
ending.set()
"""


@pytest.mark.skipif(not TASKS.exists(), reason="niceness is that of the process here")
def test_every_thread_yields() -> None:
    """In a process of its own, since a process cannot raise its priority again."""
    run = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True)
    assert run.stdout == "19 True\n"
