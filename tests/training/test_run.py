import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from app.entities import IncomingRatings, Item, RatingScale, User
from app.errors import InvalidInputError, UnavailableError
from app.observability.traces import stop_tracing, trace_by
from app.scoring import PublishedScorer, open_snapshot
from app.snapshots.folders import SnapshotFolders
from app.store import Claim, LeaseLostError, Store
from app.store.snapshots import SnapshotRegister
from app.training import run
from app.training.errors import SnapshotRejectedError, TrainingFailedError
from app.training.publisher import Publisher
from app.training.recipe import rating_recipe
from app.training.run import Trainer
from tests.support.choices import passing_fashions
from tests.support.published import live_version
from tests.support.ratings import incoming
from tests.support.snapshot_data import observed_of
from tests.support.user_states import tasteful_ratings

Train = Callable[..., int]

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what does not depend on the database: the default recipe takes a second to train."""

QUICK = rating_recipe("funk_svd").document
"""For what does not depend on what is learned: takes a tenth of a second."""


@pytest.fixture
def trainer(store: Store, tmp_path: Path) -> Trainer:
    return Trainer(store, Publisher(store, SnapshotFolders(tmp_path), n_kept=3))


def claimed(store: Store, **job: object) -> Claim:
    store.jobs.enqueue("request", **job)  # type: ignore[arg-type]  # seed and recipe, as the test says
    claim = store.jobs.claim("a-worker", lease_seconds=60)
    assert claim is not None
    return claim


def live_snapshot(trainer: Trainer) -> PublishedScorer:
    entry = trainer.store.snapshots.live()
    assert entry is not None
    folder = trainer.publisher.data_dir / entry.path
    return open_snapshot(folder, trainer.store.instance.database_id, entry.version)


def test_ratings_to_live_snapshot(trainer: Trainer) -> None:
    store = trainer.store
    store.ratings.record(tasteful_ratings())
    store.items.record([Item("never rated")])
    store.users.record([User("user-3", country="FI")])
    claim = claimed(store)
    version = trainer.run(claim)
    job = store.jobs.get(claim.job.job_id)
    assert (job.state, job.snapshot_version, job.reason) == ("succeeded", version, None)
    snapshot = live_snapshot(trainer)
    data = store.training_reads.load()
    np.testing.assert_array_equal(snapshot.arrays.item_keys, data.item_keys)
    np.testing.assert_array_equal(snapshot.arrays.user_keys, data.user_keys)
    np.testing.assert_array_equal(snapshot.arrays.user_versions, data.user_versions)
    np.testing.assert_array_equal(snapshot.arrays.user_profile_versions, data.user_profile_versions)
    liked_by_finns = data.ratings.item_key[(data.ratings.user_key == data.user_keys[3]) & (data.ratings.value >= 4)]
    assert snapshot.groups.groups == (("country", "FI"),)
    assert set(snapshot.arrays.item_keys[snapshot.groups.popular_by("country", "FI")]) == set(liked_by_finns)
    assert snapshot.arrays.user_profile_versions[3] == snapshot.arrays.user_profile_versions.sum() > 0
    assert snapshot.arrays.item_counts[-1] == 0
    np.testing.assert_array_equal(snapshot.item_vectors[-1], snapshot.arrays.unrated_item)
    assert snapshot.manifest.counts == {"items": 61, "users": 120, "ratings": 2400, "labels": 0}
    assert snapshot.manifest.watermark.change_count == data.change_count
    metrics = snapshot.manifest.metrics
    assert metrics["snapshot"]["ndcg@10"] > metrics["bestsellers"]["ndcg@10"]  # type: ignore[operator]
    assert metrics["snapshot"]["rmse"] < metrics["biases"]["rmse"]  # type: ignore[operator]


STEPS = [
    *("loading", "quarantine", "bursts", "splitting", "evaluating"),
    *("learning curve", "similar items", "refitting", "publishing"),
]


@on_sqlite
def test_stages_are_logged(trainer: Trainer) -> None:
    """Each stage once with its duration, in the order of the run, and each choice of the card when it is made."""
    trainer.store.ratings.record(tasteful_ratings())
    claim = claimed(trainer.store)
    reports: list[tuple[float, str]] = []
    with capture_logs() as entries:
        trainer.run(claim, lambda share, text: reports.append((share, text)))
    ended = [entry for entry in entries if entry["event"] == "stage finished"]
    stages = [entry["stage"] for entry in ended]
    assert [stage for stage in stages if ">" not in stage] == STEPS
    assert len(stages) == len(set(stages))
    assert all(entry["duration_seconds"] >= 0 and entry["job_id"] == claim.job.job_id for entry in ended)
    assert {stage for stage in stages if stage.startswith("publishing >")} == {
        f"publishing > {part}"
        for part in ("assembling", "snapshot", "snapshot > index", "snapshot > writing", "opening", "registering")
    }
    candidates = [
        entry for entry in ended if entry["stage"].startswith("evaluating > candidate > resolving > rating >")
    ]
    assert [entry["stage"].rpartition(" ")[2] for entry in candidates] == ["funk_svd", "bayesian_mf", "biases"]
    assert all(entry["rmse"] > 0 for entry in candidates)
    decisions = [entry["decision"] for entry in entries if entry["event"] == "decision"]
    choices = live_snapshot(trainer).manifest.choices
    assert choices
    assert [decision for decision in decisions if decision in choices] == [*choices]
    assert sum("passed" in decision for decision in decisions) == 1
    shares = [share for share, _ in reports]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert 0.9 < shares[-1] <= 1
    assert any(re.match(r"refitting: \w+ (epoch|sweep) \d+ of \d+", text) for _, text in reports)


def test_lease_ends_with_registration(trainer: Trainer) -> None:
    """The heartbeat of a finished job is refused; a listener that says so must not undo the publication."""
    store = trainer.store
    store.ratings.record(tasteful_ratings(n_users=60))
    claim = claimed(store, recipe=QUICK)

    def progress(_share: float, _text: str) -> None:
        if store.jobs.get(claim.job.job_id).finished_at is not None:
            raise LeaseLostError("the job has ended")

    version = trainer.run(claim, progress)
    assert live_snapshot(trainer).version == version


@pytest.mark.slow
@on_sqlite
def test_log_level_changes_no_result(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer.store.ratings.record(tasteful_ratings(n_users=60))
    trainer.run(claimed(trainer.store))
    quiet = live_snapshot(trainer)
    monkeypatch.setattr("app.algorithms.progress.LOGGED_SECONDS", 0.0)
    with capture_logs():
        trainer.run(claimed(trainer.store))
    loud = live_snapshot(trainer)
    np.testing.assert_array_equal(quiet.user_vectors, loud.user_vectors)


@on_sqlite
def test_unchanged_history_folds_in_alike(trainer: Trainer) -> None:
    """No list may jump because a vector was folded in anew."""
    trainer.store.ratings.record(tasteful_ratings())
    trainer.run(claimed(trainer.store))
    snapshot = live_snapshot(trainer)
    for user_row in range(len(snapshot.arrays.user_keys)):
        stored, folded = snapshot.user_side(user_row), snapshot.fold_in(observed_of(snapshot.arrays, user_row))
        np.testing.assert_allclose(folded.vector, stored.vector, atol=1e-4)
        assert folded.bias == pytest.approx(stored.bias, abs=1e-4)


def test_history_is_as_stored(trainer: Trainer) -> None:
    store = trainer.store
    store.ratings.record(incoming(("u", "a", 1, 30), ("u", "b", 2, None), ("u", "c", 3, 40), ("v", "b", 4, 10)))
    trainer.run(claimed(store))
    snapshot = live_snapshot(trainer)
    for user_row, user_key in enumerate(snapshot.arrays.user_keys.tolist()):
        rows, values, times = snapshot.arrays.history(user_row)
        stored = asyncio.run(store.reads.history(user_key))
        assert snapshot.arrays.item_keys[rows].tolist() == stored.item_key.tolist()
        assert values.tolist() == stored.value.tolist()
        assert times.tolist() == stored.rated_at.tolist()


def test_no_ratings(trainer: Trainer) -> None:
    with pytest.raises(SnapshotRejectedError, match="no ratings"):
        trainer.run(claimed(trainer.store))
    assert trainer.store.snapshots.entries() == []


@on_sqlite
@pytest.mark.parametrize(
    "ratings",
    [
        incoming(("u", "a", 4)),
        incoming(*(("u", f"i{n}", 1 + n % 5, n) for n in range(40))),
        incoming(*((f"u{n}", "a", 1 + n % 5) for n in range(40))),
        incoming(*((f"u{n % 8}", f"i{n // 8}", 3) for n in range(64))),
        incoming(*((f"u{n % 8}", f"i{n // 8}", 5, n) for n in range(64))),
        incoming(*((f"u{n}", f"i{n}", 1 + n % 5) for n in range(10))),
    ],
    ids=["one rating", "one user", "one item", "constant", "constant and liked", "nothing shared"],
)
def test_degenerate_ratings_fall_back(trainer: Trainer, ratings: IncomingRatings) -> None:
    """Too little to learn from still gives lists: biases and popularity, and the reason."""
    trainer.store.ratings.record(ratings)
    claim = claimed(trainer.store)
    trainer.run(claim)
    snapshot = live_snapshot(trainer)
    assert snapshot.manifest.reason
    assert trainer.store.jobs.get(claim.job.job_id).reason == snapshot.manifest.reason
    assert snapshot.manifest.segments[0].algorithm == "biases"
    rows, scores = snapshot.index.nearest(snapshot.user_vectors[0], 10)
    assert len(rows) == min(10, snapshot.n_items)
    assert np.isfinite(scores).all()
    side = snapshot.user_side(0)
    assert np.isfinite(snapshot.predict(side, snapshot.item_vectors[rows])).all()


@on_sqlite
def test_fallback_is_a_warning(trainer: Trainer) -> None:
    trainer.store.ratings.record(incoming(("u", "a", 4)))
    with capture_logs() as entries:
        trainer.run(claimed(trainer.store))
    manifest = live_snapshot(trainer).manifest
    (warning,) = [entry for entry in entries if entry["log_level"] == "warning"]
    assert (warning["reason"], warning["advice"]) == (manifest.reason, manifest.advice)
    assert "no user has two ratings" in str(manifest.reason)
    assert str(manifest.advice).startswith("Personal lists need")
    # The card shows what was tried as well.
    assert "too few ratings to compare anything" in manifest.choices


@on_sqlite
def test_learner_that_fails_is_the_reason(trainer: Trainer) -> None:
    trainer.store.ratings.record(tasteful_ratings(n_users=60))
    trainer.run(claimed(trainer.store, recipe=rating_recipe("funk_svd", {"learning_rate": 1e6}).document))
    assert str(live_snapshot(trainer).manifest.reason).startswith("funk_svd: ")
    assert "another algorithm" in str(live_snapshot(trainer).manifest.advice)


@on_sqlite
def test_fallback_is_better_popularity(trainer: Trainer) -> None:
    """Where items pass like fashions, what was popular of late is published, not the bestsellers of all time."""
    fashions = passing_fashions()
    columns = fashions.user_rows, fashions.item_rows, fashions.values, fashions.times
    rows = [(f"u{user}", f"i{item}", 5, int(at)) for user, item, _, at in zip(*columns, strict=True)]
    trainer.store.ratings.record(incoming(*rows))
    trainer.run(claimed(trainer.store, recipe=rating_recipe("funk_svd", {"learning_rate": 0}).document))
    manifest = live_snapshot(trainer).manifest
    assert manifest.choices[-1].startswith("what was popular of late")
    assert manifest.segments[-1].hyperparameters["half_life_days"] < 20
    assert manifest.metrics["snapshot"]["ndcg@10"] == pytest.approx(manifest.metrics["recent"]["ndcg@10"], abs=0.01)


@on_sqlite
def test_fallback_is_refreshed(trainer: Trainer) -> None:
    trainer.store.ratings.record(tasteful_ratings(n_users=60))
    unlearned = rating_recipe("funk_svd", {"learning_rate": 0}).document
    first = trainer.run(claimed(trainer.store, recipe=unlearned))
    assert "biases" in str(live_snapshot(trainer).manifest.reason)
    # A live fallback is no reason to keep back a newer one.
    assert trainer.run(claimed(trainer.store, recipe=unlearned)) > first
    assert live_snapshot(trainer).manifest.version > first


@on_sqlite
def test_worse_than_live_is_rejected(trainer: Trainer) -> None:
    trainer.store.ratings.record(tasteful_ratings())
    version = trainer.run(claimed(trainer.store))
    useless = rating_recipe("biases").document
    with capture_logs() as entries, pytest.raises(SnapshotRejectedError) as error:
        trainer.run(claimed(trainer.store, recipe=useless))
    assert live_version(trainer.store) == version
    assert [folder.name for folder in trainer.publisher.root.iterdir()] == [f"{version:06d}"]
    decisions = [entry["decision"] for entry in entries if entry["event"] == "decision"]
    assert error.value.detail in decisions[-1]
    assert "stays live" in decisions[-1]
    failed = [entry["stage"] for entry in entries if entry["event"] == "stage failed"]
    assert failed == ["evaluating > gate", "evaluating"]


def test_same_recipe_again(trainer: Trainer) -> None:
    trainer.store.ratings.record(tasteful_ratings())
    first = trainer.run(claimed(trainer.store, recipe=QUICK))
    assert trainer.run(claimed(trainer.store, recipe=QUICK)) == first + 1
    assert live_version(trainer.store) == first + 1


@on_sqlite
def test_other_recipe_is_compared_in_pairs(trainer: Trainer) -> None:
    """One factor cannot hold a taste of two: replaced by a recipe that can, and not the other way round."""
    trainer.store.ratings.record(tasteful_ratings(n_users=300, n_items=80, n_each=25))
    narrow = rating_recipe("funk_svd", {"n_factors": 1}).document
    first = trainer.run(claimed(trainer.store, recipe=narrow))
    second = trainer.run(claimed(trainer.store, recipe=QUICK))
    assert second > first
    with pytest.raises(SnapshotRejectedError, match="on the same training part"):
        trainer.run(claimed(trainer.store, recipe=narrow))
    assert live_version(trainer.store) == second


@on_sqlite
def test_live_recipe_that_diverges_keeps_nothing_back(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after another scale: a recipe that fitted the data of its time may diverge on those of today."""
    trainer.store.ratings.record(tasteful_ratings(n_users=300, n_items=80, n_each=25))
    first = trainer.run(claimed(trainer.store, recipe=rating_recipe("funk_svd", {"n_factors": 1}).document))

    def diverges(*_: object) -> NoReturn:
        raise TrainingFailedError("funk_svd: diverged")

    monkeypatch.setattr(run, "live_report", diverges)
    second = trainer.run(claimed(trainer.store, recipe=rating_recipe("funk_svd").document))
    assert live_version(trainer.store) == second > first


