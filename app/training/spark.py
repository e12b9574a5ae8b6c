"""Spark: its session, and the jobs that sum over users. The only file that imports `pyspark`.

A job reads Parquet files and writes Parquet files, both in a folder that driver and executors see. No job runs Python
on the executors: they need neither Python nor Reckon.

The session belongs to a JVM, the driver, that this process starts and that ends with it. Calls of it block, so they are
made by a thread of their own, while the thread that trains reports progress and checks for cancellation.
"""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pyspark
import structlog
from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.find_spark_home import _find_spark_home
from pyspark.java_gateway import launch_gateway
from pyspark.ml import recommendation
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as f

from app.algorithms.progress import ProgressCallback
from app.training.spark_errors import SparkOptions, failure

VERSION = str(pyspark.__version__)

POLL_SECONDS = 0.5

PATIENCE_SECONDS = 30.0
"""How long a job that was cancelled, and a JVM that was told to end, may take before it is killed."""

LOG_TAIL = 20_000

log = structlog.get_logger()

Result = TypeVar("Result")


class SparkDriver:
    """A Spark application, from `start` to `stop`."""

    def __init__(self, options: SparkOptions, folder: Path, shared: Path) -> None:
        """`folder`: for what Spark itself writes on this machine, its log among it. `shared`: seen by executors too."""
        self._options = options
        self._folder = folder
        self._shared = shared
        self._thread = ThreadPoolExecutor(1, "spark")
        self._is_given_up = False
        self._gateway: Any = None
        self._context: Any = None
        self._session: Any = None

    def start(self, progress: ProgressCallback) -> None:
        """Raises `TrainingFailedError` where Spark does not start."""
        self._wait(self._thread.submit(self._start), lambda: progress(0.0, "starting Spark"), self._give_up)
        log.info("spark started", version=VERSION, application=self._context.applicationId)

    def _start(self) -> None:
        with (self._folder / "spark.log").open("wb") as written, _environment(self._options):
            streams = {"stdout": written, "stderr": subprocess.STDOUT}
            self._gateway = launch_gateway(popen_kwargs=streams)
        if self._is_given_up:
            _end(self._gateway)
            return
        # The options of spark-defaults.conf and of PYSPARK_SUBMIT_ARGS are known by now, and come first.
        with SparkContext._lock:
            SparkContext._gateway, SparkContext._jvm = self._gateway, self._gateway.jvm
        conf = SparkConf()
        conf.setMaster(self._options.master).setAppName("reckon")
        for name, value in self._defaults().items():
            conf.setIfMissing(name, value)
        self._context = SparkContext(conf=conf, gateway=self._gateway)
        self._context.setCheckpointDir(str(self._shared / "checkpoints"))
        self._session = SparkSession(self._context)

    def _give_up(self) -> None:
        """End the JVM while it starts, so that the run does not wait for a master that does not answer."""
        self._is_given_up = True
        if self._gateway is not None:
            self._gateway.proc.kill()

    def _defaults(self) -> dict[str, str]:
        defaults = {
            "spark.ui.showConsoleProgress": "false",
            "spark.ui.enabled": "false",  # it would listen on all addresses, without a key
            "spark.sql.warehouse.dir": str(self._folder / "warehouse"),
        }
        if self._options.is_local:
            defaults |= {
                "spark.driver.host": "127.0.0.1",
                "spark.driver.bindAddress": "127.0.0.1",
                "spark.local.dir": str(self._folder / "local"),
                "spark.sql.shuffle.partitions": "8",
            }
        return defaults

    def run(self, job: Callable[[Any], Result], progress: ProgressCallback, text: str, n_jobs: int = 1) -> Result:
        """What `job` returns of the session. `n_jobs`: about how many jobs of Spark it is, for the progress.

        Raises `TrainingFailedError` where it fails, and what `progress` raises; the job is then cancelled.
        """
        group = uuid4().hex

        def grouped() -> Result:
            # Of this thread; cancelled together.
            self._context.setJobGroup(group, text, interruptOnCancel=True)
            return job(self._session)

        def report() -> None:
            progress(*self._reached(group, text, n_jobs))

        result = self._wait(self._thread.submit(grouped), report, lambda: self._context.cancelJobGroup(group))
        progress(1.0, text)
        return result

    def _wait(self, future: "Future[Result]", report: Callable[[], None], cancel: Callable[[], None]) -> Result:
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        try:
            while not done.wait(POLL_SECONDS):
                report()
            return future.result()
        except (Py4JError, PySparkException, OSError) as error:
            raise failure(str(error), self._log_tail(), self._options) from error
        finally:
            give_up_at = time.monotonic() + PATIENCE_SECONDS
            while not done.is_set() and time.monotonic() < give_up_at:
                # Again and again: an algorithm between two jobs has none that could be cancelled.
                with suppress(Py4JError, OSError):
                    cancel()
                done.wait(POLL_SECONDS)

    def _reached(self, group: str, text: str, n_jobs: int) -> tuple[float, str]:
        """The share of the job that is done, and how far the job of Spark that runs has come."""
        tracker = self._context.statusTracker()
        jobs = sorted(tracker.getJobIdsForGroup(group))
        if not jobs:
            return 0.0, text
        running = tracker.getJobInfo(jobs[-1])
        stages = [] if running is None else [tracker.getStageInfo(stage) for stage in running.stageIds]
        n_tasks = sum(stage.numTasks for stage in stages if stage is not None)
        n_done = sum(stage.numCompletedTasks for stage in stages if stage is not None)
        share = (len(jobs) - 1 + n_done / max(n_tasks, 1)) / max(n_jobs, len(jobs))
        return share, f"{text}, Spark job {len(jobs)}, {n_done} of {n_tasks} tasks"

    def stop(self) -> None:
        """End the application and its JVM, whatever state they are in."""
        application = None if self._context is None else self._context.applicationId
        stopping = self._thread.submit(self._stop)
        with suppress(Exception):  # whatever it is, the JVM ends next
            stopping.result(PATIENCE_SECONDS)
        if self._gateway is not None:
            _end(self._gateway)
        self._thread.shutdown(wait=False, cancel_futures=True)
        with SparkContext._lock:
            SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None
        if application is not None and self._options.is_local_cluster:
            _remove_work(application)

    def _stop(self) -> None:
        if self._session is not None:
            self._session.stop()
        elif self._context is not None:
            self._context.stop()

    def _log_tail(self) -> str:
        with suppress(OSError), (self._folder / "spark.log").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_TAIL))
            return file.read().decode(errors="replace")
        return ""


