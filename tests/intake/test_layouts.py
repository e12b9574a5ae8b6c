import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from app.entities import RatingScale
from app.errors import InvalidInputError
from app.intake.column_names.columns import Columns, Kind
from app.intake.hints import FileHints
from app.intake.layouts import Content, recognise
from tests.support.archives import COMPRESSORS, tarred
from tests.support.movielens import write_1m, write_100k, write_latest


def hinted(columns: str | None) -> FileHints:
    return FileHints(Columns.parse(columns))


def first_row(content: Content) -> dict[str, Any]:
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
    items = recognise(write(tmp_path, "product_id,name,average rating,release date\np,Lamp,4,today\n"))
    assert items.tables[0].kind is Kind.ITEMS
    assert first_row(items) == {"item_id": "p", "title": "Lamp", "average rating": 4, "release date": "today"}
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
    assert first_row(recognise(path, hinted("at,event_id,type,user,item"))) == EVENT
    path = write(tmp_path, "when,id,what,who,sku\n5,e,t,u,i\n")
    columns = "at=when,event_id=id,type=what,user=who,item=sku"
    assert first_row(recognise(path, hinted(columns))) == EVENT


def test_what_tells_events_elsewhere(tmp_path: Path) -> None:
    """In other tables columns of these names are what they were."""
    items = recognise(write(tmp_path, "item,type,weight,settings\ni,t,1,{}\n"))
    assert items.tables[0].kind is Kind.ITEMS
    assert first_row(items) == {"item_id": "i", "type": "t", "weight": 1, "settings": "{}"}
    users = recognise(write(tmp_path, "user,placement,settings\nu,p,{}\n"))
    assert users.tables[0].kind is Kind.USERS
    ratings = recognise(write(tmp_path, "event_id,type,user,item,rating\ne,t,u,i,4\n"))
    assert ratings.tables[0].kind is Kind.RATINGS


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("type,weight\nt,1\n", "no column that is recognised"),
        ("type,user,item\nt,u,i\n", "no rating and no type of event"),
        ("event,user,item\nt,u,i\n", "no time, which events need"),
        ("event_type,user,item,rating,time\nt,u,i,4,5\n", "may hold ratings or events"),
        ("settings\n{}\n", "no column that is recognised"),
    ],
)
def test_no_events(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        recognise(write(tmp_path, text))


@pytest.mark.parametrize(("kind", "last"), [(Kind.RATINGS, "value"), (Kind.EVENTS, "at")])
def test_kind_decides(tmp_path: Path, kind: Kind, last: str) -> None:
    path = write(tmp_path, "event_type,user,item,rating,time\nt,u,i,4,5\n")
    (table,) = recognise(path, FileHints(kind=kind)).tables
    assert table.kind is kind
    assert last in first_row(recognise(path, FileHints(kind=kind)))


def test_columns_in_order(tmp_path: Path) -> None:
    path = write(tmp_path, "5;x;i;u\n")
    assert first_row(recognise(path, hinted("rating,-,item,user"))) == {
        "value": "5",
        "-": "x",
        "item_id": "i",
        "user_id": "u",
    }


def test_columns_between_spaces(tmp_path: Path) -> None:
    path = write(tmp_path, "1 20 4.5\n")
    assert first_row(recognise(path, hinted("user,item,rating"))) == {"user_id": "1", "item_id": "20", "value": "4.5"}


def test_columns_overrule_header(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b,c\nu,i,4\n")
    assert first_row(recognise(path, hinted("user,item,rating"))) == {"user_id": "u", "item_id": "i", "value": "4"}


def test_columns_of_items(tmp_path: Path) -> None:
    path = write(tmp_path, "ABC,Quiet Signal\n")
    assert first_row(recognise(path, hinted("item,title"))) == {"item_id": "ABC", "title": "Quiet Signal"}
    path = write(tmp_path, "item,name\nABC,Quiet Signal\n")
    assert first_row(recognise(path, hinted("item,title"))) == {"item_id": "ABC", "title": "Quiet Signal"}


def test_columns_rename(tmp_path: Path) -> None:
    path = write(tmp_path, "rating,sku,who\n3,i,u\n")
    first = first_row(recognise(path, hinted("user=who, item=sku, rating=rating")))
    assert first == {"value": "3", "item_id": "i", "user_id": "u"}


@pytest.mark.parametrize("columns", ["user,item", "user=", "a,b,c", "user=a,item", "tea"])
def test_columns_not_understood(tmp_path: Path, columns: str) -> None:
    with pytest.raises(InvalidInputError, match="--columns"):
        recognise(write(tmp_path, "1,2,3\n"), hinted(columns))


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("user,item\nu1,i1\n", None),
        ("UserID\tGameID\tTimestamp\nu1\ti1\t1\n", None),
        ("u1,i1\n", "user,item"),
        ("who,what,why\nu1,i1,x\n", "user=who,item=what"),
        ('{"user_id": "u1", "item_id": "i1"}\n', None),
    ],
)
def test_pairs(tmp_path: Path, text: str, columns: str | None) -> None:
    (table,) = recognise(write(tmp_path, text), hinted(columns)).tables
    assert (table.kind, table.has_values) == (Kind.RATINGS, False)
    (block,) = table.blocks()
    assert (block.column("user_id"), block.column("item_id")) == (["u1"], ["i1"])


