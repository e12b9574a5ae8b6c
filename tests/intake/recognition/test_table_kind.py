"""What the rows of a table are, by its columns, its values and the hints of the user."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.cli.file_hints import file_hints
from app.errors import InvalidInputError
from app.intake.blocks import InputTable
from app.intake.column_names.columns import Kind
from app.intake.export_rows import ITEM_NAMES, USER_NAMES
from app.intake.layouts import recognise


def table(tmp_path: Path, text: str, *, name: str = "table.csv", **options: Any) -> InputTable:
    path = tmp_path / name
    path.write_text(text)
    (found,) = recognise(path, file_hints(options.get("columns"), options.get("kind"))).tables
    return found


def refusal(tmp_path: Path, text: str, *, name: str = "table.csv", **options: Any) -> str:
    with pytest.raises(InvalidInputError) as error:
        table(tmp_path, text, name=name, **options)
    return str(error.value)


def rows(n: int, row: str) -> str:
    return "".join(row.replace("#", str(n)) + "\n" for n in range(100, 100 + n))


@pytest.mark.parametrize(
    ("header", "row", "doubt"),
    [
        ("item_id,stars", "a,4", "stars (may hold ratings)"),
        ("item_id,plays", "a,4", "plays (may hold amounts of use)"),
        ("item_id,timestamp", "a,1260759144", "timestamp (may hold times of actions)"),
        ("item_id,qzx", "a,1260759144", "qzx (its values look like times)"),
        ("item_id,qzx", "a,u17", "qzx (its values look like codes)"),
        ("item_id,qzx", "a,17", "qzx (its values look like whole numbers)"),
        ("item_id,qzx", "a,view", "qzx (its values look like actions)"),
        ("item_id,event", "a,opened", "event (may hold types of events)"),
        ("item_id,order_id", "a,7", "order_id (may hold ids of orders, sessions or reviews)"),
        ("item_id,client,colour", "a,bob,red", "client (may hold ids of users)"),
        ("item_id,review_text", "a,fine", "review_text (may hold parts of orders, events or reviews)"),
        ("item_id,title,user_city", "a,Heat,Oslo", "user_city (may hold properties of users)"),
        ("item_id,title,rating", "a,Heat,4", "rating (may hold ratings)"),
        ("item_id,created_at", "a,2020-01-01", "created_at (may hold times of creation)"),
        ("user_id,movie_title,genre", "a,Heat,Crime", "movie_title (may hold titles)"),
        ("user_id,artist,country", "a,Abba,NO", "artist (may hold ids of items)"),
        ("item_id,title,contact", "a,Heat,bob@x.org", "contact (its values look like e-mail addresses)"),
        ("item_id,phone", "a,bob@x.org", "phone (its values look like e-mail addresses)"),
        ("user_id,status", "a,like", "status (its values look like opinions)"),
        ("item_id,status", "a,purchased", "status (its values look like actions)"),
        ("item_id,title,note", "a,Heat,4", "note (its values look like grades)"),
        ("user_id,country,note", "a,NO,14.25", "note (its values look like numbers)"),
        ("user_id,brand,kind", "a,Acme,view", "kind (its values look like actions)"),
        ("user_id,name", "a,5", "name (its values look like grades)"),
        ("user_id,bias,factor_1,factor_2", "a,0.5,0.25,0.75", "reckon export --vectors"),
        ("user_id,country,hours", "a,NO,7", "hours (may hold amounts)"),
        ("user_id,m1,m2,m3,m4,m5", "a,5,3,4,1,2", "may be a matrix of users and items"),
        ("user_id,Heat,Alien", "a,4,\nc,,4", "may be a matrix of users and items"),
    ],
)
def test_no_catalogue(tmp_path: Path, header: str, row: str, doubt: str) -> None:
    other = row.replace("a,", "b,", 1)
    assert doubt in refusal(tmp_path, f"{header}\n{row}\n{other}\n")


@pytest.mark.parametrize(("id_name", "option"), [("user_id", "--kind matrix"), ("item_id", "--kind item-matrix")])
def test_matrix_named(tmp_path: Path, id_name: str, option: str) -> None:
    message = refusal(tmp_path, f"{id_name},m1,m2,m3,m4,m5\na,5,3,4,1,2\nb,1,3,2,5,2\n")
    assert f"if it is a matrix of users and items: {option}\n" in f"{message}\n"


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("item_id,colour", "#,red"),
        ("item_id,price", "#,9"),
        ("item_id,farbe", "#,rot"),
        ("item_id,title,vegan", "#,Soup,yes"),
        ("item_id,title,created_at", "#,Soup,2020-01-01 10:00"),
        ("item_id,title,seller_id", "#,Soup,s1"),
        ("item_id,type,weight,duration,artist,album,location", "#,a,1,2,b,c,d"),
        ("user_id,age,gender,signup_date,last_login", "#,20,f,2020-01-01,2020-01-02 10:00"),
        ("track_id,artist,album,title,release_date", "#,Abba,Arrival,Tiger,1976"),
    ],
)
def test_plain_catalogue(tmp_path: Path, header: str, row: str) -> None:
    kind = Kind.USERS if header.startswith("user") else Kind.ITEMS
    assert table(tmp_path, f"{header}\n{rows(3, row)}").kind is kind


@pytest.mark.parametrize(
    ("n_rows", "header", "row", "name"),
    [
        (19, "item_id,title,doors", "#,Car,#", "items.csv"),
        (20, "item_id,title,doors", "#,Car,#", "table.csv"),
        (20, "item_id,title,rating,votes", "#,Car,4.5,#", "table.csv"),
        (1000, "item_id,qzx", "#,u#", "table.csv"),
        (1000, "user_id,qzx", "#,#", "table.csv"),
    ],
)
def test_enough_evidence(tmp_path: Path, n_rows: int, header: str, row: str, name: str) -> None:
    kind = Kind.USERS if header.startswith("user") else Kind.ITEMS
    assert table(tmp_path, f"{header}\n{rows(n_rows, row)}", name=name).kind is kind
    short = rows(n_rows - 1, row) if name == "table.csv" else rows(n_rows, row)
    assert "in doubt" in refusal(tmp_path, f"{header}\n{short}")


@pytest.mark.parametrize(
    ("header", "n_repeats", "is_refused"),
    [
        ("item_id,colour", 2, False),
        ("item_id,colour", 3, True),
        ("item_id,farbe", 1, True),
        ("user_id,country", 3, True),
    ],
)
def test_repeated_ids(tmp_path: Path, header: str, n_repeats: int, is_refused: bool) -> None:
    text = f"{header}\n{rows(5, '#,red')}" + "100,blue\n" * n_repeats
    if is_refused:
        assert f"{n_repeats} of the first {5 + n_repeats} rows repeat an id" in refusal(tmp_path, text)
    else:
        assert table(tmp_path, text).kind is Kind.ITEMS


def test_file_named_after_actions(tmp_path: Path) -> None:
    text = "item_id,colour\na,red\n"
    assert "named after ratings" in refusal(tmp_path, text, name="purchases.csv")
    assert table(tmp_path, text, name="purchases.csv", kind="items").kind is Kind.ITEMS


@pytest.mark.parametrize(
    ("text", "name", "doubt"),
    [
        ("item_id,colour\na,red\n", "users.csv", "the file is named after users"),
        ("user_id,country\na,NO\n", "products.csv", "the file is named after items"),
    ],
)
def test_file_named_after_other_kind(tmp_path: Path, text: str, name: str, doubt: str) -> None:
    assert doubt in refusal(tmp_path, text, name=name)


def test_unclear_type_proposed(tmp_path: Path) -> None:
    text = "user,item,type,at\na,1,wobble,2020-01-01\nb,2,twirl,2020-01-02\n"
    assert "--columns user=user,item=item,type=type,timestamp=at" in refusal(tmp_path, text)


def test_kind_settles_doubts(tmp_path: Path) -> None:
    text = "item_id,stars,review_text\na,4,fine\n"
    assert "--kind items" in refusal(tmp_path, text)
    found = table(tmp_path, text, kind="items")
    assert (found.kind, found.names["stars"]) == (Kind.ITEMS, "stars")


@pytest.mark.parametrize(("kind", "ours"), [("items", "item_id"), ("users", "user_id")])
def test_kind_of_plain_id(tmp_path: Path, kind: str, ours: str) -> None:
    text = "imdb_id,id,name\ntt1,7,Heat\n"
    assert table(tmp_path, text, kind=kind).names == {"imdb_id": "imdb_id", "id": ours, "name": "title"} | (
        {"name": "name"} if kind == "users" else {}
    )


@pytest.mark.parametrize(
    ("text", "kind", "columns", "problem"),
    [
        ("user_id,item_id,rating\nu,i,4\n", "items", None, "--kind items --columns item=item_id"),
        ("user_id,age\nu,4\n", "items", None, "no column for the id of the item"),
        ("item_id,price\nu,4\n", "ratings", None, "no column that is recognised as an id of users"),
        ("user,item,rating\nu,i,4\n", "events", None, "no rating and no type of event"),
        ("a,b\nu,i\n", "items", "user=a,item=b", "which --kind items contradicts"),
        (
            "1::Heat (1995)::Crime\n2::Alien (1979)::Horror\n",
            "ratings",
            None,
            "layout of items, so it holds no ratings",
        ),
    ],
)
def test_kind_contradicted(tmp_path: Path, text: str, kind: str, columns: str | None, problem: str) -> None:
    assert problem in refusal(tmp_path, text, kind=kind, columns=columns)


def test_kind_with_columns(tmp_path: Path) -> None:
    found = table(tmp_path, "user_id,item_id,title\nu,i,Heat\n", kind="items", columns="item=item_id")
    assert (found.kind, found.names["user_id"]) == (Kind.ITEMS, "user_id")


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        (
            "user=who,item=what,rating=starz",
            "--columns names starz, but the columns of table.csv are: who, what, stars",
        ),
        ("user=Who,item=WHAT,rating=zeal,colour=hue", "--columns names zeal, hue, but"),
    ],
)
def test_columns_missing(tmp_path: Path, columns: str, problem: str) -> None:
    assert problem in refusal(tmp_path, "who,what,stars\nu,i,4\n", columns=columns)


def test_columns_in_any_case(tmp_path: Path) -> None:
    found = table(tmp_path, "Who,The What,Stars\nu,i,4\n", columns="user=who,item=the what,rating=STARS")
    assert found.names == {"Who": "user_id", "The What": "item_id", "Stars": "value"}


def test_columns_in_order_skip(tmp_path: Path) -> None:
    found = table(tmp_path, "u,x,y,i,4\n", columns="user,-,-,item,rating")
    (block,) = found.blocks()
    assert [block.column(name)[0] for name in ("user_id", "item_id", "value")] == ["u", "i", "4"]


def test_stated_columns_stay_in_doubt(tmp_path: Path) -> None:
    """To name one id is not to say that the rows are items."""
    assert "Kunde (its values look like codes)" in refusal(tmp_path, "Kunde,Ware\nu1,i1\nu2,i2\n", columns="item=Ware")
    assert "in doubt: rating" in refusal(tmp_path, "i,4\nj,5\n", columns="item,rating")


def test_order_is_for_text(tmp_path: Path) -> None:
    problem = refusal(tmp_path, '{"a": "u", "b": "i"}\n', columns="user,item")
    assert "use --columns user=NAME,item=NAME,rating=NAME" in problem


def test_column_twice(tmp_path: Path) -> None:
    assert "two columns of the name 'rating'" in refusal(tmp_path, "user,item,rating,rating\nu,i,4,5\n")


def test_vague_id_holds_no_ids(tmp_path: Path) -> None:
    """Films have a column `video` of true and false, and an item is no list."""
    found = table(tmp_path, "film_id,video,title\n1,True,Heat\n2,False,Alien\n")
    assert found.names == {"film_id": "item_id", "video": "video", "title": "title"}
    assert "user (may hold ids of users)" not in refusal(tmp_path, "user,video,rating\nann,True,4\n")


@pytest.mark.parametrize(
    ("text", "has_values"),
    [
        ("user_id,item_id,price,country\n" + "u,i,9,NO\n" * 2, False),
        ("user_id,item_id,order_id,date\nu,i,9,2020-01-01\n", False),
    ],
)
def test_pairs_with_properties(tmp_path: Path, text: str, has_values: bool) -> None:
    found = table(tmp_path, text)
    assert (found.kind, found.has_values) == (Kind.RATINGS, has_values)


def test_item_with_creator_is_no_pair(tmp_path: Path) -> None:
    problem = refusal(tmp_path, "item_id,user_id,title\n1,ann,Heat\n2,ann,Alien\n")
    assert "no rating and no type of event" in problem


def test_index_of_data_frame_ignored(tmp_path: Path) -> None:
    found = table(tmp_path, "Unnamed: 0,item_id,colour\n0,a,red\n")
    assert found.names["Unnamed: 0"] == "-"


def test_late_columns(tmp_path: Path) -> None:
    """Rows of a JSONL file that name a user are no items, also behind the rows that were sampled."""
    items = [json.dumps({"item_id": f"i{n}", "title": "T"}) for n in range(25_000)]
    late = ['{"item_id": "i1", "user_id": "u", "rating": 4}', '{"item_id": "x", "title": "T", "year": 1999}']
    found = table(tmp_path, "\n".join([*items, *late]) + "\n", name="table.jsonl")
    assert found.kind is Kind.ITEMS
    last = list(found.blocks())[-1]
    assert list(last.column("item_id"))[-1] == "x"
    assert list(last.column("year"))[-1] == 1999
    assert [row.reason for row in last.rejected] == ["user_id: the row is not one of items"]


def test_message_is_printable(tmp_path: Path) -> None:
    problem = refusal(tmp_path, '{"item_id": "i", "a\\u001b[2J": 7}\n', name="x.jsonl")
    assert "\\x1b[2J" in problem
    assert problem.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("names", "values"),
    [
        (ITEM_NAMES, {"item_id": "1260759144", "title": "5"}),
        (USER_NAMES, {"user_id": "1260759144", "country": "1260759144"}),
    ],
)
def test_export_may_hold_any_values(tmp_path: Path, names: tuple[str, ...], values: dict[str, str]) -> None:
    row = ",".join(values.get(name, "") for name in names)
    kind = Kind.ITEMS if "item_id" in names else Kind.USERS
    assert table(tmp_path, f"{','.join(names)}\n{row}\n").kind is kind
