"""`reckon demo` on a file of one's own: twice, and after an edit."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.demo import COMPLETE, key_of
from tests.support.service import ROOT, write_ratings

pytestmark = pytest.mark.slow

DEAD_PROXY = "http://127.0.0.1:9"
"""A proxy of the environment has no part in requests to this machine."""


def demo(data: Path, var: Path) -> str:
    """What it prints until it says how to stop it; stopped then as by Ctrl-C."""
    command = [sys.executable, "-m", "app.cli", "demo", str(data), "--var", str(var)]
    environment = os.environ | {"RECKON_PORT": "0", "http_proxy": DEAD_PROXY, "all_proxy": DEAD_PROXY, "no_proxy": ""}
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
    assert process.wait(120) == 0
    return printed


def test_second_start_reuses_all(tmp_path: Path) -> None:
    data = write_ratings(tmp_path / "mine.csv")
    first = demo(data, tmp_path / "var")
    assert "1,080 stored" in first
    assert "snapshot 1 is live" in first
    assert '"value": 5.0' in first
    second = demo(data, tmp_path / "var")
    assert "stored" not in second
    assert "/users/you/recommendations" in second
    with data.open("a") as file:
        file.write("new,i0,5,1700000000\n")
    assert "1,081 stored" in demo(data, tmp_path / "var")


def test_lost_database_is_reported_once(tmp_path: Path) -> None:
    """A restart would not bring it back, so no process is started."""
    data = write_ratings(tmp_path / "mine.csv")
    data_dir = tmp_path / "var" / f"demo-mine-{key_of(data, tmp_path / 'var')}"
    data_dir.mkdir(parents=True)
    (data_dir / COMPLETE).touch()
    command = [sys.executable, "-m", "app.cli", "demo", str(data), "--var", str(tmp_path / "var")]
    environment = os.environ | {"RECKON_PORT": "0"}
    refused = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert (refused.returncode, refused.stderr) == (1, "reckon: the database is empty: run `reckon migrate`\n")
