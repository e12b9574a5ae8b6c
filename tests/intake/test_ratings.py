from typing import Any

import numpy as np
import pytest

from app.entities import UNKNOWN_TIME, RatingScale
from app.intake.blocks import Block
from app.intake.cells.values import ValueCache
from app.intake.ratings import RatingReader, ReadRatings

NOW = 1_700_000_000_000_000


def read(rows: list[tuple[Any, Any, Any, Any]], scale: RatingScale | None = None) -> ReadRatings:
    names = ("user_id", "item_id", "value", "rated_at")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return RatingReader(NOW).read(Block("file.csv", columns, range(2, 2 + len(rows))), scale)


def test_whole_block() -> None:
    result = read([("u1", "i1", "4.5", "1600000000"), ("u2", "i1", "3", "1600000001")])
    assert result.rejected == []
    assert result.ratings.user_id == ["u1", "u2"]
    assert result.ratings.item_id == ["i1", "i1"]
    assert result.ratings.value.tolist() == [4.5, 3.0]
    assert result.ratings.rated_at.tolist() == [1600000000000000, 1600000001000000]


def test_no_times() -> None:
    block = Block("file.csv", {"user_id": ["u"], "item_id": ["i"], "value": ["1"]}, [1])
    assert RatingReader(NOW).read(block).ratings.rated_at.tolist() == [UNKNOWN_TIME]


def test_times_mixed() -> None:
    result = read([("u", "i", "1", ""), ("u", "i", "1", "1600000000"), ("u", "i", "1", "1600000000000")])
    assert result.ratings.rated_at.tolist() == [UNKNOWN_TIME, 1600000000000000, 1600000000000000]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("", "i", "4", "1"), "user_id: an id must have 1 to 128 characters, not 0"),
        (("u" * 10_000, "i", "4", "1"), "user_id: an id must have 1 to 128 characters, not 10000"),
        (("u", "nul\0", "4", "1"), "item_id: an id must not contain control characters or surrogates"),
        (
            ("u", "\udcff", "4", "1"),
            "item_id: '\\udcff' is not UTF-8: where the file is Latin-1, add --encoding latin-1",
        ),
        (("u", "\ud800", "4", "1"), "item_id: an id must not contain control characters or surrogates"),
        (("u", "i", "nan", "1"), "value: the rating is missing"),
        (("u", "i", "inf", "1"), "value: 'inf' is not a number"),
        (("u", "i", "1e999", "1"), "value: '1e999' is not a finite number"),
        (("u", "i", "good", "1"), "value: 'good' is not a number"),
        (("u", "i", str(2**63), "1"), "value: '9223372036854775808' is not a rating: it is beyond 9.01e+15"),
        (("u", "i", "6", "1"), "value: is not on the rating scale 1:5:1; `reckon scale set MIN:MAX` changes it"),
        (("u", "i", "4.5", "1"), "value: is not on the rating scale 1:5:1; `reckon scale set MIN:MAX` changes it"),
        (
            ("u", "i", "4", str(2**63)),
            "rated_at: '9223372036854775808' is not a time: it is beyond the range of epoch numbers",
        ),
        (("u", "i", "4", "1700000301"), "rated_at: is more than 5 minutes in the future"),
    ],
)
def test_bad_row_rejected(row: tuple[str, str, str, str], reason: str) -> None:
    good = ("u", "i", "4", "1700000299")
    result = read([good, row, good], RatingScale(1, 5, 1))
    assert len(result.ratings) == 2
    assert [(rejected.line, rejected.reason) for rejected in result.rejected] == [(3, reason)]


def test_rejected_row_shown() -> None:
    (rejected,) = read([("a,b", "i", "x", None)]).rejected
    assert rejected.row == '"a,b",i,x,'


def test_json_types_kept_apart() -> None:
    result = read([("u", 1, 1, None), ("u", True, 1.0, None), ("u", 1.0, True, None), ("u", [1], 2, None)])
    assert result.ratings.item_id == ["1"]
    assert [rejected.reason.split(":")[0] for rejected in result.rejected] == ["item_id", "item_id", "item_id"]
    (rejected,) = read([("u", "i", True, None)], RatingScale(1, 5)).rejected
    assert rejected.reason == "value: is no grade, and values here are 1:5"


def test_values_alone() -> None:
    block = Block("file.csv", {"value": ["1", "x", "nan", "2.5"]}, range(4))
    np.testing.assert_array_equal(RatingReader(NOW).values(block), [1.0, 2.5])


def test_memory_stays_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ValueCache, "capacity", 3)
    value_cache = ValueCache(int, frozenset({str}))
    assert list(value_cache.convert_column([str(n) for n in range(100)])) == list(range(100))
    assert len(value_cache) <= 3


def test_set_aside() -> None:
    """Rows without a rating are neither ratings nor rejected, whatever the spelling of the value."""
    values = ["0", "0.0", 0, 0.0, " n/a ", "-1", "11", "7", False]
    block = Block("file.csv", {"user_id": ["u"] * 9, "item_id": ["i"] * 9, "value": values}, range(2, 11))
    reader = RatingReader(NOW, frozenset({"0", "n/a"}))
    result = reader.read(block, RatingScale(1, 10), np.array([-1.0]))
    assert (result.ratings.value.tolist(), result.n_set_aside, result.off_scale) == ([7.0], 6, [(11.0, 8)])
    assert [row.line for row in result.rejected] == [8, 10]
    assert reader.values(block).tolist() == [-1.0, 11.0, 7.0, 0.0]
