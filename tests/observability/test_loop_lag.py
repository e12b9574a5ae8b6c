import asyncio
import time
from contextlib import suppress

from app.observability.loop_lag import INTERVAL_SECONDS, observe_loop_lag


def test_held_loop_is_seen() -> None:
    observed: list[float] = []

    async def hold() -> None:
        watching = asyncio.create_task(observe_loop_lag(observed.append))
        await asyncio.sleep(0)
        time.sleep(3 * INTERVAL_SECONDS)  # noqa: ASYNC251  this is the fault
        await asyncio.sleep(INTERVAL_SECONDS / 10)
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching

    asyncio.run(hold())
    assert observed[0] >= 1.9 * INTERVAL_SECONDS