def test_unknown_column_may_be_the_value(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="--columns user=user,item=item,rating=zeal"):
        recognise(write(tmp_path, "user,item,zeal\nu,i,3\n"))


@pytest.mark.parametrize(
    "before",
    [
        "# ratings of 2019\n",
        "#ratings, of, 2019\n\n# second\n",
        "\n\n",
        " \r\n\t\r\n",
        "sep=,\n",
        "\ufeffsep=,\r\n",
        '"sep=,"\n',
        "SEP=,\n\n# more\n",
    ],
)
def test_lines_before_the_header(tmp_path: Path, before: str) -> None:
    content = recognise(write(tmp_path, f"{before}user,item,rating\n#1,a,5\nu,i,4\n"))
    (block,) = content.tables[0].blocks()
    assert dict(block.columns) == {"user_id": ["#1", "u"], "item_id": ["a", "i"], "value": ["5", "4"]}
    n_before = before.count("\n")
    assert list(block.lines) == [n_before + 2, n_before + 3]


@pytest.mark.parametrize(
    ("stated", "separator"), [(";", ";"), ("\t", "\t"), ("\\t", "\t"), (":", ":"), ("||", "||"), ("\u00a7", "\u00a7")]
)
def test_stated_separator(tmp_path: Path, stated: str, separator: str) -> None:
    """It decides even where another one seems to fit."""
    rows = [["user", "item", "rating|really"], ["u", "i,j,k", "4"]]
    text = "".join(separator.join(row) + "\n" for row in rows)
    content = recognise(write(tmp_path, f"sep={stated}\n{text}"), hinted("user=user,item=item,rating=rating|really"))
    assert first_row(content) == {"user_id": "u", "item_id": "i,j,k", "value": "4"}


@pytest.mark.parametrize("header", ["#user,item,rating", "# user\titem\trating", "# made 2019\n#user;item;rating\n"])
def test_header_in_a_comment(tmp_path: Path, header: str) -> None:
    row = "u,i,4" if "," in header else "u\ti\t4" if "\t" in header else "u;i;4"
    content = recognise(write(tmp_path, f"{header}\n{row}\n"))
    assert first_row(content) == {"user_id": "u", "item_id": "i", "value": "4"}