@on_sqlite
def test_divergence_keeps_live(trainer: Trainer) -> None:
    trainer.store.ratings.record(tasteful_ratings())
    version = trainer.run(claimed(trainer.store, recipe=QUICK))
    wild = rating_recipe("funk_svd", {"learning_rate": 1e6}).document
    with pytest.raises(TrainingFailedError):
        trainer.run(claimed(trainer.store, recipe=wild))
    assert live_version(trainer.store) == version


def test_unknown_recipe_says_so(trainer: Trainer) -> None:
    trainer.store.ratings.record(tasteful_ratings(n_users=20))
    recipe = rating_recipe("funk_svd").document
    recipe["segments"][0]["algorithm"] = "magic"
    with pytest.raises(InvalidInputError, match=r"but by: .*biases"):
        trainer.run(claimed(trainer.store, recipe=recipe))


def test_same_seed_same_snapshot(trainer: Trainer) -> None:
    trainer.store.ratings.record(tasteful_ratings())
    trainer.run(claimed(trainer.store, seed=7))
    first = live_snapshot(trainer)
    trainer.run(claimed(trainer.store, seed=7))
    second = live_snapshot(trainer)
    assert second.manifest.version > first.manifest.version
    np.testing.assert_array_equal(first.item_vectors, second.item_vectors)
    np.testing.assert_array_equal(first.user_vectors, second.user_vectors)
    assert first.manifest.metrics == second.manifest.metrics


