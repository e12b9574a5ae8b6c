"""Files of ratings, items and users as columns with common ids."""

from pathlib import Path

from app.entities import RatingScale
from app.intake.rated_file import load_rated_file


def test_common_ids(tmp_path: Path) -> None:
    train, test, users = tmp_path / "train.csv", tmp_path / "test.csv", tmp_path / "users.csv"
    train.write_text("user,item,rating\nann,x,5\nbob,y,nan\nbob,y,1\n")
    test.write_text("user,item,rating\neve,x,4\nann,z,2\n")
    users.write_text("user_id,country\nann,FI\nzoe,CH\n")
    file = load_rated_file(train, test, users=users)
    assert (file.user_ids, file.item_ids) == (["ann", "bob", "eve", "zoe"], ["x", "y", "z"])
    assert file.ratings.user_key.tolist() == [0, 1, 2, 0]
    assert file.ratings.item_key.tolist() == [0, 1, 0, 2]
    assert file.ratings.value.tolist() == [5, 1, 4, 2]
    assert (file.n_test, file.detection.scale) == (2, RatingScale(1, 5, 1))
    assert (file.users["zoe"].country, file.items) == ("CH", {})
    assert (file.n_rejected, [(row.file, row.line) for row in file.first_rejected]) == (1, [("train.csv", 3)])


def test_left_out_cells_noted(tmp_path: Path) -> None:
    ratings, items = tmp_path / "ratings.csv", tmp_path / "items.csv"
    ratings.write_text("user,item,rating\nann,x,5\nbob,x,4\n")
    items.write_text("item_id,title,year\nx,Heat,unknown\n")
    file = load_rated_file(ratings, items=items)
    assert file.items["x"].title == "Heat"
    assert file.notes == [
        "left out in items.csv, column year: 1, the first in line 2: 'unknown' is not a year",
    ]