@pytest.mark.parametrize(
    ("text", "users"),
    [
        ("# made 2019\n\n1,a,5\n", ["1"]),
        ("# user,item,rating\n1,a,5\n", ["1"]),
        ("#tag,a,5\n#other,a,4\n1,a,5\n", ["#tag", "#other", "1"]),
        ("#tag,a,5\n", ["#tag"]),
        ("sep=,\nuser,item,rating\n1,a,5\n", ["1"]),
    ],
)
def test_lines_before_rows_in_given_order(tmp_path: Path, text: str, users: list[str]) -> None:
    (table,) = recognise(write(tmp_path, text), hinted("user,item,rating")).tables
    (block,) = table.blocks()
    assert list(block.column("user_id")) == users
    assert not block.rejected


def test_header_of_several_lines(tmp_path: Path) -> None:
    """Spreadsheets break the lines of a cell."""
    content = recognise(write(tmp_path, '"user\nid",item,"rating\n"\nu,i,4\n'))
    assert first_row(content) == {"user_id": "u", "item_id": "i", "value": "4"}
    assert list(next(content.tables[0].blocks()).lines) == [4]


def test_inch_sign_in_first_line(tmp_path: Path) -> None:
    """An odd quote within a field opens nothing."""
    path = write(tmp_path, 'u1\t5" disk\t4\nu2\t6" disk\t3\n')
    (table,) = recognise(path, hinted("user,item,rating")).tables
    (block,) = table.blocks()
    assert list(block.column("item_id")) == ['5" disk', '6" disk']


def test_header_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("Nutzer;Ger\u00e4t;Wert\nu;i;4\n".encode("latin-1"))
    with pytest.raises(InvalidInputError, match=r"the header of a\.csv is not UTF-8: .*add --encoding latin-1"):
        recognise(tmp_path / "a.csv")


@pytest.mark.parametrize("columns", [None, "user=user,item=item,rating=rating"])
def test_two_columns_of_one_name(tmp_path: Path, columns: str | None) -> None:
    path = write(tmp_path, "user,item,rating, rating\nu,i,4,5\n")
    with pytest.raises(InvalidInputError, match=r"two columns of the name 'rating': .* and write - for each"):
        recognise(path, hinted(columns))
    assert first_row(recognise(path, hinted("user,item,-,rating")))["value"] == "5"


def test_unnamed_columns_repeated(tmp_path: Path) -> None:
    assert first_row(recognise(write(tmp_path, ",user,item,rating,,\n0,u,i,4,x,y\n")))["value"] == "4"


def test_too_many_columns(tmp_path: Path) -> None:
    header = "user," + ",".join(f"i{n}" for n in range(100_000))
    with pytest.raises(InvalidInputError, match="has 100,001 columns; at most 65,536 are read"):
        recognise(write(tmp_path, f"{header}\n"))


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16-le"])
def test_stated_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "items.csv"
    path.write_bytes("item_id;title\n1;Caf\u00e9\n".encode(encoding))
    content = recognise(path, FileHints(encoding=encoding))
    assert first_row(content) == {"item_id": "1", "title": "Caf\u00e9"}


def test_pairs_beside_ratings_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("user,item,rating\nu,i,3\n")
    (tmp_path / "views.csv").write_text("user,item\nu,i\n")
    content = recognise(tmp_path)
    assert ([table.file.name for table in content.tables], content.ignored) == (["ratings.csv"], ["views.csv"])
    assert "import it by itself" in content.refused["views.csv"]


def test_columns_miscounted(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="has 4 columns, but --columns names 3"):
        recognise(write(tmp_path, "1,2,3,4\n"), hinted("user,item,rating"))


def test_columns_for_one_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="--columns describes a single file"):
        recognise(write_latest(tmp_path / "ml"), hinted("user,item,rating,timestamp"))


def test_wrong_columns_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="not recognised: what, who"):
        recognise(write(tmp_path, "when,what,who\n1,2,3\n"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\n\n", "no column that is recognised"),
        ("just words\n", "not recognised: just, words"),
        ("1,2,3,4\n", "seems to have no header, but begins with 1, 2, 3, 4"),
    ],
)
def test_not_a_table(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        recognise(write(tmp_path, text))


@pytest.mark.parametrize("text", ["\0\1", "\x89PNG\r\n", "user\x1b[2J,item\n"])
def test_binary_not_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInputError, match="is not text"):
        recognise(write(tmp_path, text))