def test_taken_over_leaves_no_trace(trainer: Trainer) -> None:
    trainer.store.ratings.record(tasteful_ratings(n_users=60))
    trainer.store.jobs.enqueue("request", recipe=QUICK)
    stale = trainer.store.jobs.claim("slow", lease_seconds=0.0)
    assert stale is not None
    claims: list[Claim | None] = []

    def take_over(fraction: float, _text: str) -> None:
        if fraction > 0.6 and not claims:
            claims.append(trainer.store.jobs.claim("quick", lease_seconds=60))

    with pytest.raises(LeaseLostError):
        trainer.run(stale, take_over)
    assert list(trainer.publisher.root.iterdir()) == []
    assert trainer.store.training_reads.load().is_new.all()
    (taken,) = claims
    assert taken is not None
    version = trainer.run(taken)
    assert live_version(trainer.store) == version
    assert not trainer.store.training_reads.load().is_new.all()


class CutOff(SnapshotRegister):
    """The connection breaks after the commit, before the answer."""

    def register(self, claim: Claim, **snapshot: Any) -> None:
        super().register(claim, **snapshot)
        raise UnavailableError("the connection is gone")


def test_registered_without_answer_stays(trainer: Trainer) -> None:
    trainer.store.ratings.record(tasteful_ratings(n_users=60))
    claim = claimed(trainer.store, recipe=QUICK)
    trainer.store.snapshots = CutOff(trainer.store.database)
    with pytest.raises(UnavailableError):
        trainer.run(claim)
    assert live_snapshot(trainer).version == trainer.store.jobs.get(claim.job.job_id).snapshot_version


