"""A warning where erasures are not completed in time, which is a promise to users and often a legal duty."""

from dataclasses import dataclass

from app.store.store import Store

ADVICE = (
    "Run a worker; if its runs are rejected, `reckon train --accept` publishes nevertheless."
    " `reckon erasures list` shows what is pending."
)


@dataclass(frozen=True, slots=True)
class OverdueWarning:
    """`reason`: how many erasures are overdue. `advice`: what to do about it."""

    reason: str
    advice: str = ADVICE


def overdue_warning(store: Store) -> OverdueWarning | None:
    """None unless an erasure is overdue."""
    _, n_overdue = store.erasures.count_open()
    if not n_overdue:
        return None
    return OverdueWarning(f"{n_overdue} erasures of users are overdue: snapshots or files still hold the users")
