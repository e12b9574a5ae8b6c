import json
import sys
import zipfile
from pathlib import Path

import pytest

from app.entities import RatingScale
from app.errors import InvalidInputError
from app.intake.columns import Kind
from app.intake.layouts import Content, recognise
from tests.support.movielens import write_100k, write_latest


def first_row(content: Content) -> dict[str, str]:
    block = next(content.tables[0].blocks())
    return {name: column[0] for name, column in block.columns.items()}


def write(tmp_path: Path, text: str, name: str = "table.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "user_id,item_id,value,rated_at\nu,i,4,5\n",
        "userId,movieId,rating,timestamp\nu,i,4,5\n",
        "User,Item,Score,Date\nu,i,4,5\n",
        "\ufefftime,stars,item id,user\n5,4,i,u\n",
        "user\titem\trating\ttime\nu\ti\t4\t5\n",
        '"User-ID";"ISBN";"Book-Rating";"ts"\n"u";"i";"4";"5"\n',
        "user | item | rating | time\nu|i|4|5\n",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu\ti\t4\t5\n",
        '{"reviewerID": "u", "asin": "i", "overall": "4", "unixReviewTime": "5"}\n',
    ],
)
def test_synonyms_and_separators(tmp_path: Path, text: str) -> None:
    content = recognise(write(tmp_path, text))
    assert content.tables[0].kind is Kind.RATINGS
    assert first_row(content) == {"user_id": "u", "item_id": "i", "value": "4", "rated_at": "5"}


def test_earlier_synonym_wins(tmp_path: Path) -> None:
    content = recognise(write(tmp_path, "movie,movieId,user,rating\nHeat,6,u,4\n"))
    assert first_row(content) == {"movie": "Heat", "item_id": "6", "user_id": "u", "value": "4"}


def test_items_and_users(tmp_path: Path) -> None:
    items = recognise(write(tmp_path, "product_id,name,rating,date\np,Lamp,4,today\n"))
    assert items.tables[0].kind is Kind.ITEMS
    assert first_row(items) == {"item_id": "p", "title": "Lamp", "rating": "4", "date": "today"}
    users = recognise(write(tmp_path, "uid,name,country\nu,Ann,NO\n"))
    assert users.tables[0].kind is Kind.USERS
    assert first_row(users) == {"user_id": "u", "name": "Ann", "country": "NO"}


EVENT = {"event_id": "e", "type": "t", "user_id": "u", "item_id": "i", "at": "5"}


@pytest.mark.parametrize(
    "text",
    [
        "event_id,type,user_id,item_id,at\ne,t,u,i,5\n",
        "Event-ID;Event;User;Item;Timestamp\ne;t;u;i;5\n",
        '{"eventId": "e", "eventType": "t", "userId": "u", "itemId": "i", "time": "5"}\n',
    ],
)
def test_events(tmp_path: Path, text: str) -> None:
    content = recognise(write(tmp_path, text))
    assert content.tables[0].kind is Kind.EVENTS
    assert first_row(content) == EVENT


def test_columns_of_events(tmp_path: Path) -> None:
    path = write(tmp_path, "5,e,t,u,i\n")
    assert first_row(recognise(path, "at,event_id,type,user,item")) == EVENT
    path = write(tmp_path, "when,id,what,who,sku\n5,e,t,u,i\n")
    columns = "at=when,event_id=id,type=what,user=who,item=sku"
    assert first_row(recognise(path, columns)) == EVENT


def test_what_tells_events_elsewhere(tmp_path: Path) -> None:
    """In other tables columns of these names are what they were."""
    items = recognise(write(tmp_path, "item,type,event,weight,settings\ni,t,e,1,{}\n"))
    assert items.tables[0].kind is Kind.ITEMS
    assert first_row(items) == {"item_id": "i", "type": "t", "event": "e", "weight": "1", "settings": "{}"}
    users = recognise(write(tmp_path, "user,placement,settings\nu,p,{}\n"))
    assert users.tables[0].kind is Kind.USERS
    ratings = recognise(write(tmp_path, "event_id,type,user,item,rating\ne,t,u,i,4\n"))
    assert ratings.tables[0].kind is Kind.RATINGS


@pytest.mark.parametrize("text", ["type,weight\nt,1\n", "type,user,item\nt,u,i\n", "settings\n{}\n"])
def test_no_events(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInputError, match="its columns are: "):
        recognise(write(tmp_path, text))


def test_columns_in_order(tmp_path: Path) -> None:
    path = write(tmp_path, "5;x;i;u\n")
    assert first_row(recognise(path, "rating,-,item,user")) == {"value": "5", "-": "x", "item_id": "i", "user_id": "u"}


