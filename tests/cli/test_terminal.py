import pytest
import structlog

from app.cli import terminal
from app.cli.terminal import show_log, shown_progress


def test_lines_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", 0.0)
    with shown_progress() as progress:
        progress(0.25, "items")
    assert capsys.readouterr().err == " 25% items\n"


def test_quick_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress() as progress:
        progress(0.25, "items")
    assert capsys.readouterr().err == ""


def test_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with shown_progress() as progress:
        progress(0.25, "items")
    assert capsys.readouterr().out == ""


def test_quiet(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", 0.0)
    with shown_progress(is_quiet=True) as progress:
        progress(0.25, "items")
    assert capsys.readouterr().err == ""


LINES = """\
refitting > taste: 0.50 s, als epoch 8 of 8, n_ratings 1,000, weights (taste 0.3)
gate: passed
fitting: failed with FitDivergedError after 1.25 s
run started, trigger request
"""


def log_of_a_run() -> None:
    log = structlog.get_logger().bind(job_id=3, attempt=1)
    log.info("progress", stage="refitting", text="als epoch 7 of 8")
    figures = {"n_ratings": 1000, "weights": {"taste": 0.3}, "removed": []}
    log.info("stage finished", stage="refitting > taste", duration_seconds=0.5, last_text="als epoch 8 of 8", **figures)
    log.info("decision", stage="gate", decision="passed", rmse=0.8)
    log.info("stage failed", stage="fitting", duration_seconds=1.25, error="FitDivergedError")
    log.info("run started", trigger="request")


def test_log_as_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show_log()
    log_of_a_run()
    assert capsys.readouterr() == ("", LINES)


def test_log_above_the_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    show_log()
    with shown_progress() as progress:
        progress(0.25, "items")
        log_of_a_run()
    shown = capsys.readouterr().err
    assert all(line in shown for line in LINES.splitlines())
    assert "epoch 7 of 8" not in shown


def test_quiet_log_keeps_errors(capsys: pytest.CaptureFixture[str]) -> None:
    show_log(is_quiet=True)
    log_of_a_run()
    structlog.get_logger().error("run failed", exc_info=ZeroDivisionError("no ratings"))
    shown = capsys.readouterr().err
    assert shown.startswith("run failed\nZeroDivisionError: no ratings")
    assert "gate" not in shown
