"""The client as its callers install it: its own wheel, without the service."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "app" / "client"

PROGRAM = """
import sys
sys.modules["app"] = None  # importing it fails
from reckon_client import AsyncReckon, FakeReckon, Rating, Reckon, __version__
import reckon_client
with Reckon(sys.argv[1]) as reckon:
    reckon.rate_many([Rating("ann", "x", 4), Rating("bob", "y", 5)])
    print(__version__, [item.item_id for item in reckon.recommendations("ann")])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built offline, by the build backend that is installed here."""
    made = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(made)]
    subprocess.run(command, cwd=FOLDER, check=True, capture_output=True)
    (found,) = made.iterdir()
    return found


def test_wheel_stands_alone(wheel: Path, tmp_path: Path, address: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-c", PROGRAM, address]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("0.1.0 ['y']\n", "")


def test_wheel_is_complete(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {
            name.removeprefix("reckon_client/") for name in archive.namelist() if name.startswith("reckon_client/")
        }
        (metadata,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("METADATA"))
    assert packed == {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.py")} | {"py.typed"}
    assert [line for line in metadata.splitlines() if line.startswith("Requires-Dist")] == [
        "Requires-Dist: httpx<1,>=0.28",
        "Requires-Dist: msgspec<1,>=0.20",
    ]
