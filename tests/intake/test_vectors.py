import csv
import json
from pathlib import Path

import numpy as np

from app.intake.files.table_writers import Format
from app.intake.vectors import write_vectors

BIASES = np.array([0.1, -2.5, 1e-7], dtype=np.float32)
FACTORS = np.array([[1 / 3, 0], [1, 2], [3, 4]], dtype=np.float32)


def test_csv_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    assert write_vectors(path, "user_id", ["u1", None, "u,3"], BIASES, FACTORS, Format.CSV) == 2
    with path.open(newline="") as lines:
        header, *rows = csv.reader(lines)
    assert header == ["user_id", "bias", "factor_1", "factor_2"]
    assert [row[0] for row in rows] == ["u1", "u,3"]
    np.testing.assert_array_equal(np.array([row[1:] for row in rows], np.float32)[:, 1:], FACTORS[[0, 2]])
    np.testing.assert_array_equal(np.array([row[1] for row in rows], np.float32), BIASES[[0, 2]])


def test_jsonl_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    write_vectors(path, "item_id", ["a", "b", "c"], BIASES, FACTORS, Format.JSONL)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows[1] == {"item_id": "b", "bias": -2.5, "factors": [1.0, 2.0]}
    np.testing.assert_array_equal(np.array([row["factors"] for row in rows], np.float32), FACTORS)
