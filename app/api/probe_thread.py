"""A thread in which the database is read for an operator, so that it waits for no request, and none waits for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

Read = TypeVar("Read")


class ProbeThread:
    """One thread, so that calls that never end are not many. The others wait for it, within their time limits."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def within(self, seconds: float, read: Callable[[], Read]) -> Read:
        """Return what `read` returns. Raises `TimeoutError` after `seconds`; the thread goes on until `read` ends."""
        context = copy_context()
        async with asyncio.timeout(seconds):
            # The context tells the log which request this is.
            return await asyncio.get_running_loop().run_in_executor(self._pool, context.run, read)

    def close(self) -> None:
        """Do not wait for a call that may never end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
