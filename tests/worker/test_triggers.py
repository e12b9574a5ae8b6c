from datetime import UTC, datetime, timedelta

import pytest

from app.entities import User
from app.store import Store
from app.store.jobs import CANCELLED_PAUSE, LONGEST_PAUSE, PAUSE
from app.training.recipe import rating_recipe
from app.training.run import Trainer
from app.worker.triggers import Triggers
from tests.support.interactions import record_interactions
from tests.support.ratings import incoming

NOW = datetime.now(UTC)


def triggers(store: Store, *, changes: int = 0, percent: float = 0, interval: float = 0) -> Triggers:
    return Triggers(store, after_changes=changes, after_percent=percent, interval_seconds=interval)


def rate(store: Store, n: int, *, start: int = 0, value: float = 4) -> None:
    store.ratings.record(incoming(*((f"u{k % 20}", f"i{k // 20}", value, k) for k in range(start, start + n))))


def publish(trainer: Trainer) -> None:
    store = trainer.store
    store.jobs.enqueue("request", recipe=rating_recipe("biases").document)  # of all recipes the quickest
    claim = store.jobs.claim("a-worker", lease_seconds=60)
    assert claim is not None
    trainer.run(claim)


@pytest.fixture
def published(trainer: Trainer) -> Store:
    rate(trainer.store, 100)
    publish(trainer)
    return trainer.store


def later(store: Store, seconds: float = 60) -> datetime:
    """So long after the last run, by the database's clock."""
    finished_at = store.jobs.latest(1)[0].finished_at
    assert finished_at is not None
    return finished_at + timedelta(seconds=seconds)


def test_nothing_rated(store: Store) -> None:
    assert triggers(store, changes=1, percent=1, interval=1).cause(NOW) is None


def test_first_ratings(store: Store) -> None:
    rate(store, 10)
    assert triggers(store, percent=5).cause(NOW) == "changes"
    assert triggers(store, changes=10).cause(NOW) == "changes"
    assert triggers(store, changes=11).cause(NOW) is None
    assert triggers(store, interval=86_400).cause(NOW) == "interval"
    assert triggers(store).cause(NOW) is None


def test_number_of_changes(published: Store) -> None:
    due = triggers(published, changes=5)
    rate(published, 4, start=100)
    assert due.cause(later(published)) is None
    rate(published, 1, start=104)
    assert due.cause(later(published)) == "changes"


def test_share_of_changes(published: Store) -> None:
    due = triggers(published, percent=5)
    rate(published, 4, start=100)
    assert due.cause(later(published)) is None
    rate(published, 1, start=104)
    assert due.cause(later(published)) == "changes"


def test_edits_and_deletions_count(published: Store) -> None:
    due = triggers(published, changes=5)
    rate(published, 3, value=2)
    for k in (10, 11):
        published.ratings.remove(f"u{k}", "i0", at=10**15)
    assert due.cause(later(published)) == "changes"


def test_replays_do_not_count(published: Store) -> None:
    rate(published, 100)
    assert triggers(published, changes=1).cause(later(published)) is None


def test_interval_needs_a_change(published: Store) -> None:
    due = triggers(published, interval=600)
    assert due.cause(later(published, 700)) is None
    rate(published, 1, start=100)
    assert due.cause(later(published, 500)) is None
    assert due.cause(later(published, 700)) == "interval"


def test_pause_between_runs(published: Store) -> None:
    rate(published, 50, start=100)
    due = triggers(published, changes=1)
    assert due.cause(later(published, PAUSE.total_seconds() - 1)) is None
    assert due.cause(later(published, PAUSE.total_seconds() + 1)) == "changes"


def test_ends_ahead_of_the_clock(published: Store) -> None:
    """The clock was a year ahead when the snapshot was published: that must not stop training for a year."""
    rate(published, 50, start=100)
    a_year = -365 * 86_400
    assert triggers(published, changes=1).cause(later(published, a_year)) == "changes"
    assert triggers(published, interval=600).cause(later(published, a_year)) == "interval"


def test_fruitless_runs_back_off(published: Store) -> None:
    rate(published, 50, start=100)
    due = triggers(published, changes=1)
    for n_fruitless in range(1, 15):
        published.jobs.enqueue("changes")
        claim = published.jobs.claim("a-worker", lease_seconds=60)
        assert claim is not None
        published.jobs.finish(claim, state="rejected", reason="worse")
        pause = min(PAUSE * 2**n_fruitless, LONGEST_PAUSE).total_seconds()
        assert due.cause(later(published, pause - 1)) is None
        assert due.cause(later(published, pause + 1)) == "changes"


