import json
import re
from pathlib import Path

import pytest

from app.store import Store, migrate
from tests.support.service import Instance
from tests.support.user_states import tasteful_ratings


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    migrate("", tmp_path)
    store = Store.open("", tmp_path)
    store.ratings.record(tasteful_ratings(n_users=200))
    store.close()
    return Instance(tmp_path)


def test_trains_and_says_so(instance: Instance) -> None:
    done = instance.run("train")
    assert "is live" in done.stdout
    assert "ndcg@10" in done.stdout
    assert "bestsellers" in done.stdout


def test_stages_and_decisions_on_errors(instance: Instance) -> None:
    done = instance.run("train")
    lines = done.stderr.splitlines()
    assert any(re.fullmatch(r"loading: \d+\.\d\d s, n_users 200, .*", line) for line in lines)
    assert any(line.startswith("evaluating > gate: passed alone: rmse") for line in lines)
    # The card's choices are printed last, and each was shown as a decision when it was made.
    choices = done.stdout.split("biases")[-1].splitlines()[1:]
    assert choices
    assert all(any(line.endswith(choice) for line in lines) for choice in choices)


def test_json_alone_on_output(instance: Instance) -> None:
    done = instance.run("train", "--json", "--seed", "3", "--algorithm", "funk_svd", "--param", "n_factors=8")
    assert done.stderr == ""
    outcome = json.loads(done.stdout)
    assert outcome["state"] == "succeeded"
    assert outcome["is_live"] is True
    assert outcome["metrics"]["snapshot"]["ndcg@10"] > 0


def test_rejection_is_exit_code(instance: Instance) -> None:
    instance.run("train")
    unlearned = ("--algorithm", "funk_svd", "--param", "learning_rate=0")
    done = instance.run("train", *unlearned, "--json", check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["state"] == "rejected"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--algorithm", "magic"), "funk_svd"),
        (("--algorithm", "funk_svd", "--param", "factors=3"), "n_factors"),
        (("--algorithm", "funk_svd", "--param", "n_factors=x"), "n_factors"),
        (("--param", "n_factors=3"), "--algorithm"),
        (("--recipe", "missing.json"), "missing.json"),
    ],
)
def test_unknown_settings_name_right_ones(instance: Instance, options: tuple[str, ...], named: str) -> None:
    done = instance.run("train", *options, check=False)
    assert done.returncode == 1
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_no_ratings(tmp_path: Path) -> None:
    migrate("", tmp_path)
    done = Instance(tmp_path).run("train", check=False)
    assert done.returncode == 1
    assert "no ratings" in done.stdout


def test_recipe_from_file(instance: Instance, tmp_path: Path) -> None:
    segments = [{"name": "rating", "algorithm": "biases"}, {"name": "taste", "algorithm": "als_implicit"}]
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"segments": [*segments, {"name": "popularity", "algorithm": "popularity"}]}))
    done = instance.run("train", "--recipe", str(recipe), "--json")
    version = json.loads(done.stdout)["snapshot_version"]
    shown = instance.run("snapshots", "list", "--json", check=False)
    assert str(version) in shown.stdout