@contextmanager
def _environment(options: SparkOptions) -> Iterator[None]:
    """The environment that the JVM inherits: on one machine, Spark shall listen on no address that others reach."""
    name = "SPARK_LOCAL_IP"
    if not options.is_local or name in os.environ:
        yield
        return
    os.environ[name] = "127.0.0.1"
    try:
        yield
    finally:
        del os.environ[name]


def _end(gateway: Any) -> None:
    with suppress(Exception):
        gateway.shutdown()
    process: subprocess.Popen[bytes] | None = gateway.proc
    if process is None:
        return
    with suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()  # the JVM ends at the end of its input
    try:
        process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _remove_work(application: str) -> None:
    """What the workers of a local cluster leave in the folder of Spark itself."""
    work = Path(_find_spark_home(), "work")
    shutil.rmtree(work / application, ignore_errors=True)
    with suppress(OSError):  # another application may have its folder there
        work.rmdir()


@dataclass(frozen=True)
class SparkJobs:
    """The jobs. `folder`: where their results are written, seen by driver and executors."""

    folder: Path

    def factors(
        self, source: Path, *, rank: int, n_iterations: int, reg_param: float, is_implicit: bool, seed: int
    ) -> Callable[[Any], Path]:
        """Item vectors by ALS: columns `id`, `features`. `source`: columns `user`, `item`, `value`."""

        def job(session: SparkSession) -> Path:
            rows = session.read.parquet(str(source))
            n_blocks = max(2, session.sparkContext.defaultParallelism)
            learner = recommendation.ALS(
                rank=rank,
                maxIter=n_iterations,
                regParam=reg_param,
                implicitPrefs=is_implicit,
                alpha=1.0,
                seed=seed,
                userCol="user",
                itemCol="item",
                ratingCol="value",
                numUserBlocks=n_blocks,
                numItemBlocks=n_blocks,
            )
            return self._write(learner.fit(rows).itemFactors)

        return job

    def item_biases(self, source: Path, known: Path, *, user_prior: float, item_prior: float) -> Callable[[Any], Path]:
        """Columns `item`, `bias`: each item's shrunk mean of what the user's own shrunk mean leaves.

        `source`: columns `user`, `item`, `value`. `known`: columns `item`, `bias`, of the round before.

            b_u = sum_i (r_ui - b_i) / (n_u + user_prior),    b_i = sum_u (r_ui - b_u) / (n_i + item_prior)
        """

        def job(session: SparkSession) -> Path:
            rows = session.read.parquet(str(source))
            rows = rows.join(f.broadcast(session.read.parquet(str(known))), "item")
            of_users = rows.groupBy("user").agg(
                (f.sum(f.col("value") - f.col("bias")) / (f.count("*") + f.lit(user_prior))).alias("of_user")
            )
            left = rows.join(of_users, "user").groupBy("item")
            shrunk = f.sum(f.col("value") - f.col("of_user")) / (f.count("*") + f.lit(item_prior))
            return self._write(left.agg(shrunk.alias("bias")))

        return job

    def decayed_counts(self, source: Path) -> Callable[[Any], Path]:
        """Columns `item`, `count`: the sum of 2^-half_lives over its choices. `source`: `item`, `half_lives`."""

        def job(session: SparkSession) -> Path:
            rows = session.read.parquet(str(source))
            return self._write(rows.groupBy("item").agg(f.sum(f.pow(f.lit(2.0), -f.col("half_lives"))).alias("count")))

        return job

    def pairs(
        self, source: Path, norms: Path, *, decay: float | None, n_lags: int, width: int, n_neighbours: int
    ) -> Callable[[Any], tuple[Path, Path]]:
        """The strongest entries of every row of G, and for every target those of its right side; see `slim.py`.

        Columns `row`, `column`, `value` both. `source`: a column `items` with the choices of one user, oldest first.
        `norms`: columns `column`, `norm`; entries are compared by value / norm. Without a decay, G counts the users who
        chose both, and is the right side as well.
        """

        def job(session: SparkSession) -> tuple[Path, Path]:
            histories, by = session.read.parquet(str(source)), f.broadcast(session.read.parquet(str(norms)))
            summed = _pairs(histories, decay, n_lags).persist()
            try:
                directed = summed.select("older", "newer", "together")
                mirrored = summed.select(f.col("newer"), f.col("older"), f.col("together"))
                both = directed.union(mirrored).groupBy("older", "newer").agg(f.sum("together").alias("value"))
                gram = both.select(f.col("older").alias("row"), f.col("newer").alias("column"), "value")
                targets = gram
                if decay is not None:
                    sources = f.col("newer").alias("row"), f.col("older").alias("column"), f.col("next").alias("value")
                    targets = summed.select(*sources)
                return self._write(_strongest(gram, by, width)), self._write(_strongest(targets, by, n_neighbours))
            finally:
                summed.unpersist()

        return job

    def _write(self, rows: DataFrame) -> Path:
        target = self.folder / f"result-{uuid4().hex}"
        rows.write.parquet(str(target))
        return target


