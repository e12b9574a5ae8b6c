"""`reckon demo` on a file of one's own, twice."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from app.cli.demo import COMPLETE
from tests.support.service import ROOT, write_ratings


def demo(data: Path, var: Path) -> str:
    """What it prints until it says how to stop it; stopped then as by Ctrl-C."""
    command = [sys.executable, "-m", "app.cli", "demo", str(data), "--var", str(var)]
    environment = os.environ | {"RECKON_PORT": "0"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    printed = ""
    if process.stdout is not None:
        with process.stdout:
            for line in process.stdout:
                printed += line
                if "Ctrl-C" in line:
                    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    return printed


def test_second_start_reuses_all(tmp_path: Path) -> None:
    data = write_ratings(tmp_path / "mine.csv")
    first = demo(data, tmp_path / "var")
    assert "1,080 stored" in first
    assert "snapshot 1 is live" in first
    assert '"value": 5.0' in first
    data.unlink()
    second = demo(data, tmp_path / "var")
    assert "stored" not in second
    assert "/users/you/recommendations" in second


def test_lost_database_is_reported_once(tmp_path: Path) -> None:
    """A restart would not bring it back, so no process is started."""
    data_dir = tmp_path / "demo-mine"
    data_dir.mkdir()
    (data_dir / COMPLETE).touch()
    command = [sys.executable, "-m", "app.cli", "demo", str(tmp_path / "mine.csv"), "--var", str(tmp_path)]
    environment = os.environ | {"RECKON_PORT": "0"}
    refused = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (refused.returncode, refused.stderr) == (1, "reckon: the database is empty: run `reckon migrate`\n")
