"""Learns segments on Spark: writes the training part as Parquet, has Spark sum, and folds the users in itself.

    taste         item vectors by Spark's implicit ALS, see `spark_objective.py`
    rating        item biases by sums over users, item vectors by Spark's explicit ALS of what the biases leave
    item_item     how many users chose two items; the regressions on neighbours are solved here, see `slim.py`
    transitions   the decayed counts of what came before and after what; likewise
    popularity    the decayed count of each item's choices

Ratings are written a block at a time, and sums over them are made of blocks (`app/algorithms/storage.py`), so that they
need not be in memory. Of `item_item` and `transitions` the histories are.

The files lie in a folder of the run, which is removed when the run ends, and that of a killed run when the next begins.
"""

import fcntl
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
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
from app.algorithms.storage import IN_MEMORY, Storage, add_rows, count_rows, mean, mean_square, spans, total
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
from app.training.spark_objective import (
    CLOSING_EPOCHS,
    Entries,
    SharedPenalty,
    cross_validated,
    implicit_entries,
    prior_rows,
)

Columns = Mapping[str, NDArray[Any]]
Float64Array = NDArray[np.float64]

OfBlock = Callable[[slice], Float64Array]
"""One number for each rating of a block."""

FOLDER = "spark"
"""Below the data folder."""

