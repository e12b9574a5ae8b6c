from pathlib import Path

import pytest

from app.errors import InvalidInputError
from app.intake.file_ratings import load_file
from app.intake.hints import FileHints

MOVIELENS = Path(__file__).parents[2] / "../shared/data/ml-latest-small"


def test_arrays_in_file_order(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("user,item,rating,timestamp\nu2,i1,4,100\nu1,i1,bad,100\nu1,i2,2.5,\nu2,i1,5,300\n")
    loaded = load_file(path)
    assert loaded.user_ids == ["u2", "u1"]
    assert loaded.item_ids == ["i1", "i2"]
    assert loaded.ratings.user_key.tolist() == [0, 1, 0]
    assert loaded.ratings.item_key.tolist() == [0, 1, 0]
    assert loaded.ratings.value.tolist() == [4.0, 2.5, 5.0]
    assert (loaded.n_rejected, loaded.rejected[0].line) == (1, 3)


def test_stated_missing(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("user,item,rating\nu1,i1,4\nu2,i1,0.0\nu2,i2,n/a\n")
    loaded = load_file(path, FileHints(missing=frozenset({"0", "n/a"})))
    assert (loaded.ratings.value.tolist(), loaded.n_missing, loaded.n_rejected) == ([4.0], 2, 0)
    assert loaded.user_ids == ["u1"]


def test_nothing_readable(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("user,item,rating\nu1,i1,lots\n")
    with pytest.raises(InvalidInputError, match="holds no ratings: value: 'lots' is not a number"):
        load_file(path)


def test_items_alone(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item,title\ni,T\n")
    with pytest.raises(InvalidInputError, match="holds no ratings"):
        load_file(path)


@pytest.mark.skipif(not MOVIELENS.exists(), reason="the MovieLens data set is not beside the repository")
def test_movielens() -> None:
    loaded = load_file(MOVIELENS)
    assert (len(loaded.ratings), len(loaded.user_ids), len(loaded.item_ids)) == (100_836, 610, 9_724)
    assert loaded.n_rejected == 0