def test_cancelled_run_waits(trainer: Trainer) -> None:
    """What requested a run must not request it again at once; a success ends the pause."""
    store, pause = trainer.store, CANCELLED_PAUSE.total_seconds()
    rate(store, 100)
    due = triggers(store, changes=1)
    job = due.fire()
    assert job is not None
    store.jobs.cancel(job.job_id)
    assert due.cause(later(store, pause - 1)) is None
    assert due.cause(later(store, pause + 1)) == "changes"
    publish(trainer)
    rate(store, 50, start=100)
    assert due.cause(later(store, PAUSE.total_seconds() + 1)) == "changes"


def test_cancelled_is_not_fruitless(published: Store) -> None:
    """It neither lengthens the pause after runs that published nothing nor ends it."""
    rate(published, 50, start=100)
    due = triggers(published, changes=1)
    for n_fruitless in range(1, 10):
        published.jobs.enqueue("changes")
        claim = published.jobs.claim("a-worker", lease_seconds=60)
        assert claim is not None
        published.jobs.finish(claim, state="rejected", reason="worse")
        published.jobs.cancel(published.jobs.enqueue("request").job_id)
        # The two jobs ended one after the other.
        pause = max(PAUSE * 2**n_fruitless, CANCELLED_PAUSE).total_seconds()
        assert due.cause(later(published, pause - 60)) is None
        assert due.cause(later(published, pause + 60)) == "changes"


def test_runs_beside_a_cancelled_one(published: Store) -> None:
    """A job behind the running one is cancelled: that one runs nevertheless."""
    rate(published, 50, start=100)
    published.jobs.enqueue("request", seed=1)
    assert published.jobs.claim("a-worker", lease_seconds=60) is not None
    published.jobs.cancel(published.jobs.enqueue("request", seed=2).job_id)
    assert triggers(published, changes=1).cause(later_than_all(published)) is None


def test_one_job_at_a_time(published: Store) -> None:
    rate(published, 50, start=100)
    due = triggers(published, changes=1)
    published.jobs.enqueue("request")
    assert due.cause(later_than_all(published)) is None
    assert published.jobs.claim("a-worker", lease_seconds=60) is not None
    assert due.cause(later_than_all(published)) is None


def later_than_all(store: Store) -> datetime:
    return store.jobs.latest(1)[0].created_at + timedelta(days=7)


def test_pinned_snapshot_does_not_train_forever(trainer: Trainer) -> None:
    """Runs that publish beside a pinned snapshot have seen the changes all the same."""
    store = trainer.store
    rate(store, 100)
    publish(trainer)
    store.snapshots.activate(store.snapshots.entries()[0].version)
    rate(store, 50, start=100)
    publish(trainer)
    assert triggers(store, changes=1).cause(later(store)) is None


def test_fire_enqueues_once(store: Store) -> None:
    rate(store, 10)
    due = triggers(store, changes=1)
    job = due.fire()
    assert job is not None
    assert (job.state, job.trigger) == ("queued", "changes")
    assert due.fire() is None


def say(store: Store, n: int, user: str = "u0", *, start: int = 0) -> None:
    record_interactions(store, [(user, f"e{k}", "clicked") for k in range(start, start + n)])


def test_events_count(published: Store) -> None:
    say(published, 4)
    assert triggers(published, changes=5).cause(later(published)) is None
    assert triggers(published, interval=1).cause(later(published)) == "interval"
    rate(published, 1, start=100)
    assert triggers(published, changes=5).cause(later(published)) == "changes"


def test_share_of_events(published: Store) -> None:
    due = triggers(published, percent=5)
    rate(published, 4, start=100)
    say(published, 4)
    assert due.cause(later(published)) is None
    say(published, 1, start=4)
    assert due.cause(later(published)) == "changes"


def test_events_do_not_hide_ratings(trainer: Trainer) -> None:
    store = trainer.store
    rate(store, 100)
    say(store, 200, "u3")
    publish(trainer)
    due = triggers(store, percent=5)
    say(store, 9, "u4")
    assert due.cause(later(store)) is None
    rate(store, 5, start=100)
    assert due.cause(later(store)) == "changes"


def test_first_rating_among_events(trainer: Trainer) -> None:
    store = trainer.store
    for user in range(10):
        say(store, 20, f"u{user}")
    publish(trainer)
    assert store.snapshots.entries()[0].card["is_led_by_events"]
    due = triggers(store, percent=5)
    rate(store, 9)
    assert due.cause(later(store)) is None
    rate(store, 1, start=9)
    assert due.cause(later(store)) == "changes"


def test_attributes_alone_are_nothing_to_learn(store: Store) -> None:
    store.users.record([User("ann", country="FI")])
    assert store.training_reads.change_counts().profiles > 0
    assert triggers(store, changes=1, percent=1, interval=1).cause(NOW) is None


def test_first_events(store: Store) -> None:
    say(store, 10)
    assert triggers(store, percent=5).cause(NOW) == "changes"
