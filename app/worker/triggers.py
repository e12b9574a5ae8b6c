"""Decides when training is due: enough has changed, the newest snapshot is old, or it holds users who were erased.

Ratings and events are counted separately, because a service may have a thousand events for each rating. The share of
changes is the larger of two: changed ratings among the ratings, and new events among the events. So many events never
hide a large share of changed ratings, and a few events beside many ratings stay a small share.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.store.jobs import Job, is_within
from app.store.store import Store

ERASURE_SHARE = 1 / 24
"""The share of the time for an erasure that passes before a run is queued for it, so that several share one run, and
the longest pause between runs while one is waiting."""


@dataclass(frozen=True)
class Triggers:
    """The conditions for automatic training; 0 turns a condition off.

    `after_changes`: number of changes since the newest snapshot: ratings (edits and deletions included), events, and
    changed user profiles.
    `after_percent`: changed ratings in percent of the ratings of that snapshot, or the other changes in percent of its
    events.
    `interval_seconds`: age of the newest snapshot, provided anything has changed.
    `erasure_hours`: within which nothing may be left of an erased user.
    """

    store: Store
    after_changes: int
    after_percent: float
    interval_seconds: float
    erasure_hours: float = 24.0

    def fire(self) -> Job | None:
        """Enqueues a job if training is due, and returns it."""
        cause = self.cause(self.store.jobs.now())
        return None if cause is None else self.store.jobs.enqueue(cause)

    def cause(self, now: datetime) -> str | None:
        """Why training is due at `now`, by the clock of the database: `erasure`, `changes` or `interval`.

        None if not due or a job is unfinished.
        """
        # A promise to users: runs that publish nothing make it wait less long than they do others.
        share = timedelta(hours=self.erasure_hours * ERASURE_SHARE)
        if not self.store.jobs.is_busy_or_resting(now, longest=share) and self._has_waited(now - share):
            return "erasure"
        if self.store.jobs.is_busy_or_resting(now):
            return None
        newest = next(iter(self.store.snapshots.entries()), None)
        # The watermark was read in the transaction of the ratings, so no change is counted twice or missed.
        watermark = {} if newest is None else newest.card["watermark"]
        counts = self.store.training_reads.change_counts()
        n_rated = counts.ratings - watermark.get("change_count", 0)
        n_profiles = max(counts.profiles - watermark.get("profile_change_count", 0), 0)
        n_changes = n_rated + n_profiles
        if n_changes <= 0 or not self.store.training_reads.has_ratings_or_events():
            return None
        n_ratings, n_events = watermark.get("n_ratings", 0), watermark.get("n_events", 0)
        is_led_by_events = newest is not None and newest.card.get("is_led_by_events", False)
        # Where events lead, labels take the place of ratings, so a first rating is compared with the events.
        of_ratings = n_rated / max(n_ratings, n_events if is_led_by_events else 1, 1)
        share = 100 * max(of_ratings, n_profiles / max(n_ratings, n_events, 1))
        if 0 < self.after_changes <= n_changes or 0 < self.after_percent <= share:
            return "changes"
        is_old = newest is None or not is_within(now, newest.created_at, timedelta(seconds=self.interval_seconds))
        return "interval" if self.interval_seconds > 0 and is_old else None

    def _has_waited(self, since: datetime) -> bool:
        """Whether the live snapshot holds a user who was deleted before `since`, and another one can be learned."""
        live = self.store.snapshots.live()
        if live is None or not self.store.training_reads.has_ratings_or_events():
            return False
        pending = self.store.erasures.pending()
        return any(each.number > live.n_erasures and each.requested_at <= since for each in pending)