def test_broken_json(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="not JSONL: line 1 is not JSON"):
        recognise(write(tmp_path, '{"user": \n', "ratings.jsonl"))


def test_generic_folder(tmp_path: Path) -> None:
    write(tmp_path, "user,item,rating\nu,i,4\n", "events.csv")
    write(tmp_path, '{"item_id": "i", "title": "T"}\n', "items.jsonl")
    write(tmp_path, "tag,item,user\nt,i,u\n", "tags.csv")
    write(tmp_path, "note,item,user\nt,i,u\n", "notes.csv")
    write(tmp_path, "user,item,rating\nu,i,4\n", "picture.png")
    content = recognise(tmp_path)
    assert [(table.file.name, table.kind) for table in content.tables] == [
        ("items.jsonl", Kind.ITEMS),
        ("tags.csv", Kind.ITEMS),
        ("events.csv", Kind.RATINGS),
    ]
    assert content.ignored == ["notes.csv", "picture.png"]


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


@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_compressed_data_set(tmp_path: Path, compressor: str) -> None:
    folder = write_1m(tmp_path / "ml-1m")
    members = {f"ml-1m/{path.name}": path.read_bytes() for path in folder.iterdir()}
    path = tmp_path / "download"
    path.write_bytes(COMPRESSORS[compressor](tarred(members)))
    assert [table.file.name for table in recognise(path).tables] == ["movies.dat", "users.dat", "ratings.dat"]


def test_same_names_in_folders(tmp_path: Path) -> None:
    """Both are read, and each data set of MovieLens is recognised in its folder."""
    for year in ("2023", "2024"):
        (tmp_path / year).mkdir()
        write(tmp_path / year, "user,item,rating\nu,i,4\n", "ratings.csv")
    write_latest(tmp_path / "ml")
    content = recognise(tmp_path)
    assert [table.file.display_name for table in content.tables_of(Kind.RATINGS)] == [
        *("ml/ratings.csv", "2023/ratings.csv", "2024/ratings.csv")
    ]
    assert content.ignored == ["ml/README.txt", "ml/links.csv"]


def test_genres_of_the_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_100k(tmp_path / name)
    genres = tmp_path / "b" / "u.genre"
    genres.write_text(genres.read_text().replace("Comedy", "Humour"))
    tables = recognise(tmp_path).tables_of(Kind.ITEMS)
    assert [next(table.blocks()).columns["categories"][0] for table in tables] == [["Comedy"], ["Humour"]]


def test_unread_files_named(tmp_path: Path) -> None:
    write(tmp_path, "user,item,rating\nu,i,4\n", "ratings.csv")
    (tmp_path / "more.csv").symlink_to("ratings.csv")
    assert recognise(tmp_path).ignored == ["more.csv (a symbolic link)"]
    assert recognise(tmp_path, hinted("user,item,rating")).files
    (tmp_path / "ratings.csv").unlink()
    with pytest.raises(InvalidInputError, match=r"more\.csv is not read: a symbolic link"):
        recognise(tmp_path)


def test_declared_scale(tmp_path: Path) -> None:
    write(tmp_path, "user,item,rating\nu,i,4\n", "ratings.csv")
    card = write(tmp_path, json.dumps({"scale": "1:10:1"}), "reckon-export.json")
    assert recognise(tmp_path).declared_scale == RatingScale(1, 10, 1)
    card.write_text("{")
    with pytest.raises(InvalidInputError, match="is damaged"):
        recognise(tmp_path)


def test_parquet_without_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "app.intake.formats.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InvalidInputError, match=r"pip install 'reckon\[parquet\]'"):
        recognise(write(tmp_path, "x", "ratings.parquet"))
