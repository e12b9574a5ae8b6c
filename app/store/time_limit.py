"""A time limit for a call that cannot be interrupted."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as LateError
from typing import TypeVar

Result = TypeVar("Result")


def within(seconds: float, call: Callable[[], Result], discard: Callable[[Result], object]) -> Result:
    """The result of `call`, which runs in a thread of its own; `discard` gets a result that comes too late.

    Raises `TimeoutError` after `seconds`. The thread goes on until `call` ends.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001  raised in the thread that waits
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
        else:
            if future.set_running_or_notify_cancel():
                future.set_result(result)
            else:
                discard(result)

    threading.Thread(target=run, name="time-limit", daemon=True).start()
    try:
        return future.result(seconds)
    except LateError:
        if future.cancel():
            raise
        return future.result()  # it came at this moment
