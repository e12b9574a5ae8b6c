"""A warning where the gate rejects one run after the other: what is live grows old, and must not do so in silence."""

from dataclasses import dataclass

from app.store.store import Store

MANY = 2
"""One rejection may be chance, or a recipe that was only tried."""


@dataclass(frozen=True)
class RejectionWarning:
    """`reason`: how many runs were rejected since the last success, why the newest was, and what is live.

    `advice`: what to do about it.
    """

    reason: str
    advice: str

    @property
    def lines(self) -> list[str]:
        """For a terminal."""
        return [f"warning: {self.reason}", f"what to do: {self.advice}"]


def rejection_warning(store: Store) -> RejectionWarning | None:
    """None unless the newest runs were rejected, two or more since the last success."""
    rejections = store.jobs.rejections()
    if rejections is None or rejections.n < MANY:
        return None
    live, newest = store.snapshots.live(), rejections.newest
    stays = "nothing is live" if live is None else f"snapshot {live.version} of {live.created_at:%Y-%m-%d} stays live"
    reason = f"the last {rejections.n} training runs were rejected, and {stays}: {newest.reason}"
    # Jobs that an earlier release rejected have no advice.
    return RejectionWarning(reason, newest.advice or "Train again: `reckon train` says what to do.")
