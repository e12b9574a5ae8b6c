from pathlib import Path
from typing import Any

from app.intake.blocks import Block
from app.intake.column_names.columns import Kind
from app.intake.layouts import Content, recognise
from tests.support.movielens import write_1m, write_100k, write_latest


def only_block(content: Content, kind: Kind) -> Block:
    (table,) = content.tables_of(kind)
    (block,) = table.blocks()
    assert block.rejected == []
    return block


def rows(block: Block) -> list[dict[str, Any]]:
    return [dict(zip(block.columns, values, strict=True)) for values in zip(*block.columns.values(), strict=True)]


def test_latest_folder(tmp_path: Path) -> None:
    content = recognise(write_latest(tmp_path / "ml-latest"))
    assert [table.file.name for table in content.tables] == ["movies.csv", "tags.csv", "ratings.csv"]
    assert content.ignored == ["README.txt", "links.csv"]
    movies, _ = content.tables_of(Kind.ITEMS)
    assert rows(next(movies.blocks())) == [
        {"item_id": "1", "title": "Toy Story", "categories": "Adventure|Animation", "year": "1995"},
        {"item_id": "3", "title": "American President, The", "categories": "Comedy|Drama", "year": "1995"},
        {"item_id": "4", "title": '"Great Performances" Cats', "categories": "Musical", "year": "1998"},
        {"item_id": "5", "title": "Pok\u00e9mon the Series", "categories": None, "year": "2006"},
        {"item_id": "6", "title": "Babylon 5", "categories": "Sci-Fi", "year": None},
    ]
    ratings = only_block(content, Kind.RATINGS)
    assert rows(ratings)[1] == {"user_id": "1", "item_id": "3", "value": "0.5", "rated_at": "964981247"}
    assert list(ratings.lines) == [2, 3, 4]


def test_1m_folder(tmp_path: Path) -> None:
    content = recognise(write_1m(tmp_path / "ml-1m"))
    assert rows(only_block(content, Kind.ITEMS))[1] == {
        "item_id": "661",
        "title": "Mis\u00e9rables, Les",
        "categories": "Drama|Musical",
        "year": "1995",
    }
    assert rows(only_block(content, Kind.USERS))[0] == {
        "user_id": "1",
        "age": 1,
        "age_group": "Under 18",
        "gender": "F",
        "occupation": "K-12 student",
        "zip_code": "48067",
    }
    ratings = only_block(content, Kind.RATINGS)
    assert rows(ratings)[1] == {"user_id": "2", "item_id": "661", "value": "3", "rated_at": "978302109"}
    assert list(ratings.lines) == [1, 2]


def test_100k_folder(tmp_path: Path) -> None:
    content = recognise(write_100k(tmp_path / "ml-100k"))
    assert [table.file.name for table in content.tables] == ["u.item", "u.user", "u.data"]
    kolya, city, unknown = rows(only_block(content, Kind.ITEMS))
    assert kolya["title"] == "Kolya"
    assert kolya["categories"] == ["Comedy"]
    assert kolya["imdb_url"] == "http://us.imdb.com/M/title-exact?Kolya%20(1996)"
    assert (city["title"], city["year"]) == ("Cit\u00e9 des enfants perdus, La (V)", "1995")
    assert city["categories"] == ["Action", "Sci-Fi"]
    assert (unknown["title"], unknown["year"], unknown["categories"]) == ("unknown", None, [])
    user = rows(only_block(content, Kind.USERS))[1]
    assert user == {"user_id": "186", "age": 39, "gender": "F", "occupation": "executive", "zip_code": "V1G4L"}
    assert rows(only_block(content, Kind.RATINGS))[0]["value"] == "3"


def test_100k_without_genre_file(tmp_path: Path) -> None:
    content = recognise(write_100k(tmp_path / "ml-100k", with_genres=False))
    assert rows(only_block(content, Kind.ITEMS))[0]["categories"] == ["Comedy"]


def test_single_files(tmp_path: Path) -> None:
    folders = write_100k(tmp_path / "100k"), write_1m(tmp_path / "1m"), write_latest(tmp_path / "latest")
    kinds = {
        path.name: recognise(path).tables[0].kind
        for folder in folders
        for path in folder.iterdir()
        if path.name not in {"README.txt", "tags.csv", "u.genre"}
    }
    assert kinds == {
        **dict.fromkeys(["u.data", "u1.base", "u1.test", "ratings.dat", "ratings.csv"], Kind.RATINGS),
        **dict.fromkeys(["u.item", "movies.dat", "movies.csv", "links.csv"], Kind.ITEMS),
        **dict.fromkeys(["u.user", "users.dat"], Kind.USERS),
    }


def test_renamed_file(tmp_path: Path) -> None:
    path = write_100k(tmp_path / "100k") / "u1.base"
    assert recognise(path.rename(tmp_path / "train.txt")).tables[0].kind is Kind.RATINGS


def test_bad_first_row(tmp_path: Path) -> None:
    path = tmp_path / "u2.base"
    path.write_text("1\t1\tgood\t874965758\n1\t2\t3\t874965758\n")
    assert recognise(path).tables[0].kind is Kind.RATINGS
