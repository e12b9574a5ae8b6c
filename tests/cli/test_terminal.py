import pytest

from app.cli import terminal
from app.cli.terminal import shown_progress


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
