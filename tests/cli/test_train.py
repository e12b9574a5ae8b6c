import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from app.store import Store, migrate
from tests.support.commands import Finished, reckon
from tests.support.ratings import incoming
from tests.support.service import Instance
from tests.support.user_states import tasteful_ratings

pytestmark = pytest.mark.slow

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def rated_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rated")
    migrate("", folder)
    store = Store.open("", folder)
    store.ratings.record(tasteful_ratings(n_users=200))
    store.close()
    return folder


@pytest.fixture
def rated(rated_folder: Path, tmp_path: Path) -> Instance:
    shutil.copytree(rated_folder, tmp_path, dirs_exist_ok=True)
    return Instance(tmp_path)


@pytest.fixture(scope="module")
def trained(rated_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Instance, Done]:
    """An instance in which one process has trained, and what it said."""
    instance = Instance(shutil.copytree(rated_folder, tmp_path_factory.mktemp("trained"), dirs_exist_ok=True))
    return instance, instance.run("train")


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For commands in this process."""
    monkeypatch.setenv("RECKON_DATA_DIR", str(tmp_path))


def in_this_process(*options: object) -> Finished:
    done = reckon("train", *options)
    assert "Traceback" not in done.errors
    return done


def test_trains_and_says_so(trained: tuple[Instance, Done]) -> None:
    _, done = trained
    assert "is live" in done.stdout
    assert "ndcg@10" in done.stdout
    assert "bestsellers" in done.stdout
    assert "\nweights      rating " in done.stdout


def test_stages_and_decisions_on_errors(trained: tuple[Instance, Done]) -> None:
    _, done = trained
    lines = done.stderr.splitlines()
    assert any(re.fullmatch(r"loading: \d+\.\d\d s, n_users 200, .*", line) for line in lines)
    assert any(line.startswith("evaluating > gate: passed alone: rmse") for line in lines)
    # The card's choices are printed last, and each was shown as a decision when it was made.
    choices = done.stdout.split("biases")[-1].splitlines()[1:]
    assert choices
    assert all(any(line.endswith(choice) for line in lines) for choice in choices)


def test_json_alone_on_output(rated: Instance) -> None:
    done = rated.run("train", "--json", "--seed", "3", "--algorithm", "funk_svd", "--param", "n_factors=8")
    assert done.stderr == ""
    outcome = json.loads(done.stdout)
    assert outcome["state"] == "succeeded"
    assert outcome["is_live"] is True
    assert outcome["metrics"]["snapshot"]["ndcg@10"] > 0


@pytest.mark.usefixtures("environment")
def test_rejections_and_the_way_out(trained: tuple[Instance, Done], tmp_path: Path) -> None:
    """The first is an exit code, the second a warning everywhere, and `--accept` ends both."""
    instance = Instance(shutil.copytree(trained[0].data_dir, tmp_path, dirs_exist_ok=True))
    unlearned = ("--algorithm", "funk_svd", "--param", "learning_rate=0")
    first = in_this_process(*unlearned, "--json")
    assert first.exit_code == 1
    outcome = json.loads(first.output.splitlines()[-1])
    assert (outcome["state"], outcome["warning"]) == ("rejected", None)
    assert "--accept" in outcome["advice"]
    second = in_this_process(*unlearned)
    assert second.exit_code == 1
    rejected, warning, advice = second.output.splitlines()[-3:]
    assert rejected.startswith("rejected: rmse ")
    assert warning.startswith("warning: the last 2 training runs were rejected, and snapshot 1 of ")
    assert advice.startswith("what to do: ")
    assert "`reckon train --accept`" in advice
    with instance.serving("--no-worker") as service:
        (told,) = service.get("/readyz")["warnings"]
        assert [f"warning: {told['reason']}", f"what to do: {told['advice']}"] == [warning, advice]
        assert f"{warning}\n{advice}\n" in instance.log_path.read_text()
        accepted = in_this_process(*unlearned, "--accept").output
        assert "snapshot 2 is live\naccepted " in accepted
        assert service.get("/readyz")["warnings"] == []
        (newest, _) = service.get("/snapshots")["snapshots"]
        assert newest["card"]["accepted"]["reason"] in accepted
    assert "although rmse " in reckon("snapshots", "list").output.splitlines()[1]


@pytest.mark.usefixtures("environment")
def test_fallback_is_a_warning(tmp_path: Path) -> None:
    migrate("", tmp_path)
    store = Store.open("", tmp_path)
    store.ratings.record(incoming(("ann", "tea", 4)))
    store.close()
    done = in_this_process("--strict")
    assert done.exit_code == 1
    for lines in (done.output, reckon("snapshots", "list").output):
        assert "warning: lists hold popular items alone: there are too few ratings" in lines
        assert "what to do: " in lines


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
@pytest.mark.usefixtures("environment", "rated")
def test_unknown_settings_name_right_ones(options: tuple[str, ...], named: str) -> None:
    done = in_this_process(*options)
    assert done.exit_code == 1
    assert named in done.errors


@pytest.mark.usefixtures("environment")
def test_no_ratings(tmp_path: Path) -> None:
    migrate("", tmp_path)
    done = in_this_process()
    assert done.exit_code == 1
    assert "no ratings" in done.output


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("depth", [300, 100_000])
def test_nested_recipe(tmp_path: Path, depth: int) -> None:
    migrate("", tmp_path)
    recipe = tmp_path / "recipe.json"
    recipe.write_text('{"segments": ' + "[" * depth + "]" * depth + "}")
    done = in_this_process("--recipe", recipe)
    assert done.exit_code == 1
    assert done.errors.startswith("reckon: ")


@pytest.mark.usefixtures("environment", "rated")
def test_recipe_from_file(tmp_path: Path) -> None:
    segments = [{"name": "rating", "algorithm": "biases"}, {"name": "taste", "algorithm": "als_implicit"}]
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"segments": [*segments, {"name": "popularity", "algorithm": "popularity"}]}))
    # Here the log is on the same output.
    outcome = json.loads(in_this_process("--recipe", recipe, "--json").output.splitlines()[-1])
    (card,) = json.loads(reckon("snapshots", "list", "--json").output)
    assert card["version"] == outcome["snapshot_version"]
    assert [segment["algorithm"] for segment in card["card"]["segments"]] == ["biases", "als_implicit", "popularity"]
