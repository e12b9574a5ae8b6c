import pytest

from app.cli import progress
from app.cli.progress import shown_progress


def test_lines_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with shown_progress() as tell:
        tell(0.25, "items")
    assert capsys.readouterr().err == " 25% items\n"


def test_quick_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress() as tell:
        tell(0.25, "items")
    assert capsys.readouterr().err == ""


def test_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with shown_progress() as tell:
        tell(0.25, "items")
    assert capsys.readouterr().out == ""


def test_quiet(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with shown_progress(is_quiet=True) as tell:
        tell(0.25, "items")
    assert capsys.readouterr().err == ""
