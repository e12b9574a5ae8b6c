"""Measures how late the event loop is: how long a request that arrives now waits for those before it."""

import asyncio
from collections.abc import Callable

INTERVAL_SECONDS = 0.05
"""So often the loop is looked at; whatever holds it for longer is always seen."""


async def observe_loop_lag(observe: Callable[[float], None]) -> None:
    """Calls `observe` with the delay of each look, in seconds, until the task is cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + INTERVAL_SECONDS
        await asyncio.sleep(INTERVAL_SECONDS)
        observe(max(loop.time() - due, 0.0))
