"""Learns segments on Spark: writes the training part as Parquet, has Spark sum, and folds the users in itself.

    taste         item vectors by Spark's implicit ALS, see `spark_objective.py`
    rating        item biases by sums over users, item vectors by Spark's explicit ALS of what the biases leave
    item_item     how many users chose two items; the regressions on neighbours are solved here, see `slim.py`
    transitions   the decayed counts of what came before and after what; likewise
    popularity    the decayed count of each item's choices

The files lie in a folder of the run, which is removed when the run ends, and that of a killed run when the next begins.
"""

import fcntl
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.als import ALS
from app.algorithms.als_implicit import ImplicitALS
from app.algorithms.biases import Biases
from app.algorithms.by_name import make_rating_learner, make_taste_learner
from app.algorithms.choice_sequences import ChoiceSequences, max_lag
from app.algorithms.decayed_counts import DAY, DatedChoices
from app.algorithms.early_stopping import noise_variance
from app.algorithms.errors import AlgorithmError, FitDivergedError
from app.algorithms.fold_in import PRIOR_RATINGS
from app.algorithms.progress import ProgressCallback, Stage
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.algorithms.slim import SLIM, SparseTransitions, SummedPairs, SumPairs
from app.algorithms.taste_vectors import Penalty
from app.segments.base import LearnedSegment, SegmentDivergedError, SegmentFitError, SegmentRecipe
from app.segments.popularity import HALF_LIFE, PopularitySegment
from app.segments.rating import RatingSegment
from app.segments.registry import SEGMENTS
from app.segments.sparse import SparseSegment
from app.segments.taste import TasteSegment
from app.training.engines import LEARNED_BY_SPARK
from app.training.spark import VERSION, SparkDriver, SparkJobs
from app.training.spark_errors import SparkOptions
from app.training.spark_objective import CLOSING_EPOCHS, SharedPenalty, implicit_entries

Columns = Mapping[str, NDArray[Any]]

FOLDER = "spark"
"""Below the data folder."""

ROWS_PER_FILE = 1 << 20
"""A task of Spark reads one file at a time, or a few small ones."""

MAX_PAIRED = 1_000
"""The newest choices of a user whose pairs are counted: their number grows with the square."""

BIAS_ROUNDS, SETTLED = 3, 1e-5
"""Rounds of biases before ALS, which learns them once more; and the change of a bias, in standard deviations of the
ratings, that ends the rounds of `biases`."""


