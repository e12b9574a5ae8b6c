"""One training run, from ratings to a live snapshot. Reads as the list of its steps."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np
import structlog
from threadpoolctl import threadpool_limits

from app.algorithms.progress import ProgressCallback, Stage, StageLog, ignore
from app.observability.traces import span
from app.snapshots.manifest import FORMAT, Acceptance
from app.store.jobs import Claim
from app.store.store import Store
from app.training import gate
from app.training.bursts import cap_bursts
from app.training.dataset import Dataset, ReadRatings, hold_out, load_dataset
from app.training.engines import Engine, open_engine
from app.training.errors import BASELINES, NotFiniteError, SnapshotRejectedError, TrainingFailedError
from app.training.evaluate_recipe import EvaluatedRecipe, evaluate_recipe, fall_back
from app.training.fit import fit
from app.training.gate import LiveReport, PairedReport
from app.training.lake import LargeRead
from app.training.learning_curve import with_learning_curve
from app.training.live import Comparison, Live
from app.training.measure import RecipeReport
from app.training.memory_need import n_measured
from app.training.publisher import SIMILAR_RATINGS, Publisher
from app.training.quarantine import quarantine
from app.training.recipe import Recipe, parse_recipe, recipe_in_use
from app.training.scratch import scratch
from app.training.similar_blend import choose_blend
from app.training.spark_errors import SparkFailedError, SparkOptions
from app.training.validation_split import ValidationSplit

DEFAULT_SEED = 0

log = structlog.get_logger()


@dataclass(frozen=True)
class Trainer:
    """Runs training jobs. One instance serves all runs; each run gets its job as an argument.

    `most_bytes`: of resident memory, see `memory_need.py`; None: any.
    """

    store: Store
    publisher: Publisher
    most_bytes: int | None = None
    spark: SparkOptions = field(default_factory=SparkOptions)

    def run(self, claim: Claim, progress: ProgressCallback = ignore, record: StageLog | None = None) -> int:
        """Train for the claimed job and return the published version, which is live unless another is pinned.

        Each step is a stage: its duration, figures and decisions are logged with the id of the job. `record`: the log
        that they go to; None for that of the process.

        Raises `SnapshotRejectedError` (the job is rejected), `TrainingFailedError` or `InvalidInputError` (a retry
        would fail as well), each with the reason, `LeaseLostError` when another worker has taken the job over, and
        `JobCancelledError` when it was cancelled; the live snapshot then stays. What `progress` raises passes through.
        """
        of_job: dict[str, str | float] = {"job_id": claim.job.job_id, "attempt": claim.job.attempts}
        stages = Stage(progress, log.bind(**of_job) if record is None else record, around=span)
        # BLAS works on many small matrices here, where its threads would only wait for one another.
        with threadpool_limits(1, "blas"), span("training run", **of_job):
            recipe = recipe_in_use(self.store) if claim.job.recipe is None else parse_recipe(claim.job.recipe)
            self.publisher.check()
            opened = open_engine(recipe.engine, self.spark, self.publisher.data_dir)
            with self._reading(recipe) as read, opened as engine:
                return self._run(claim, recipe, read, engine, stages)

    @contextmanager
    def _reading(self, recipe: Recipe) -> Iterator[ReadRatings | None]:
        """How ratings are read, with the files that this needs; None: from the database, into memory."""
        if self.most_bytes is None and recipe.source is None:
            yield None
            return
        data_dir = self.publisher.data_dir
        with scratch(data_dir, sys.maxsize if self.most_bytes is None else self.most_bytes) as files:
            yield LargeRead(recipe, files, self.most_bytes)

    def _run(self, claim: Claim, recipe: Recipe, read: ReadRatings | None, engine: Engine | None, run: Stage) -> int:
        seed = DEFAULT_SEED if claim.job.seed is None else claim.job.seed
        # One generator for each step, so that what one step draws does not depend on the others.
        split_rng, trial_rng, final_rng, similar_rng, quarantine_rng, curve_rng = np.random.default_rng(seed).spawn(6)
        with run.part("loading", until=0.08) as stage:
            with_text = recipe.item_text is not None
            dataset = load_dataset(self.store, recipe.user_groups, stage, with_text=with_text, read=read)
        with run.part("quarantine", until=0.09) as stage:
            dataset = quarantine(dataset, self.store, claim, quarantine_rng, stage)
        with run.part("bursts", until=0.09) as stage:
            dataset = cap_bursts(dataset, self.store, self.publisher.folders, stage)
        with run.part("splitting", until=0.1) as stage:
            dataset, measured = self.measured_part(dataset, stage)
            train, holdout = hold_out(measured.ratings, recipe.holdout_fraction, split_rng, recipe.question)
            split = ValidationSplit.draw(train, holdout, measured.scale, split_rng, question=recipe.question)
            stage.note(n_ratings=len(train), n_held_out=len(holdout), n_users_measured=len(split.user_rows))
        with run.part("evaluating", until=0.46) as stage:
            evaluated = self.evaluate(recipe, measured, split, trial_rng, stage, accept=claim.job.accept, engine=engine)
        with run.part("learning curve", until=0.48) as stage:
            evaluated = with_learning_curve(evaluated, split, curve_rng, stage)
        with run.part("similar items", until=0.5) as stage:
            content, encoding = dataset.content, dataset.encodings.content
            similar = choose_blend(split, evaluated.likeness, content, encoding, similar_rng, stage)
        if evaluated.reason is not None:
            # A decision is logged as information, which an operator may not read.
            advice, job_id = evaluated.advice, claim.job.job_id
            log.warning("lists will hold popular items alone", job_id=job_id, reason=evaluated.reason, advice=advice)
        # What is served is learned from all ratings, the hold-out included.
        with run.part("refitting", until=0.8) as stage:
            # Popular items alone are counted faster than Spark starts.
            by = engine if evaluated.reason is None else None
            learned = fit(evaluated.recipe, dataset.ratings, final_rng, stage, by)
        with run.part("publishing", until=1.0) as stage:
            return self.publisher.publish(
                learned, evaluated, dataset, claim, seed, stage, similar=similar, seconds=run.seconds
            )

    def measured_part(self, dataset: Dataset, stage: Stage) -> tuple[Dataset, Dataset]:
        """`dataset` with a sentence on it, and what of it is measured: all, or some users of one larger than memory."""
        if self.most_bytes is None or not dataset.is_larger_than_memory:
            return dataset, dataset
        measured = dataset.part(n_measured(self.most_bytes))
        what = (
            f"learned from {len(dataset.ratings):,} ratings in files, since they need more memory than"
            f" RECKON_TRAINING_MEMORY, and measured on those of {len(measured.data.user_keys):,}"
            " users, by vectors that were learned from these alone; similar items count what is chosen together by"
            f" up to {SIMILAR_RATINGS:,} of them"
        )
        stage.decide(what)
        return dataset.noting(what), measured

    def evaluate(
        self,
        recipe: Recipe,
        dataset: Dataset,
        split: ValidationSplit,
        rng: np.random.Generator,
        progress: ProgressCallback,
        *,
        accept: bool = False,
        engine: Engine | None = None,
    ) -> EvaluatedRecipe:
        """`recipe`, evaluated, if it passes the gate, or if `accept` overrules it.

        If neither, popular items where nothing is live, or what is live says little of today's data: their lists serve
        all users, and its own only those who are left. Otherwise raises `SnapshotRejectedError` or
        `TrainingFailedError`, and the live snapshot stays.
        """
        stage = Stage.from_progress(progress)
        live = self.live(dataset, stage)
        comparison = None if live is None else live.comparison(recipe, split.scale)
        tried: tuple[str, ...] = ()
        try:
            with stage.part("candidate", until=0.6) as part:
                common = None if comparison is None else comparison.common
                evaluated = evaluate_recipe(recipe, split, rng, part, common, engine)
            tried = evaluated.resolved.choices
            with stage.part("gate") as part:
                accepted = _pass_gate(evaluated.report, live, comparison, split, rng, part, engine, accept=accept)
        except (SnapshotRejectedError, TrainingFailedError) as error:
            if live is not None and not live.is_gone:
                stage.decide(f"rejected: {error.detail}; snapshot {live.version} stays live")
                if isinstance(error, SnapshotRejectedError) and not isinstance(error, NotFiniteError):
                    error.advice = f"{error.advice} {gate.ACCEPT}"
                raise
            # Popular items are better than no list, and the card gives the reason.
            with stage.part("fallback") as part:
                return fall_back(error, tried, split, rng, part)
        return replace(evaluated, accepted=accepted)

    def live(self, dataset: Dataset, progress: ProgressCallback = ignore) -> Live | None:
        """The snapshot a candidate is compared with; None while only a fallback or an older format is live."""
        entry = self.store.snapshots.live()
        if entry is None or entry.card["reason"] is not None or entry.card["format"] != FORMAT:
            return None
        return Live.read(entry, self.publisher.folders, self.store.instance.database_id, dataset, progress)


def _pass_gate(
    report: RecipeReport,
    live: Live | None,
    comparison: Comparison | None,
    split: ValidationSplit,
    rng: np.random.Generator,
    stage: Stage,
    engine: Engine | None,
    *,
    accept: bool,
) -> Acceptance | None:
    """None if the candidate passes. If it does not, the acceptance by which it is published nevertheless.

    Raises `SnapshotRejectedError` if there is none.
    """
    inherited = None
    try:
        inherited = _check_alone(report, live, stage)
        if live is not None and comparison is not None:
            _check_against_live(report, live, comparison, split, rng, stage, engine)
    except NotFiniteError:
        raise
    except SnapshotRejectedError as error:
        if not accept:
            raise
        stage.decide(f"accepted, although {error.detail}")
        accepted = Acceptance(datetime.now(UTC).isoformat(timespec="seconds"), error.detail, (error.kind,))
        return accepted.beside(inherited)
    return inherited


def _check_alone(report: RecipeReport, live: Live | None, stage: Stage) -> Acceptance | None:
    """Raises `SnapshotRejectedError` unless the candidate beats the baselines, or none is beaten by what is live.

    Of a live snapshot that was accepted although it did not beat the baselines, this acceptance is inherited: none is
    beaten by what is live either, which would grow old.
    """
    try:
        stage.decide(f"passed alone: {gate.check_alone(report)}")
    except NotFiniteError:
        raise
    except SnapshotRejectedError as error:
        accepted = None if live is None or live.is_gone else live.accepted
        if accepted is None or BASELINES not in accepted.kinds:
            raise
        stage.decide(f"accepted on {accepted.at} for later runs as well, although {error.detail}")
        return replace(accepted, reason=error.detail, kinds=(BASELINES,))
    return None


def _check_against_live(
    report: RecipeReport,
    live: Live,
    comparison: Comparison,
    split: ValidationSplit,
    rng: np.random.Generator,
    stage: Stage,
    engine: Engine | None,
) -> None:
    """Raises `SnapshotRejectedError`."""
    try:
        of_live = live_report(comparison, split, rng, stage, engine)
    except SparkFailedError:
        raise  # the gate must not open because an executor was lost
    except TrainingFailedError as error:
        # The candidate is not to blame, and would be rejected for good while such data come in.
        stage.decide(f"not compared with snapshot {live.version}: its recipe cannot be learned again: {error.detail}")
        return
    if of_live is None:
        stage.decide(f"not compared with snapshot {live.version}: {comparison.why}")
        return
    stage.decide(f"passed against snapshot {live.version}: {gate.check_against_live(report, of_live)}")


def live_report(
    comparison: Comparison,
    split: ValidationSplit,
    rng: np.random.Generator,
    progress: ProgressCallback,
    engine: Engine | None = None,
) -> LiveReport | None:
    """The live snapshot's figures: the recorded ones, or those of its recipe fitted again on `split` and measured.

    `engine`: that of the run, which learns what it can of the live recipe as well.
    None where the two are not compared. Raises `TrainingFailedError` if the recipe cannot be fitted.
    """
    if comparison.paired is None:
        return comparison.recorded
    again = evaluate_recipe(comparison.paired, split, rng, progress, comparison.common, engine)
    return PairedReport(again.report.ndcg_of_users)
