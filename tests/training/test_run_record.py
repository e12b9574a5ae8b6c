"""What is kept of the log of a run."""

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from app.algorithms.progress import Stage, ignore
from app.training import run_record
from app.training.run_record import RunRecord


def test_decisions_and_ends() -> None:
    with capture_logs() as logged:
        record = RunRecord(structlog.get_logger(), clock=lambda: 7.0)
        whole = Stage(ignore, record)
        with whole.part("fitting") as stage:
            stage(0.5, "epoch 1 of 2")
            stage.decide("stopped early", rmse=np.float32(0.5), n=np.int64(3), lost=float("nan"))
            stage.note(n_ratings=4)
    decision, ended = record.entries
    assert (decision.at, decision.stage, decision.event, decision.text) == (7.0, "fitting", "decision", "stopped early")
    assert decision.figures == {"rmse": 0.5, "n": 3, "lost": "nan"}
    assert (ended.event, ended.figures) == ("finished", {"n_ratings": 4})
    assert ended.seconds is not None
    assert [entry["event"] for entry in logged] == ["decision", "stage finished"]


def test_failed_stage() -> None:
    record = RunRecord(structlog.get_logger())
    with pytest.raises(ZeroDivisionError), Stage(ignore, record).part("loading"):
        divmod(1, 0)
    assert [(entry.event, entry.text) for entry in record.entries] == [("failed", "ZeroDivisionError")]


def test_bounded() -> None:
    record = RunRecord(structlog.get_logger())
    for n in range(run_record.MAX_ENTRIES + 5):
        record.info("decision", stage="s", decision=str(n) + "x" * run_record.MAX_TEXT)
    assert len(record.entries) == run_record.MAX_ENTRIES
    assert {len(entry.text) for entry in record.entries} == {run_record.MAX_TEXT}