@dataclass
class SparkEngine:
    """`scratch`: a folder of this machine. `shared`: one that executors see as well, perhaps the same."""

    options: SparkOptions
    scratch: Path
    shared: Path
    _driver: SparkDriver | None = None

    @classmethod
    @contextmanager
    def opened(cls, options: SparkOptions, data_dir: Path) -> Iterator["SparkEngine"]:
        """The engine; Spark starts with the first segment, and has ended when the context has."""
        root = data_dir / FOLDER
        try:
            with run_folder(root) as scratch, run_folder(Path(options.folder) if options.folder else root) as shared:
                engine = cls(options, scratch, shared)
                try:
                    yield engine
                finally:
                    if engine._driver is not None:
                        engine._driver.stop()
        finally:
            with suppress(OSError):  # another run may have its folder there
                root.rmdir()

    def remark(self, names: Sequence[str]) -> str:
        return f"learned on Spark {VERSION}: {', '.join(names) or 'nothing'}"

    def learn(
        self, recipe: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback
    ) -> LearnedSegment | None:
        if recipe.algorithm not in LEARNED_BY_SPARK.get(recipe.name, ()):
            return None
        stage = Stage.from_progress(progress)
        try:
            learned = self._learn(recipe, ratings, rng, stage)
        except (FitDivergedError, np.linalg.LinAlgError) as error:
            raise SegmentDivergedError(f"{recipe.algorithm}: {error}") from error
        except AlgorithmError as error:
            raise SegmentFitError(f"{recipe.algorithm}: {error}") from error
        return learned

    def _learn(
        self, recipe: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, stage: Stage
    ) -> LearnedSegment:
        segment = SEGMENTS[recipe.name]
        if isinstance(segment, TasteSegment):
            taste: Any = make_taste_learner(recipe.algorithm, recipe.hyperparameters)
            return segment.learned(recipe, self.taste(taste, ratings, rng, stage))
        if isinstance(segment, RatingSegment):
            rating: Any = make_rating_learner(recipe.algorithm, recipe.hyperparameters)
            learn = self.biases if isinstance(rating, Biases) else self.ratings
            return segment.learned(recipe, learn(rating, ratings, rng, stage), ratings)
        if isinstance(segment, SparseSegment):
            is_next = recipe.name == "transitions"

            def table(settings: Mapping[str, Any], sequences: ChoiceSequences) -> sparse.csr_array:
                # The diagonal of the sums must be of the same choices as the pairs.
                sequences = newest_choices(sequences, MAX_PAIRED)
                learner = SparseTransitions(**settings) if is_next else SLIM(**settings)
                sum_pairs = self._sum_pairs(sequences, settings["decay"] if is_next else None, stage)
                return learner.fit(sequences, rng, stage, sum_pairs=sum_pairs).table

            return segment.learned(recipe, ratings, table)
        if isinstance(segment, PopularitySegment):
            counts = self.counts(DatedChoices.from_ratings(ratings), recipe.hyperparameters.get(HALF_LIFE), stage)
            return segment.learned(recipe, counts, ratings)
        raise ValueError(f"{recipe.name} is not learned by Spark")

    def taste(self, learner: ImplicitALS, ratings: RatingMatrix, rng: np.random.Generator, stage: Stage) -> Any:
        """Taste vectors by Spark's implicit ALS and closing alternations."""
        unobserved_weight, regularization = learner.balanced(ratings)
        learner = replace(learner, unobserved_weight=unobserved_weight, regularization=regularization)
        observed, weights = learner.observations(ratings)
        entries = implicit_entries(observed.user_rows, observed.item_rows, weights, unobserved_weight)
        shape, exponent = (observed.n_users, observed.n_items), learner.frequency_exponent
        totals, counts = [], []
        for rows, n, n_others in zip((observed.user_rows, observed.item_rows), shape, shape[::-1], strict=True):
            penalty = Penalty(regularization, exponent, unobserved_weight * n_others)
            sums = np.bincount(rows, np.abs(weights), n).astype(np.float64)
            totals.append(penalty.of(sums) / unobserved_weight)
            counts.append(np.bincount(rows[weights > 0], minlength=n).astype(np.float64))
        shared = SharedPenalty.fit(*totals, *counts)
        stage.decide(
            f"taste on Spark: alpha 1, regParam {shared.of_spark:.3g}, {len(entries.value):,} rows for "
            f"{np.count_nonzero(weights):,} observations"
        )
        items = np.zeros((observed.n_items, learner.n_factors), np.float32)
        if len(entries.value):
            with self._written(entries._asdict()) as source, stage.part("spark", 0.7) as part:
                job = self._jobs.factors(
                    source,
                    rank=learner.n_factors,
                    n_iterations=learner.n_epochs,
                    reg_param=shared.of_spark,
                    is_implicit=True,
                    seed=int(rng.integers(2**31)),
                )
                self._read_factors(self._run(job, part, "implicit ALS", n_jobs=3), items)
        items *= np.float32(shared.item_scale)
        with stage.part("closing") as part:
            return replace(learner, n_epochs=CLOSING_EPOCHS).fit(ratings, rng, part, start=items)

    def ratings(self, learner: ALS, ratings: RatingMatrix, rng: np.random.Generator, stage: Stage) -> RatingVectors:
        """Rating vectors by item biases, Spark's explicit ALS of what they leave, and closing alternations."""
        values = ratings.values.astype(np.float64)
        # A mean of 0 and a variance of 1, as in `ALS`.
        standard = (values - values.mean()) / (values.std() or 1.0)
        prior = PRIOR_RATINGS * learner.regularization
        with stage.part("biases", 0.4) as part:
            item_biases = self._item_biases(ratings, standard, (prior, prior), BIAS_ROUNDS, part)
        left = standard - item_biases[ratings.item_rows]
        left -= _shrunk_means(ratings.user_rows, left, ratings.n_users, prior)[ratings.user_rows]
        # Most of what the biases leave is noise.
        penalty = learner.regularization * noise_variance(float(np.mean(left**2)))
        n_users, n_items = (counts.astype(np.float64) for counts in (ratings.user_counts, ratings.item_counts))
        of_users, of_items = (
            np.where(counts > 0, penalty * (counts + PRIOR_RATINGS), 0.0) for counts in (n_users, n_items)
        )
        shared = SharedPenalty.fit(of_users, of_items, n_users, n_items)
        stage.decide(f"rating on Spark: regParam {shared.of_spark:.3g}")
        columns: Columns = {"user": ratings.user_rows, "item": ratings.item_rows, "value": left.astype(np.float32)}
        items = np.zeros((ratings.n_items, learner.n_factors), np.float32)
        with self._written(columns) as source, stage.part("spark", 0.9) as part:
            job = self._jobs.factors(
                source,
                rank=learner.n_factors,
                n_iterations=learner.n_epochs,
                reg_param=shared.of_spark,
                is_implicit=False,
                seed=int(rng.integers(2**31)),
            )
            self._read_factors(self._run(job, part, "explicit ALS", n_jobs=3), items)
        start = RatingVectors(
            mean=0.0,
            user_biases=np.zeros(ratings.n_users, np.float32),
            item_biases=item_biases.astype(np.float32),
            user_factors=np.zeros((ratings.n_users, learner.n_factors), np.float32),
            item_factors=items * np.float32(shared.item_scale),
            regularization=penalty,
        )
        with stage.part("closing") as part:
            return replace(learner, n_epochs=CLOSING_EPOCHS).fit(ratings, rng, part, start=start)

    def biases(self, learner: Biases, ratings: RatingMatrix, _rng: np.random.Generator, stage: Stage) -> RatingVectors:
        """Mean, item biases by Spark, and the user biases that follow from them."""
        values = ratings.values.astype(np.float64)
        mean = float(values.mean()) if len(values) else 0.0
        scale = float(values.std()) or 1.0
        prior = PRIOR_RATINGS * learner.regularization
        # With mean normalisation, an item's bias is its own mean, whoever rated it.
        priors, n_rounds = ((np.inf, 0.0), 1) if learner.mean_normalisation else ((prior, prior), learner.n_epochs)
        item_biases = self._item_biases(ratings, (values - mean) / scale, priors, n_rounds, stage) * scale
        left = values - mean - item_biases[ratings.item_rows]
        return RatingVectors(
            mean=mean,
            user_biases=_shrunk_means(ratings.user_rows, left, ratings.n_users, prior).astype(np.float32),
            item_biases=item_biases.astype(np.float32),
            user_factors=np.zeros((ratings.n_users, 0), np.float32),
            item_factors=np.zeros((ratings.n_items, 0), np.float32),
            regularization=learner.regularization,
        ).checked()

    def counts(self, choices: DatedChoices, half_life_days: float | None, stage: Stage) -> NDArray[np.float64]:
        """(n_items,) float64, the decayed count of each item."""
        ages = np.zeros(len(choices.times))
        if half_life_days is not None and len(ages):
            ages = (choices.times.max() - choices.times) / (half_life_days * DAY)
        counts = np.zeros(choices.n_items)
        with self._written({"item": choices.item_rows, "half_lives": ages}) as source:
            self._scatter(self._run(self._jobs.decayed_counts(source), stage, "counts"), ("item", "count"), counts)
        return counts

    def _item_biases(
        self,
        ratings: RatingMatrix,
        standard: NDArray[np.float64],
        priors: tuple[float, float],
        n_rounds: int,
        stage: Stage,
    ) -> NDArray[np.float64]:
        """(n_items,), in units of `standard`. `priors`: of users and of items."""
        biases = np.zeros(ratings.n_items)
        columns: Columns = {"user": ratings.user_rows, "item": ratings.item_rows, "value": standard}
        with self._written(columns) as source:
            for done in range(n_rounds):
                known: Columns = {"item": np.arange(ratings.n_items, dtype=np.int32), "bias": biases}
                with self._written(known) as before, stage.part(f"round {done + 1}", (done + 1) / n_rounds) as part:
                    # The first round knows nothing of users, as that of `Biases`.
                    user_prior = priors[0] if done else np.inf
                    job = self._jobs.item_biases(source, before, user_prior=user_prior, item_prior=priors[1])
                    previous, biases = biases, np.zeros(ratings.n_items)
                    self._scatter(self._run(job, part, "biases", n_jobs=2), ("item", "bias"), biases)
                if np.abs(biases - previous).max(initial=0.0) < SETTLED:
                    break
        return biases

    def _sum_pairs(self, sequences: ChoiceSequences, decay: float | None, stage: Stage) -> SumPairs:
        lengths = np.diff(sequences.starts)
        longest = int(lengths.max(initial=0))
        n_lags = max(1, min(longest, max_lag(1.0 if decay is None else decay)))

        def sum_pairs(norms: NDArray[np.float64], width: int, n_neighbours: int) -> SummedPairs:
            n_items = len(norms)
            by: Columns = {"column": np.arange(n_items, dtype=np.int32), "norm": norms}
            with self._histories(sequences) as source, self._written(by) as norm_file:
                job = self._jobs.pairs(
                    source, norm_file, decay=decay, n_lags=n_lags, width=width, n_neighbours=n_neighbours
                )
                gram, targets = self._run(job, lambda share, text: stage(0.4 * share, text), "pairs of items", n_jobs=4)
                return SummedPairs(_table(gram, n_items), _table(targets, n_items))

        return sum_pairs

    @property
    def _jobs(self) -> SparkJobs:
        return SparkJobs(self.shared)

    def _run(self, job: Callable[[Any], Any], progress: ProgressCallback, text: str, n_jobs: int = 1) -> Any:
        if self._driver is None:
            self._driver = SparkDriver(self.options, self.scratch, self.shared)
            self._driver.start(progress)
        return self._driver.run(job, progress, text, n_jobs)

    @contextmanager
    def _written(self, columns: Columns) -> Iterator[Path]:
        """A folder of Parquet files with these columns, while the context lasts."""
        n = len(next(iter(columns.values())))
        with self._folder() as folder:
            for start in range(0, max(n, 1), ROWS_PER_FILE):
                rows = {name: column[start : start + ROWS_PER_FILE] for name, column in columns.items()}
                pq.write_table(pa.table(rows), folder / f"{start:012d}.parquet")
            yield folder

    @contextmanager
    def _histories(self, sequences: ChoiceSequences) -> Iterator[Path]:
        """A folder of Parquet files with the choices of each user, in one row, oldest first."""
        starts, n_users = sequences.starts, sequences.n_users
        with self._folder() as folder:
            first = 0
            while first < n_users:
                past = int(np.searchsorted(starts, starts[first] + ROWS_PER_FILE, side="right")) - 1
                past = min(max(past, first + 1), n_users)
                rows = sequences.item_rows[starts[first] : starts[past]]
                offsets = (starts[first : past + 1] - starts[first]).astype(np.int32)
                table = pa.table({"items": pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows))})
                pq.write_table(table, folder / f"{first:012d}.parquet")
                first = past
            yield folder

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        folder = self.shared / f"input-{uuid4().hex}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @staticmethod
    def _read_factors(result: Path, items: NDArray[np.float32]) -> None:
        table = _read(result)
        rows = table["id"].to_numpy()
        features = table["features"].combine_chunks().flatten().to_numpy()
        items[rows] = features.reshape(len(rows), items.shape[1])

    @staticmethod
    def _scatter(result: Path, names: tuple[str, str], into: NDArray[np.float64]) -> None:
        table = _read(result)
        into[table[names[0]].to_numpy()] = table[names[1]].to_numpy()


