"""Processes that back up or restore a database and are killed on their way."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

# The processes are forked by one that has imported everything and has neither threads nor connections.
_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["app.store.backup", "alembic.command", "app.store.postgres"])


def run_until(step: str, act: Callable[[str, Path, Path], object], url: str, data_dir: Path, file: Path) -> None:
    """Call `act`, `backup` or `restore`, in a process that is killed when a function of `app.store` returns.

    `step`: the name of the function, with a `*` for each return before that one.
    """
    process = _FORKED.Process(target=_act, args=(step, act, url, data_dir, file))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _act(step: str, act: Callable[[str, Path, Path], object], url: str, data_dir: Path, file: Path) -> None:
    n_left = 1 + step.count("*")

    def count(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal n_left
        code = frame.f_code
        if event == "return" and code.co_name == step.rstrip("*") and "/app/store/" in code.co_filename:
            n_left -= 1
            if n_left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    act(url, data_dir, file)
