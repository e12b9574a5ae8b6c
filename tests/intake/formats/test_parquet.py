import datetime as dt
import decimal
from pathlib import Path
from typing import Any

import pytest

from app.errors import InvalidInputError
from app.intake.layouts import recognise
from app.intake.ratings import RatingReader
from tests.support.archives import ARCHIVERS, COMPRESSORS

pa = pytest.importorskip("pyarrow", reason="needs the extra `parquet`")
pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra `parquet`")

NOW = 1_700_000_000_000_000
MOMENT = dt.datetime(2009, 12, 14, 2, 52, 24, 5, tzinfo=dt.UTC)


def write(tmp_path: Path, columns: dict[str, Any]) -> Path:
    path = tmp_path / "ratings.parquet"
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_ratings(tmp_path: Path, unit: str) -> None:
    times = pa.array([MOMENT, None], pa.timestamp(unit, tz="UTC"))
    path = write(
        tmp_path, {"user": [1, 2], "item": ["a", "b"], "rating": [decimal.Decimal("4.5"), None], "date": times}
    )
    (block,) = recognise(path).tables[0].blocks()
    result = RatingReader(NOW).read(block)
    assert (result.ratings.user_id, result.ratings.item_id) == (["1"], ["a"])
    assert result.ratings.value.tolist() == [4.5]
    assert result.ratings.rated_at.tolist() == [1260759144000000 if unit == "ms" else 1260759144000005]
    assert [(row.line, row.reason) for row in result.rejected] == [(2, "value: the rating is missing")]


@pytest.mark.parametrize("packed", ["zip", "tar", "7z", "gz"])
def test_in_archive(tmp_path: Path, packed: str) -> None:
    path = write(tmp_path, {"user": ["u"], "item": ["i"], "rating": [4]})
    pack = COMPRESSORS.get(packed) or (lambda data: ARCHIVERS[packed]({"a/r.parquet": data}))
    archive = tmp_path / f"r.parquet.{packed}"
    archive.write_bytes(pack(path.read_bytes()))
    (table,) = recognise(archive).tables
    for _ in range(2):
        (block,) = table.blocks()
        assert block.columns == {"user_id": ["u"], "item_id": ["i"], "value": [4]}


def test_damaged(tmp_path: Path) -> None:
    path = write(tmp_path, {"user": [1], "item": [1], "rating": [1]})
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InvalidInputError, match="damaged, cut short or not Parquet"):
        recognise(path)


def test_wrong_columns(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="not recognised: who, what"):
        recognise(write(tmp_path, {"who": [1], "what": [1]}))