ROWS_PER_FILE = 1 << 20
"""Choices in a file of histories, about. A task of Spark reads one file at a time, or a few small ones; of ratings, a
file is a block of their storage, which is as long."""

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
        observed, weights = learner.observations(ratings)
        unobserved_weight, regularization = learner.balance(observed, weights)
        learner = replace(learner, unobserved_weight=unobserved_weight, regularization=regularization)
        storage, exponent = observed.storage, learner.frequency_exponent

        def strengths(span: slice) -> Float64Array:
            return np.abs(weights[span], dtype=np.float64)

        def are_choices(span: slice) -> NDArray[np.bool_]:
            return weights[span] > 0

        sides = (observed.user_rows, observed.n_users), (observed.item_rows, observed.n_items)

        def penalties(rows: NDArray[np.int32], n: int, n_others: int) -> Float64Array:
            penalty = Penalty(regularization, exponent, unobserved_weight * n_others)
            return penalty.of(add_rows(rows, n, strengths, storage)) / unobserved_weight

        of_users, of_items = (
            penalties(rows, n, n_others) for (rows, n), (_, n_others) in zip(sides, sides[::-1], strict=True)
        )
        n_of_users, n_of_items = (count_rows(rows, n, storage, are_choices).astype(np.float64) for rows, n in sides)
        shared = SharedPenalty.fit(of_users, of_items, n_of_users, n_of_items)
        has_choice = n_of_users > 0, n_of_items > 0
        n_rows = 0

        def entries(span: slice) -> Columns:
            nonlocal n_rows
            columns = observed.user_rows[span], observed.item_rows[span], weights[span]
            found = implicit_entries(*columns, unobserved_weight, has_choice)
            n_rows += len(found.value)
            return found._asdict()

        items = np.zeros((observed.n_items, learner.n_factors), np.float32)
        if has_choice[0].any():
            with self._written(len(observed), entries, storage) as source, stage.part("spark", 0.7) as part:
                stage.decide(
                    f"taste on Spark: alpha 1, regParam {shared.of_spark:.3g}, {n_rows:,} rows for"
                    f" {len(observed):,} observations"
                )
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
        standard, _, _ = _standardised(ratings)
        prior = PRIOR_RATINGS * learner.regularization
        with stage.part("biases", 0.4) as part:
            item_biases = self._item_biases(ratings, standard, (prior, prior), BIAS_ROUNDS, part)

        def without_items(span: slice) -> Float64Array:
            return standard(span) - item_biases[ratings.item_rows[span]]

        user_biases = _user_biases(ratings, without_items, prior)

        def left(span: slice) -> Float64Array:
            return without_items(span) - user_biases[ratings.user_rows[span]]

        # Most of what the biases leave is noise.
        squares = total(len(ratings), lambda span: left(span) ** 2, ratings.storage)
        n_fitted = sum(
            float(np.sum(counts[counts > 0] / (counts[counts > 0] + prior)))
            for counts in (ratings.user_counts, ratings.item_counts)
        )
        penalty = learner.regularization * noise_variance(cross_validated(squares, len(ratings), n_fitted))
        stage.decide(f"rating on Spark: regParam {penalty:.3g}")
        items = np.zeros((ratings.n_items, learner.n_factors), np.float32)
        priors = prior_rows(int(PRIOR_RATINGS), (ratings.user_counts > 0, ratings.item_counts > 0), ROWS_PER_FILE)
        with self._written_values(ratings, left, np.float32, priors) as source, stage.part("spark", 0.9) as part:
            job = self._jobs.factors(
                source,
                rank=learner.n_factors,
                n_iterations=learner.n_epochs,
                reg_param=penalty,
                is_implicit=False,
                seed=int(rng.integers(2**31)),
            )
            self._read_factors(self._run(job, part, "explicit ALS", n_jobs=3), items)
        start = RatingVectors(
            mean=0.0,
            user_biases=np.zeros(ratings.n_users, np.float32),
            item_biases=item_biases.astype(np.float32),
            user_factors=np.zeros((ratings.n_users, learner.n_factors), np.float32),
            item_factors=items,
            regularization=penalty,
        )
        with stage.part("closing") as part:
            return replace(learner, n_epochs=CLOSING_EPOCHS).fit(ratings, rng, part, start=start)

    def biases(self, learner: Biases, ratings: RatingMatrix, _rng: np.random.Generator, stage: Stage) -> RatingVectors:
        """Mean, item biases by Spark, and the user biases that follow from them."""
        standard, centre, scale = _standardised(ratings)
        prior = PRIOR_RATINGS * learner.regularization
        # With mean normalisation, an item's bias is its own mean, whoever rated it.
        priors, n_rounds = ((np.inf, 0.0), 1) if learner.mean_normalisation else ((prior, prior), learner.n_epochs)
        item_biases = self._item_biases(ratings, standard, priors, n_rounds, stage) * scale

        def without_items(span: slice) -> Float64Array:
            return ratings.values[span].astype(np.float64) - centre - item_biases[ratings.item_rows[span]]

        return RatingVectors(
            mean=centre,
            user_biases=_user_biases(ratings, without_items, prior).astype(np.float32),
            item_biases=item_biases.astype(np.float32),
            user_factors=np.zeros((ratings.n_users, 0), np.float32),
            item_factors=np.zeros((ratings.n_items, 0), np.float32),
            regularization=learner.regularization,
        ).checked()

    def counts(self, choices: DatedChoices, half_life_days: float | None, stage: Stage) -> Float64Array:
        """(n_items,) float64, the decayed count of each item."""
        n, storage, times = len(choices.times), choices.storage, choices.times
        newest = max((int(times[span].max()) for span in spans(n, storage)), default=0)

        def dated(span: slice) -> Columns:
            ages = np.zeros(span.stop - span.start)
            if half_life_days is not None:
                ages = (newest - times[span]) / (half_life_days * DAY)
            return {"item": choices.item_rows[span], "half_lives": ages}

        counts = np.zeros(choices.n_items)
        with self._written(n, dated, storage) as source:
            self._scatter(self._run(self._jobs.decayed_counts(source), stage, "counts"), ("item", "count"), counts)
        return counts

    def _item_biases(
        self, ratings: RatingMatrix, standard: OfBlock, priors: tuple[float, float], n_rounds: int, stage: Stage
    ) -> Float64Array:
        """(n_items,), in units of `standard`. `priors`: of users and of items."""
        biases = np.zeros(ratings.n_items)
        with self._written_values(ratings, standard, np.float64) as source:
            for done in range(n_rounds):
                known: Columns = {"item": np.arange(ratings.n_items, dtype=np.int32), "bias": biases}
                with (
                    self._written_rows(known) as before,
                    stage.part(f"round {done + 1}", (done + 1) / n_rounds) as part,
                ):
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
            with self._histories(sequences) as source, self._written_rows(by) as norm_file:
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
    def _written(
        self,
        n: int,
        part: Callable[[slice], Columns],
        storage: Storage = IN_MEMORY,
        more: Iterable[Columns] = (),
    ) -> Iterator[Path]:
        """A folder of Parquet files, while the context lasts: one for each block, with the columns of `part`.

        `more`: columns of further files.
        """
        with self._folder() as folder:
            # Spark takes the columns from the files, so there is one even without rows.
            for span in spans(n, storage) if n else [slice(0, 0)]:
                pq.write_table(pa.table(dict(part(span))), folder / f"{span.start:012d}.parquet")
            for number, columns in enumerate(more):
                pq.write_table(pa.table(dict(columns)), folder / f"more-{number:06d}.parquet")
            yield folder

    def _written_rows(self, columns: Columns) -> AbstractContextManager[Path]:
        """Columns of one element for each item."""
        n = len(next(iter(columns.values())))
        return self._written(n, lambda span: {name: column[span] for name, column in columns.items()})

    def _written_values(
        self, ratings: RatingMatrix, value: OfBlock, dtype: type[np.floating], more: Iterable[Entries] = ()
    ) -> AbstractContextManager[Path]:
        """The columns `user`, `item` and `value` of all ratings, and `more` rows."""

        def columns(span: slice) -> Columns:
            return {
                "user": ratings.user_rows[span],
                "item": ratings.item_rows[span],
                "value": value(span).astype(dtype, copy=False),
            }

        return self._written(len(ratings), columns, ratings.storage, (each._asdict() for each in more))

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
        for table in _read(result):
            rows = table["id"].to_numpy()
            features = table["features"].combine_chunks().flatten().to_numpy().reshape(len(rows), items.shape[1])
            is_item = rows < len(items)  # the others are of `prior_rows`
            items[rows[is_item]] = features[is_item]

    @staticmethod
    def _scatter(result: Path, names: tuple[str, str], into: Float64Array) -> None:
        for table in _read(result):
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
    folder.mkdir(mode=0o700, parents=True)  # another run that ends may have removed the root
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