def _pairs(histories: DataFrame, decay: float | None, n_lags: int) -> DataFrame:
    """Columns `older`, `newer`, `together`, `next`: sums over all pairs of choices of a user, `n_lags` apart at most.

    As of `cooccurrence_kernel.py`, with weights of 1: together = decay^lag g, next = decay^(lag - 1), and of m choices
    with n newer ones g = 1 + decay^2 + ... + decay^(2 (n - 1)).
    """
    newer = histories.select("items", f.posexplode("items").alias("place", "newer"))
    first = f.greatest(f.col("place") - f.lit(n_lags - 1), f.lit(1))  # of the older ones, counted from 1
    older = f.slice(f.col("items"), first, f.col("place") - first + f.lit(1))
    pairs = newer.where("place > 0").select(
        "newer",
        (f.size("items") - f.col("place") - f.lit(1)).alias("n_newer"),
        (f.col("place") - first + f.lit(1)).alias("n_older"),
        f.posexplode(older).alias("at", "older"),
    )
    if decay is None:
        return pairs.groupBy("older", "newer").agg(f.count("*").cast("double").alias("together"))
    lag = f.col("n_older") - f.col("at")
    powers = f.pow(f.lit(decay), lag)
    if decay < 1:
        future = (f.lit(1.0) - f.pow(f.lit(decay * decay), f.col("n_newer"))) / f.lit(1.0 - decay * decay)
    else:
        future = f.col("n_newer").cast("double")
    together = f.when(lag < n_lags, powers * future).otherwise(0.0)
    return pairs.groupBy("older", "newer").agg(
        f.sum(together).alias("together"), f.sum(f.pow(f.lit(decay), lag - f.lit(1))).alias("next")
    )


def _strongest(entries: DataFrame, norms: DataFrame, n: int) -> DataFrame:
    """The n entries of every row with the largest value / norm of the column; equal ones by column."""
    compared = entries.where("value > 0").join(norms, "column")
    order = Window.partitionBy("row").orderBy((f.col("value") / f.col("norm")).desc(), "column")
    ranked = compared.withColumn("rank", f.row_number().over(order)).where(f.col("rank") <= n)
    return ranked.select("row", "column", f.col("value").cast("float").alias("value"))
