"""The faults of snapshots in their smallest size. `make faults` runs them until they are proven."""

from pathlib import Path

import pytest

from faults import damaged_snapshots, publish_crashes
from faults.trial import Run, Trial


@pytest.mark.parametrize("run", [damaged_snapshots.run, publish_crashes.run])
def test_figures_are_reached(tmp_path: Path, run: Run) -> None:
    assert [figure for figure in run(Trial(tmp_path, 1, "test")) if not figure.is_reached] == []