def newest_choices(sequences: ChoiceSequences, n: int) -> ChoiceSequences:
    """The newest `n` choices of each user."""
    if not len(sequences) or sequences.places.max() < n:
        return sequences
    kept = np.flatnonzero(sequences.places < n)
    columns = sequences.item_rows[kept], sequences.weights[kept], sequences.times[kept]
    starts = np.searchsorted(kept, sequences.starts)
    return ChoiceSequences(sequences.n_users, sequences.n_items, starts, *columns)


@contextmanager
def run_folder(root: Path) -> Iterator[Path]:
    """A folder below `root` for one run, removed at its end; those of runs that were killed are removed before."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in root.glob("run-*"):
        with suppress(FileNotFoundError), _lock_of(left) as lock:  # its run may end at this moment
            if _is_taken(lock):
                shutil.rmtree(left, ignore_errors=True)
    name = uuid4().hex
    # No run searches for this name, so the folder is not taken for a leftover before it is locked.
    folder = root / f"new-{name}"
    folder.mkdir(mode=0o700)
    with _lock_of(folder) as lock:
        _is_taken(lock)
        folder = folder.rename(root / f"run-{name}")
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _lock_of(folder: Path) -> IO[bytes]:
    return (folder / "lock").open("ab")


def _is_taken(lock: IO[bytes]) -> bool:
    """Take the lock, until its file is closed; False where a living process holds it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _shrunk_means(
    rows: NDArray[np.int32], values: NDArray[np.float64], n_rows: int, prior: float
) -> NDArray[np.float64]:
    sums, counts = np.bincount(rows, values, n_rows), np.bincount(rows, minlength=n_rows)
    means = np.zeros(n_rows)
    np.divide(sums, counts + prior, out=means, where=counts > 0)
    return means


def _table(result: Path, n_items: int) -> sparse.csr_array:
    """(n_items, n_items) CSR float32 with sorted indices."""
    table = _read(result)
    rows, columns, values = (table[name].to_numpy() for name in ("row", "column", "value"))
    return sparse.csr_array((values, (rows, columns)), shape=(n_items, n_items))


def _read(result: Path) -> Any:
    """The Parquet files of a result, which are then removed."""
    table = pq.read_table(result)
    shutil.rmtree(result, ignore_errors=True)
    return table
