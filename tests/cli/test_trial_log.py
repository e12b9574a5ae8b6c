"""The file of trials: whole lines, whatever ends the process."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.cli.trial_log import TrialLog
from app.errors import InvalidInputError
from app.evaluation.search import Trial
from app.evaluation.tuning import Task

TASK = Task("funk_svd", "rmse", "f00d", "none", "folds:3", 0, 4.0)
GOOD = Trial({"n_factors": 4, "biased": True, "regularization": 0.1}, 0.9, (0.8, 1.0), 1.5)
BAD = Trial({"n_factors": 8, "biased": True, "regularization": 0.1}, None, None, 0.5, "diverged")


@pytest.fixture
def log(tmp_path: Path) -> TrialLog:
    return TrialLog(tmp_path / "results.jsonl")


def test_kept_as_they_are(log: TrialLog) -> None:
    assert log.trials_of(TASK) == {}
    log.append(TASK, GOOD)
    log.append(TASK, BAD)
    assert log.trials_of(TASK) == {GOOD.key: GOOD, BAD.key: BAD}
    assert [json.loads(line)["value"] for line in log.path.read_text().splitlines()] == [0.9, None]


def test_other_tasks_are_others(log: TrialLog) -> None:
    log.append(TASK, GOOD)
    for changed in ({"seed": 1}, {"data": "cafe"}, {"split": "folds:4"}, {"metric": "mae"}, {"relevant_from": 3.0}):
        assert log.trials_of(replace(TASK, **changed)) == {}


@pytest.mark.parametrize("kept", [1, 30, -1])
def test_torn_last_line(log: TrialLog, kept: int) -> None:
    log.append(TASK, GOOD)
    whole = log.path.read_bytes()
    log.path.write_bytes(whole + whole[:kept])
    assert log.trials_of(TASK) == {GOOD.key: GOOD}
    log.append(TASK, BAD)
    assert log.trials_of(TASK) == {GOOD.key: GOOD, BAD.key: BAD}


@pytest.mark.parametrize(
    "content", ["user,item,rating\n1,2,3\n", '{"a": 1}\n', "[1]\n", "precious", '{"a": 1', "[" * 99_999 + "\n"]
)
def test_files_of_something_else(log: TrialLog, content: str) -> None:
    log.path.write_text(content)
    with pytest.raises(InvalidInputError, match="is not a file of trials"):
        log.trials_of(TASK)
    assert log.path.read_text() == content


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot be written"):
        TrialLog(tmp_path / "none" / "results.jsonl").append(TASK, GOOD)
