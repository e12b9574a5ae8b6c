from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from structlog.testing import CapturingLogger

from app.algorithms import progress
from app.algorithms.progress import Stage, ignore, report_epoch


class Listener:
    def __init__(self) -> None:
        self.reports: list[tuple[float, str]] = []
        self.log = CapturingLogger()
        self.whole = Stage(lambda share, text: self.reports.append((share, text)), self.log)

    def events(self, name: str, level: str = "info") -> list[dict[str, object]]:
        return [call.kwargs for call in self.log.calls if call.args == (name,) and call.method_name == level]


def test_parts_follow_one_another() -> None:
    listener = Listener()
    with listener.whole.part("fitting", 0.5) as fitting:
        with fitting.part("als", 0.5) as als:
            als(0.5, "als epoch 1 of 2")
        with fitting.part("biases") as biases:
            biases(0.5, "biases epoch 1 of 2")
    with listener.whole.part("writing"):
        pass
    assert listener.reports == [
        (0.0, "fitting"),
        (0.0, "fitting: als"),
        (0.125, "fitting: als epoch 1 of 2"),
        (0.25, "fitting: biases"),
        (0.375, "fitting: biases epoch 1 of 2"),
        (0.5, "writing"),
    ]


def test_share_never_falls() -> None:
    listener = Listener()
    with listener.whole.part("fitting") as stage:
        for share in (0.5, 0.25, 1.5):
            stage(share, "")
    assert [share for share, _ in listener.reports] == [0, 0.5, 0.5, 1]


def test_end_is_logged_once_with_figures() -> None:
    listener = Listener()
    with listener.whole.part("fitting") as outer, outer.part("als", n_factors=8) as stage:
        stage(1.0, "als epoch 2 of 2")
        stage.note(rmse=0.8)
    inner, whole = listener.events("stage finished")
    assert inner.pop("duration_seconds") >= 0  # type: ignore[operator]  # a number of seconds
    assert inner == {"stage": "fitting > als", "n_factors": 8, "rmse": 0.8, "last_text": "als epoch 2 of 2"}
    assert whole["stage"] == "fitting"


def test_failure_is_logged_and_raised() -> None:
    listener = Listener()
    with pytest.raises(ZeroDivisionError), listener.whole.part("fitting"):
        raise ZeroDivisionError
    assert [event["error"] for event in listener.events("stage failed")] == ["ZeroDivisionError"]
    assert listener.events("stage finished") == []


def test_decision_is_logged_and_returned() -> None:
    listener = Listener()
    with listener.whole.part("gate") as stage:
        assert stage.decide("passed", rmse=0.8) == "passed"
    assert listener.events("decision") == [{"stage": "gate", "decision": "passed", "rmse": 0.8}]


@pytest.mark.parametrize(("seconds", "n_shown"), [(0.0, 10), (3600.0, 0)])
def test_epochs_do_not_flood(monkeypatch: pytest.MonkeyPatch, seconds: float, n_shown: int) -> None:
    monkeypatch.setattr(progress, "LOGGED_SECONDS", seconds)
    listener = Listener()
    with listener.whole.part("fitting") as stage:
        for epoch in range(200):
            report_epoch(stage, "als", epoch, 200)
    assert len(listener.events("progress")) == pytest.approx(n_shown, abs=1)
    assert len(listener.events("progress")) + len(listener.events("progress", "debug")) == 200
    assert listener.events("stage finished")[0]["last_text"] == "als epoch 200 of 200"


def test_plain_callback_has_no_log() -> None:
    reports: list[float] = []
    stage = Stage.from_progress(lambda share, _: reports.append(share))
    with stage.part("fitting", 0.5):
        assert Stage.from_progress(stage) is stage
    with stage.part("writing"):
        pass
    assert reports == [0, 0.5]


def test_end_of_a_part_reports_nothing() -> None:
    """A listener may raise, which must not undo what the part has completed."""
    reports: list[str] = []
    stage = Stage(lambda _, text: reports.append(text))
    with stage.part("registering"):
        reports.clear()
    assert reports == []


def test_parts_run_in_a_context() -> None:
    entered: list[str] = []

    @contextmanager
    def around(path: str) -> Iterator[None]:
        entered.append(path)
        yield
        entered.append(f"end of {path}")

    with Stage(ignore, around=around).part("fitting") as outer, outer.part("als"):
        pass
    assert entered == ["fitting", "fitting > als", "end of fitting > als", "end of fitting"]
