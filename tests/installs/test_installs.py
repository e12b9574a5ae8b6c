"""Fresh environments as `requirements-api.txt` and `pyproject.toml` describe them: their size, and what works in them.

Not part of `make test`: the environments are built anew, which takes the network or the cache of uv. `make installs`.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service import ROOT, Instance, write_ratings

MAX_KILOBYTES = 350 * 1024
PARAMETERS = {"user_id": "u1", "item_id": "i1", "guest_id": "u2", "version": "1", "name": "page", "chart": "popular"}
"""Values of the path parameters; `name` is of a placement and of an event type."""


def build_environment(folder: Path, *requirements: str) -> Path:
    """The interpreter of a new environment that holds these requirements, and nothing else."""
    uv = Path(sys.executable).with_name("uv")
    environment = os.environ | {"VIRTUAL_ENV": str(folder)}
    for command in (["venv", "--python", sys.executable, str(folder)], ["pip", "install", *requirements]):
        subprocess.run([uv, "--quiet", "--no-config", *command], cwd=ROOT, env=environment, check=True)
    return folder / "bin" / "python"


def importable(python: Path, *names: str) -> set[str]:
    program = f"from importlib.util import find_spec; print(*[name for name in {names} if find_spec(name)])"
    found = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    return set(found.stdout.split())


@pytest.fixture(scope="module")
def api_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without bytecode until a test runs it: its size is that of the packages."""
    folder = tmp_path_factory.mktemp("api") / "venv"
    return build_environment(folder, "--require-hashes", "--requirement", "requirements-api.txt")


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Instance:
    """Ratings and a live snapshot, made by the full environment."""
    folder = tmp_path_factory.mktemp("learned")
    instance = Instance(folder / "data")
    instance.run("migrate")
    instance.run("import", str(write_ratings(folder / "ratings.csv")))
    instance.run("train")
    return instance


def test_api_install_is_light(api_python: Path) -> None:
    packages = next(api_python.parents[1].glob("lib/python*/site-packages"))
    size = subprocess.run(["du", "-sk", packages], capture_output=True, text=True, check=True)  # noqa: S607  on any path
    assert int(size.stdout.split()[0]) <= MAX_KILOBYTES
    assert importable(api_python, "numba", "llvmlite", "pyarrow", "optuna", "psycopg", "faiss") == {"psycopg", "faiss"}


def test_api_install_serves(api_python: Path, learned: Instance) -> None:
    light = Instance(learned.data_dir, python=str(api_python))
    with light.serving("--no-worker") as service:
        service.call("PUT", "/event-types/page", {"weight": 1.0})
        service.call("PUT", "/placements/page", {})
        service.call("PUT", "/users/erased", {})
        service.call("DELETE", "/users/erased")
        job_id = service.call("POST", "/training-jobs", {})[1]["job_id"]
        statuses = service.get_every(PARAMETERS | {"job_id": job_id, "erasure_id": "latest", "import_id": "latest"})
        assert len(statuses) > 20
        assert {path: status for path, status in statuses.items() if status != 200} == {}
        assert service.get("/users/u1/recommendations")["strategy"] == "personalized"
        rated = service.items("u1")[0]
        for user_id in ("u1", "new"):
            assert service.call("POST", "/ratings", {"user_id": user_id, "item_id": rated, "value": 5})[0] == 201
            answer = service.get(f"/users/{user_id}/recommendations")
            assert answer["strategy"] == "fold_in"
            assert rated not in {item["item_id"] for item in answer["items"]}


def test_api_install_commands(api_python: Path, learned: Instance, tmp_path: Path) -> None:
    """Everything but learning works, on a database of its own."""
    light = Instance(tmp_path / "light", python=str(api_python))
    light.run("migrate")
    light.run("import", str(write_ratings(tmp_path / "ratings.csv")))
    assert "1:5" in light.run("scale", "show").stdout
    light.run("export", str(tmp_path / "export"))
    assert list((tmp_path / "export").iterdir())
    listed = Instance(learned.data_dir, python=str(api_python)).run("snapshots", "list")
    assert "live" in listed.stdout


@pytest.mark.parametrize("command", [("train",), ("worker",), ("serve", "--port", "0")], ids=lambda words: words[0])
def test_api_install_names_what_learns(api_python: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    light = Instance(tmp_path, python=str(api_python))
    light.run("migrate")
    done = light.run(*command, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "training needs numba" in done.stderr
    assert "requirements.txt" in done.stderr


def test_evaluation_names_what_learns(api_python: Path, tmp_path: Path) -> None:
    light = Instance(tmp_path, python=str(api_python))
    ratings = write_ratings(tmp_path / "ratings.csv")
    done = light.run("evaluate", str(ratings), "--algorithm", "funk_svd", check=False)
    assert (done.returncode, "learning needs numba" in done.stderr) == (1, True)


def test_install_without_extras_trains(tmp_path: Path) -> None:
    plain = build_environment(tmp_path / "venv", "--constraint", "requirements.txt", "--requirement", "pyproject.toml")
    assert importable(plain, "psycopg", "pyarrow", "optuna", "torch") == set()
    instance = Instance(tmp_path / "data", python=str(plain))
    instance.run("migrate")
    instance.run("import", str(write_ratings(tmp_path / "ratings.csv")))
    assert "is live" in instance.run("train").stdout
