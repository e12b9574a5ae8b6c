"""What Spark needs, and what its errors say to an operator; no Spark is needed."""

import shutil
from pathlib import Path

import pytest

from app.training import spark_errors
from app.training.engines import open_engine
from app.training.errors import TrainingFailedError
from app.training.spark_errors import SparkOptions, failure

CLUSTER = SparkOptions("spark://cluster:7077", "/shared")

EXECUTOR_LOST = (
    "An error occurred while calling o98.parquet.\n"
    ": org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 1.0 failed 4 times, most "
    "recent failure: Lost task 0.3 in stage 1.0 (TID 7): ExecutorLostFailure (executor 3 exited caused by one of the "
    "running tasks) Reason: Command exited with code 52"
)
GONE = "An error occurred while trying to connect to the Java server (127.0.0.1:40573)"


@pytest.fixture
def everything_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_errors, "find_spec", lambda _name: object())
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")


def problem_of(options: SparkOptions) -> TrainingFailedError:
    with pytest.raises(TrainingFailedError) as raised:
        options.check()
    return raised.value


@pytest.mark.usefixtures("everything_is_there")
def test_nothing_is_missing() -> None:
    SparkOptions().check()
    CLUSTER.check()


@pytest.mark.usefixtures("everything_is_there")
def test_without_pyspark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spark_errors, "find_spec", lambda name: None if name == "pyspark" else object())
    assert "pip install 'reckon[spark]'" in problem_of(SparkOptions()).advice
    with (
        pytest.raises(TrainingFailedError, match="pyspark, which is not installed"),
        open_engine("spark", SparkOptions(), tmp_path),
    ):
        pass
    with open_engine("local", SparkOptions(), tmp_path) as engine:
        assert engine is None
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("everything_is_there")
def test_without_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert "apt-get install default-jre-headless" in problem_of(SparkOptions()).advice
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    problem_of(SparkOptions())
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").touch()
    SparkOptions().check()


@pytest.mark.usefixtures("everything_is_there")
def test_cluster_needs_a_shared_folder() -> None:
    assert "RECKON_SPARK_FOLDER" in problem_of(SparkOptions("spark://cluster:7077")).advice


@pytest.mark.parametrize(
    ("text", "log", "options", "reason", "advice"),
    [
        (EXECUTOR_LOST, "", CLUSTER, "an executor ran out of memory", "spark.executor.memory"),
        (EXECUTOR_LOST, "", SparkOptions("local-cluster[2,1,1024]"), "an executor", "spark.executor.memory"),
        (
            "java.lang.OutOfMemoryError: Java heap space",
            "",
            SparkOptions(),
            "the driver ran out",
            "spark.driver.memory",
        ),
        (GONE, "java.lang.OutOfMemoryError: Java heap space", CLUSTER, "the driver ran out", "spark.driver.memory"),
        (GONE, "INFO all is well", CLUSTER, "the driver's Java process ended", "spark.driver.memory"),
        ("bigger than spark.driver.maxResultSize (1024.0 MiB)", "", CLUSTER, "larger than", "maxResultSize"),
        ("Application has been killed. Reason: All masters are unresponsive!", "", CLUSTER, "master", "RECKON_SPARK_M"),
        (
            "x\n: java.io.FileNotFoundException: /a/b\n\tat y",
            "exited with code 52",
            CLUSTER,
            "NotFound",
            "log of Spark",
        ),
    ],
)
def test_reasons(text: str, log: str, options: SparkOptions, reason: str, advice: str) -> None:
    error = failure(text, log, options)
    assert reason in error.detail
    assert advice in error.advice
    assert len(error.detail) < 350
