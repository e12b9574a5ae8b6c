"""Parts of blocks."""

import pytest

from app.intake import blocks
from app.intake.blocks import Block, RejectedRow

REJECTED = RejectedRow("t", 9, "broken", "")
BLOCK = Block(
    "t", {"a": [None, "y", None], "b": [1, None, 3]}, [2, 4, 6], [REJECTED], nulls={"a": [0, 2], "b": [1]}
)  # fmt: skip


def test_selected_rows() -> None:
    """Each keeps its line and its nulls."""
    chosen = BLOCK.select([2, 1])
    assert chosen.columns == {"a": [None, "y"], "b": [3, None]}
    assert (chosen.lines, chosen.nulls) == ([6, 4], {"a": [0], "b": [1]})


def test_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "ROWS_PER_BLOCK", 2)
    first, second = BLOCK.parts()
    assert [(part.lines, part.nulls, part.rejected) for part in (first, second)] == [
        ([2, 4], {"a": [0], "b": [1]}, [REJECTED]),
        ([6], {"a": [0], "b": []}, []),
    ]
