"""Whole runs on Spark, and what they leave behind: nothing."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.store import Store, migrate
from app.training.spark_engine import run_folder
from tests.spark.support import drivers
from tests.support.service import Instance, wait_until
from tests.support.user_states import tasteful_ratings

SEGMENTS = [
    {"name": "rating", "algorithm": "biases", "hyperparameters": {"n_epochs": 2}},
    {"name": "taste", "algorithm": "als_implicit", "hyperparameters": {"n_factors": 8, "n_epochs": 3}},
    {"name": "popularity", "algorithm": "popularity"},
]


@pytest.fixture
def instance(tmp_path: Path, spark_conf: Path) -> Instance:
    migrate("", tmp_path)
    store = Store.open("", tmp_path)
    store.ratings.record(tasteful_ratings(n_users=200))
    store.close()
    (tmp_path / "recipe.json").write_text(json.dumps({"segments": SEGMENTS}))
    return Instance(tmp_path, settings={"RECKON_SPARK_MASTER": "local[2]", "SPARK_CONF_DIR": str(spark_conf)})


def test_train(instance: Instance) -> None:
    recipe = str(instance.data_dir / "recipe.json")
    # Two rounds of biases are quick, and not as good as the fifteen that the gate compares with.
    options = ("--engine", "spark", "--recipe", recipe, "--accept", "--json")
    done = instance.run("train", *options, timeout_seconds=400)
    assert json.loads(done.stdout)["is_live"]
    (entry,) = json.loads(instance.run("snapshots", "list", "--json").stdout)
    card = entry["card"]
    assert card["requested_recipe"]["engine"] == card["recipe"]["engine"] == "spark"
    assert any("learned on Spark" in choice and "taste" in choice for choice in card["choices"])
    assert card["metrics"]["snapshot"]["ndcg@10"] > card["metrics"]["bestsellers"]["ndcg@10"]
    assert not (instance.data_dir / "spark").exists()


def test_interrupted_while_spark_runs(instance: Instance) -> None:
    with started(instance) as (process, of_java):
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 130
    assert not Path(f"/proc/{of_java}").exists()
    assert not (instance.data_dir / "spark").exists()


def test_killed_while_spark_runs(instance: Instance) -> None:
    """Its JVM ends by itself, and the next run removes the folder."""
    with started(instance) as (process, of_java):
        process.kill()
        process.wait()
    wait_until(lambda: not Path(f"/proc/{of_java}").exists())
    assert [*(instance.data_dir / "spark").glob("run-*")]
    with run_folder(instance.data_dir / "spark") as folder:
        assert [*(instance.data_dir / "spark").iterdir()] == [folder]
    assert not [*(instance.data_dir / "spark").iterdir()]


@contextmanager
def started(instance: Instance) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A run, and its JVM, as soon as that is there."""
    with instance.start("train", "--engine", "spark", "--recipe", str(instance.data_dir / "recipe.json")) as process:
        try:
            wait_until(lambda: bool(drivers(process.pid)))
            (of_java,) = drivers(process.pid)
            yield process, of_java
        finally:
            process.kill()


def test_folder_of_a_living_run_stays(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\nfrom app.training.spark_engine import run_folder\n"
        "with run_folder(pathlib.Path(sys.argv[1])):\n    print('open', flush=True)\n    sys.stdin.read()"
    )
    command = [Instance(tmp_path).python, "-c", program, str(tmp_path / "spark")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with run_folder(tmp_path / "spark"):
            assert len([*(tmp_path / "spark").glob("run-*")]) == 2
        assert len([*(tmp_path / "spark").glob("run-*")]) == 1
        other.communicate()
    assert not [*(tmp_path / "spark").iterdir()]
