"""Pauses before restarts, and signals."""

import signal
import time

from app.cli.supervisor import STEADY_SECONDS, Child, _stop_signals


def test_pauses_grow() -> None:
    child = Child("dying", [], {}, _started_at=time.monotonic())
    assert [child._plan_restart() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]


def test_steady_child_starts_anew() -> None:
    child = Child("steady", [], {}, _started_at=time.monotonic() - STEADY_SECONDS, _pause_seconds=16)
    assert child._plan_restart() == 1


def test_nohup_is_heeded() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _stop_signals() as received:
            signal.raise_signal(signal.SIGHUP)
            assert received == []
            signal.raise_signal(signal.SIGQUIT)
            assert received == [signal.SIGQUIT]
    finally:
        signal.signal(signal.SIGHUP, before)
