"""When training is due without anybody asking: enough ratings or events came, or the newest snapshot is old.

Ratings and events are counted apart, since there may be a thousand events to a rating: a share is that of the ratings
that changed, or that of the events that came, whichever is greater. So events never hide that many ratings changed; and
a few events beside many ratings, or a first rating beside many events, are the small share that they are.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.store.jobs import Job
from app.store.store import Store

PAUSE = timedelta(seconds=30)
"""Between the end of a run and the next one that nobody asked for; doubled with every run that published nothing."""

LONGEST_PAUSE = timedelta(days=1)
LATEST_JOBS = 20


@dataclass(frozen=True)
class Triggers:
    """Each is off at 0. `after_changes`: ratings changed since the newest snapshot, edits and deletions included, and
    events and changed profiles of users; `after_percent`: the ratings as a share of those it was made from, or the
    others as a share of its events; `interval_seconds`: its age, if anything changed.
    """

    store: Store
    after_changes: int
    after_percent: float
    interval_seconds: float

    def fire(self) -> Job | None:
        """Enqueue a job if one is due; the job."""
        cause = self.cause(datetime.now(UTC))
        return None if cause is None else self.store.jobs.enqueue(cause)

    def cause(self, now: datetime) -> str | None:
        """Why training is due at `now`: `changes` or `interval`; None while it is not, or a job is on its way."""
        if _is_busy_or_resting(self.store.jobs.latest(LATEST_JOBS), now):
            return None
        newest = next(iter(self.store.snapshots.entries()), None)
        watermark = {} if newest is None else newest.card["watermark"]
        counts = self.store.training_reads.change_counts()
        n_rated = counts.ratings - watermark.get("change_count", 0)
        n_profiles = max(counts.profiles - watermark.get("profile_change_count", 0), 0)
        n_changes = n_rated + n_profiles
        if n_changes <= 0 or not self.store.training_reads.is_anything_said():
            return None
        n_ratings, n_events = watermark.get("n_ratings", 0), watermark.get("n_events", 0)
        is_led_by_events = newest is not None and newest.card.get("is_led_by_events", False)
        of_ratings = n_rated / max(n_ratings, n_events if is_led_by_events else 1, 1)
        share = 100 * max(of_ratings, n_profiles / max(n_ratings, n_events, 1))
        if 0 < self.after_changes <= n_changes or 0 < self.after_percent <= share:
            return "changes"
        is_old = newest is None or now - newest.created_at >= timedelta(seconds=self.interval_seconds)
        return "interval" if self.interval_seconds > 0 and is_old else None


def _is_busy_or_resting(latest: list[Job], now: datetime) -> bool:
    """`latest`: newest first. A run that published nothing would most likely do so again: each doubles the pause."""
    if not latest:
        return False
    ended_at = latest[0].finished_at
    if ended_at is None:
        return True
    n_fruitless = next((n for n, job in enumerate(latest) if job.state == "succeeded"), len(latest))
    return now < ended_at + min(PAUSE * (1 << n_fruitless), LONGEST_PAUSE)