def test_newest_are_kept(trainer: Trainer) -> None:
    trainer.store.ratings.record(tasteful_ratings(n_users=60))
    versions = [trainer.run(claimed(trainer.store, recipe=QUICK)) for _ in range(2)]
    trainer.store.snapshots.activate(versions[0])
    versions += [trainer.run(claimed(trainer.store, recipe=QUICK)) for _ in range(4)]
    trainer.publisher.tidy()
    assert [entry.version for entry in trainer.store.snapshots.entries()] == [*versions[:2:-1], versions[0]]
    kept = sorted(int(folder.name) for folder in trainer.publisher.root.iterdir())
    assert kept == [versions[0], *versions[3:]]
    assert live_version(trainer.store) == versions[0]


def test_pinned_stays_live(trainer: Trainer) -> None:
    trainer.store.ratings.record(tasteful_ratings(n_users=60))
    pinned = trainer.run(claimed(trainer.store, recipe=QUICK))
    trainer.store.snapshots.activate(pinned)
    later = trainer.run(claimed(trainer.store, recipe=QUICK))
    assert live_version(trainer.store) == pinned
    assert trainer.store.jobs.latest(1)[0].snapshot_version == later


@on_sqlite
def test_scale_change_is_no_fall(trainer: Trainer) -> None:
    """What counts as liked has changed, so recorded figures say nothing: the live recipe is fitted anew."""
    trainer.store.ratings.record(tasteful_ratings())
    first = trainer.run(claimed(trainer.store, recipe=QUICK))
    trainer.store.instance.set_scale(RatingScale(1, 6))
    assert trainer.run(claimed(trainer.store, recipe=QUICK)) > first
    assert live_snapshot(trainer).manifest.rating_scale == "1:6"


@on_sqlite
def test_run_and_stages_have_spans(trainer: Trainer) -> None:
    trainer.store.ratings.record(tasteful_ratings())
    claim, spans = claimed(trainer.store, recipe=QUICK), InMemorySpanExporter()
    trace_by(SimpleSpanProcessor(spans))
    try:
        trainer.run(claim)
    finally:
        stop_tracing()
    made = {each.name: each for each in spans.get_finished_spans()}
    whole, loading, candidate = made["training run"], made["loading"], made["evaluating > candidate"]
    assert dict(whole.attributes or {}) == {"job.id": claim.job.job_id, "attempt": 1}
    assert loading.parent == whole.context
    assert candidate.parent == made["evaluating"].context
