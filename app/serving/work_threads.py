"""Where the work of an answer runs: on the event loop where it is small, else in one of a few threads.

A thread costs 100 us, half as much as an ordinary list, but a large answer on the loop holds up all other requests. The
decision is made by an estimate before the work starts (`costs.py`). numpy and FAISS release the interpreter lock; the
rest of the work shares it with the loop, a few milliseconds at a time. So the threads are few: the loop waits for one
of them at most.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

MAX_ON_LOOP_MICROSECONDS = 4_000.0
N_THREADS = 2

Given = ParamSpec("Given")
Made = TypeVar("Made")


class WorkThreads:
    """Shared by all requests of a process; work waits in the order in which it came."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(N_THREADS, thread_name_prefix="answers")

    async def run(
        self, microseconds: float, work: Callable[Given, Made], *args: Given.args, **kwargs: Given.kwargs
    ) -> Made:
        """`work(*args)`. `microseconds`: how long it is expected to take."""
        if microseconds <= MAX_ON_LOOP_MICROSECONDS:
            return work(*args, **kwargs)
        return await self.apart(work, *args, **kwargs)

    async def apart(self, work: Callable[Given, Made], *args: Given.args, **kwargs: Given.kwargs) -> Made:
        """`work(*args)`, in a thread."""
        context = copy_context()
        return await asyncio.get_running_loop().run_in_executor(
            self._pool,
            # The context tells the log which request this is.
            lambda: context.run(work, *args, **kwargs),
        )

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
