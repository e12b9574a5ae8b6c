"""One training run, from ratings to a live snapshot. Reads as the list of its steps."""

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from app.algorithms.progress import ProgressCallback, ignore, part
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
from app.training.measure import NDCG
from app.training.publisher import Publisher
from app.training.recipe import Recipe, parse_recipe
from app.training.tables import check_tables, fit_tables
from app.training.validation_split import ValidationSplit

DEFAULT_SEED = 0


@dataclass(frozen=True)
class Trainer:
    """What a run needs beside the job itself."""

    store: Store
    publisher: Publisher

    def run(self, claim: Claim, progress: ProgressCallback = ignore) -> int:
        """Train for the claimed job and return the published version, which is live unless another is pinned.

        Raises `SnapshotRejectedError` (the job is rejected), `TrainingFailedError` or `InvalidInputError` (a retry
        would fail as well), each with the reason, and `LeaseLostError` when another worker has taken the job over; the
        live snapshot then stays. What `progress` raises passes through.
        """
        # BLAS works on many small matrices here, where its threads would only wait for one another.
        with threadpool_limits(1, "blas"):
            return self._run(claim, progress)

    def _run(self, claim: Claim, progress: ProgressCallback) -> int:
        recipe = parse_recipe(claim.job.recipe or self.store.instance.recipe())
        seed = DEFAULT_SEED if claim.job.seed is None else claim.job.seed
        split_rng, trial_rng, final_rng, tables_rng = np.random.default_rng(seed).spawn(4)
        progress(0.0, "loading")
        dataset = load_dataset(self.store, recipe.user_groups)
        check_tables(recipe, dataset.ratings)
        train, holdout = hold_out(dataset.ratings, recipe.holdout_fraction, split_rng)
        split = ValidationSplit.draw(train, holdout, dataset.scale, split_rng)
        evaluated = self.evaluate(recipe, split, trial_rng, part(progress, 0.1, 0.5, "trying out"))
        # What is served is learned from all ratings, the hold-out included.
        learned = fit(evaluated.recipe, dataset.ratings, final_rng, part(progress, 0.5, 0.7, "learning"))
        tables = fit_tables(evaluated.recipe, dataset.ratings, tables_rng, part(progress, 0.7, 0.8, "learning"))
        return self.publisher.publish(
            learned, tables, evaluated, dataset, claim, seed, part(progress, 0.8, 1.0, "publishing")
        )

    def evaluate(
        self, recipe: Recipe, split: ValidationSplit, rng: np.random.Generator, progress: ProgressCallback
    ) -> EvaluatedRecipe:
        """`recipe`, if it passes the gate; a list of bestsellers if it does not and nothing better is live.

        Raises `SnapshotRejectedError` or `TrainingFailedError` where something is live, which then stays.
        """
        live, later = self.live(), part(progress, 0.6, 1.0, "trying out")
        try:
            evaluated = evaluate_recipe(recipe, split, rng, part(progress, 0.0, 0.6, "trying out"))
            gate.check_alone(evaluated.report)
            if live is not None:
                gate.check_against_live(evaluated.report, live_report(live, recipe, split, rng, later))
        except (SnapshotRejectedError, TrainingFailedError) as error:
            if live is not None:
                raise
            return fall_back(error.detail, split, rng, later)
        return evaluated

    def live(self) -> SnapshotEntry | None:
        """The snapshot a candidate is compared with; None while only a fallback or an older format is live."""
        live = self.store.snapshots.live()
        is_comparable = live is not None and live.card["reason"] is None and live.card["format"] == FORMAT
        return live if is_comparable else None


def live_report(
    live: SnapshotEntry, recipe: Recipe, split: ValidationSplit, rng: np.random.Generator, progress: ProgressCallback
) -> LiveReport:
    """The live snapshot's figures: as recorded if it was made like the candidate, else those of its recipe fitted
    anew.
    """
    metrics = live.card["metrics"]
    recorded = RecordedReport(metrics["snapshot"][NDCG], metrics["bestsellers"][NDCG])
    if (live.card["requested_recipe"], live.card["rating_scale"]) == (recipe.document, str(split.scale)):
        return recorded
    try:
        live_recipe = parse_recipe(live.card["requested_recipe"])
    except InvalidInputError:  # the recipe is of a release that had other algorithms
        return recorded
    return PairedReport(evaluate_recipe(live_recipe, split, rng, progress).report.ndcg_of_users)
