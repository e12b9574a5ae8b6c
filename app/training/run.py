"""One training run, from ratings to a live snapshot. Reads as the list of its steps."""

from dataclasses import dataclass

import numpy as np
import structlog
from threadpoolctl import threadpool_limits

from app.algorithms.progress import ProgressCallback, Stage, ignore
from app.errors import InvalidInputError
from app.snapshots.manifest import FORMAT
from app.store.jobs import Claim
from app.store.snapshots import SnapshotEntry
from app.store.store import Store
from app.training import gate
from app.training.dataset import hold_out, load_dataset
from app.training.errors import SnapshotRejectedError, TrainingFailedError
from app.training.evaluate_recipe import EvaluatedRecipe, evaluate_recipe, fall_back
from app.training.fit import fit
from app.training.gate import LiveReport, PairedReport, RecordedReport
from app.training.measure import NDCG, RecipeReport
from app.training.publisher import Publisher
from app.training.recipe import Recipe, parse_recipe
from app.training.tables import check_tables, fit_tables
from app.training.validation_split import ValidationSplit

DEFAULT_SEED = 0

log = structlog.get_logger()


@dataclass(frozen=True)
class Trainer:
    """Runs training jobs. One instance serves all runs; each run gets its job as an argument."""

    store: Store
    publisher: Publisher

    def run(self, claim: Claim, progress: ProgressCallback = ignore) -> int:
        """Train for the claimed job and return the published version, which is live unless another is pinned.

        Each step is a stage: its duration, figures and decisions are logged with the id of the job.

        Raises `SnapshotRejectedError` (the job is rejected), `TrainingFailedError` or `InvalidInputError` (a retry
        would fail as well), each with the reason, and `LeaseLostError` when another worker has taken the job over; the
        live snapshot then stays. What `progress` raises passes through.
        """
        stages = Stage(progress, log.bind(job_id=claim.job.job_id, attempt=claim.job.attempts))
        # BLAS works on many small matrices here, where its threads would only wait for one another.
        with threadpool_limits(1, "blas"):
            return self._run(claim, stages)

    def _run(self, claim: Claim, run: Stage) -> int:
        recipe = parse_recipe(claim.job.recipe or self.store.instance.recipe())
        seed = DEFAULT_SEED if claim.job.seed is None else claim.job.seed
        # One generator for each step, so that what one step draws does not depend on the others.
        split_rng, trial_rng, final_rng, tables_rng = np.random.default_rng(seed).spawn(4)
        with run.part("loading", until=0.08) as stage:
            dataset = load_dataset(self.store, recipe.user_groups, stage)
            check_tables(recipe, dataset.ratings)
        with run.part("splitting", until=0.1) as stage:
            train, holdout = hold_out(dataset.ratings, recipe.holdout_fraction, split_rng)
            split = ValidationSplit.draw(train, holdout, dataset.scale, split_rng)
            stage.note(n_ratings=len(train), n_held_out=len(holdout), n_users_measured=len(split.user_rows))
        with run.part("evaluating", until=0.5) as stage:
            evaluated = self.evaluate(recipe, split, trial_rng, stage)
        # What is served is learned from all ratings, the hold-out included.
        with run.part("refitting", until=0.7) as stage:
            learned = fit(evaluated.recipe, dataset.ratings, final_rng, stage)
        with run.part("tables", until=0.8) as stage:
            tables = fit_tables(evaluated.recipe, dataset.ratings, tables_rng, stage)
        with run.part("publishing", until=1.0) as stage:
            return self.publisher.publish(learned, tables, evaluated, dataset, claim, seed, stage)

    def evaluate(
        self, recipe: Recipe, split: ValidationSplit, rng: np.random.Generator, progress: ProgressCallback
    ) -> EvaluatedRecipe:
        """`recipe`, evaluated, if it passes the gate. If it does not and `live` returns None, a list of bestsellers.

        Raises `SnapshotRejectedError` or `TrainingFailedError` if it fails and `live` returns a snapshot, which stays.
        """
        live, stage = self.live(), Stage.from_progress(progress)
        try:
            with stage.part("candidate", until=0.6) as part:
                evaluated = evaluate_recipe(recipe, split, rng, part)
            with stage.part("gate") as part:
                _pass_gate(evaluated.report, live, recipe, split, rng, part)
        except (SnapshotRejectedError, TrainingFailedError) as error:
            if live is not None:
                stage.decide(f"rejected: {error.detail}; snapshot {live.version} stays live")
                raise
            # A list of bestsellers is better than no list, and its card gives the reason.
            with stage.part("fallback") as part:
                return fall_back(error.detail, split, rng, part)
        return evaluated

    def live(self) -> SnapshotEntry | None:
        """The snapshot a candidate is compared with; None while only a fallback or an older format is live."""
        live = self.store.snapshots.live()
        is_comparable = live is not None and live.card["reason"] is None and live.card["format"] == FORMAT
        return live if is_comparable else None


def _pass_gate(
    report: RecipeReport,
    live: SnapshotEntry | None,
    recipe: Recipe,
    split: ValidationSplit,
    rng: np.random.Generator,
    stage: Stage,
) -> None:
    """Raises `SnapshotRejectedError`, or `TrainingFailedError` if the live recipe cannot be fitted again."""
    stage.decide(f"passed alone: {gate.check_alone(report)}")
    if live is not None:
        compared = gate.check_against_live(report, live_report(live, recipe, split, rng, stage))
        stage.decide(f"passed against snapshot {live.version}: {compared}")


def live_report(
    live: SnapshotEntry, recipe: Recipe, split: ValidationSplit, rng: np.random.Generator, progress: ProgressCallback
) -> LiveReport:
    """The live snapshot's figures.

    The recorded figures, if recipe and scale are those of the candidate; otherwise the live recipe is fitted again on
    `split` and measured.
    """
    metrics = live.card["metrics"]
    recorded = RecordedReport(metrics["snapshot"][NDCG], metrics["bestsellers"][NDCG])
    # The scale decides which ratings are liked, so figures of two scales cannot be compared.
    if (live.card["requested_recipe"], live.card["rating_scale"]) == (recipe.document, str(split.scale)):
        return recorded
    try:
        live_recipe = parse_recipe(live.card["requested_recipe"])
    except InvalidInputError:  # the recipe names an algorithm that this release does not have
        return recorded
    return PairedReport(evaluate_recipe(live_recipe, split, rng, progress).report.ndcg_of_users)