def _standardised(ratings: RatingMatrix) -> tuple[OfBlock, float, float]:
    """The ratings with a mean of 0 and a variance of 1, as in `ALS`; their mean, and standard deviation (1 for 0)."""
    values, storage = ratings.values, ratings.storage
    centre = mean(values, storage) if len(ratings) else 0.0
    scale = (math.sqrt(mean_square(values, centre, storage)) if len(ratings) else 0.0) or 1.0
    return lambda span: (values[span].astype(np.float64) - centre) / scale, centre, scale


def _user_biases(ratings: RatingMatrix, left: OfBlock, prior: float) -> Float64Array:
    """(n_users,) each user's mean of `left`, shrunk."""
    sums, counts = add_rows(ratings.user_rows, ratings.n_users, left, ratings.storage), ratings.user_counts
    means = np.zeros(ratings.n_users)
    np.divide(sums, counts + prior, out=means, where=counts > 0)
    return means


def _table(result: Path, n_items: int) -> sparse.csr_array:
    """(n_items, n_items) CSR float32 with sorted indices."""
    table = pa.concat_tables(_read(result))
    rows, columns, values = (table[name].to_numpy() for name in ("row", "column", "value"))
    return sparse.csr_array((values, (rows, columns)), shape=(n_items, n_items))


def _read(result: Path) -> Iterator[Any]:
    """The Parquet files of a result, one table at a time; they are then removed."""
    for file in sorted(result.glob("*.parquet")):
        yield pq.read_table(file)
    shutil.rmtree(result, ignore_errors=True)