def test_columns_between_spaces(tmp_path: Path) -> None:
    path = write(tmp_path, "1 20 4.5\n")
    assert first_row(recognise(path, "user,item,rating")) == {"user_id": "1", "item_id": "20", "value": "4.5"}


def test_columns_overrule_header(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b,c\nu,i,4\n")
    assert first_row(recognise(path, "user,item,rating")) == {"user_id": "u", "item_id": "i", "value": "4"}


def test_columns_of_items(tmp_path: Path) -> None:
    path = write(tmp_path, "ABC,Quiet Signal\n")
    assert first_row(recognise(path, "item,title")) == {"item_id": "ABC", "title": "Quiet Signal"}
    path = write(tmp_path, "item,name\nABC,Quiet Signal\n")
    assert first_row(recognise(path, "item,title")) == {"item_id": "ABC", "title": "Quiet Signal"}


def test_columns_rename(tmp_path: Path) -> None:
    path = write(tmp_path, "rating,sku,who\n3,i,u\n")
    first = first_row(recognise(path, "user=who, item=sku, rating=rating"))
    assert first == {"value": "3", "item_id": "i", "user_id": "u"}


@pytest.mark.parametrize("columns", ["user,item", "user=", "a,b,c", "user=a,item", "tea"])
def test_columns_not_understood(tmp_path: Path, columns: str) -> None:
    with pytest.raises(InvalidInputError, match="--columns"):
        recognise(write(tmp_path, "1,2,3\n"), columns)


def test_columns_miscounted(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="has 4 columns, but --columns names 3"):
        recognise(write(tmp_path, "1,2,3,4\n"), "user,item,rating")


def test_columns_for_one_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="--columns describes a single file"):
        recognise(write_latest(tmp_path / "ml"), "user,item,rating,timestamp")


def test_wrong_columns_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="its columns are: when, what, who"):
        recognise(write(tmp_path, "when,what,who\n1,2,3\n"))


@pytest.mark.parametrize("text", ["\n\n", "just words\n", "1,2,3,4\n"])
def test_not_a_table(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInputError, match="its columns are: "):
        recognise(write(tmp_path, text))


@pytest.mark.parametrize("text", ["\0\1", "\x89PNG\r\n", "user\x1b[2J,item\n", "a\rb\r"])
def test_binary_not_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInputError, match="is not text"):
        recognise(write(tmp_path, text))


@pytest.mark.parametrize("text", ['[{"user": 1}]', "[1, 2]\n"])
def test_json_array_explained(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInputError, match="one JSON array"):
        recognise(write(tmp_path, text, "ratings.json"))


def test_broken_json(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="not JSONL: line 1 is not JSON"):
        recognise(write(tmp_path, '{"user": \n', "ratings.jsonl"))


def test_generic_folder(tmp_path: Path) -> None:
    write(tmp_path, "user,item,rating\nu,i,4\n", "events.csv")
    write(tmp_path, '{"item_id": "i", "title": "T"}\n', "items.jsonl")
    write(tmp_path, "tag,item,user\nt,i,u\n", "tags.csv")
    write(tmp_path, "user,item,rating\nu,i,4\n", "picture.png")
    content = recognise(tmp_path)
    assert [(table.file.name, table.kind) for table in content.tables] == [
        ("items.jsonl", Kind.ITEMS),
        ("events.csv", Kind.RATINGS),
    ]
    assert content.ignored == ["picture.png", "tags.csv"]


def test_folder_without_tables(tmp_path: Path) -> None:
    write(tmp_path, "x", "picture.png")
    with pytest.raises(InvalidInputError, match=r"the only files are picture\.png"):
        recognise(tmp_path)


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="it has no files"):
        recognise(tmp_path)


def test_zipped_data_set(tmp_path: Path) -> None:
    folder = write_100k(tmp_path / "ml-100k")
    with zipfile.ZipFile(tmp_path / "ml.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"ml-100k/{path.name}")
    content = recognise(tmp_path / "ml.zip")
    assert [table.file.name for table in content.tables] == ["u.item", "u.user", "u.data"]
    assert first_row(content)["title"] == "Kolya"


def test_declared_scale(tmp_path: Path) -> None:
    write(tmp_path, "user,item,rating\nu,i,4\n", "ratings.csv")
    card = write(tmp_path, json.dumps({"scale": "1:10:1"}), "reckon-export.json")
    assert recognise(tmp_path).declared_scale == RatingScale(1, 10, 1)
    card.write_text("{")
    with pytest.raises(InvalidInputError, match="is damaged"):
        recognise(tmp_path)


def test_parquet_without_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "app.intake.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InvalidInputError, match=r"pip install 'reckon\[parquet\]'"):
        recognise(write(tmp_path, "x", "ratings.parquet"))
