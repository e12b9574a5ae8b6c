"""The option `--columns`."""

import pytest

from app.errors import InvalidInputError
from app.intake.column_names.columns import Columns, Kind


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("user,item,rating,timestamp", ["user_id", "item_id", "value", "rated_at"]),
        ("user,-,-,item,rating", ["user_id", "-", "-", "item_id", "value"]),
        ("customer, sku , stars", ["user_id", "item_id", "value"]),
        ("user,type,item,timestamp", ["user_id", "type", "item_id", "at"]),
        ("item,title,shelf mark", ["item_id", "title", "shelf mark"]),
        ('user,item,rating,"a, b=c"', ["user_id", "item_id", "value", "a, b=c"]),
    ],
)
def test_in_order(text: str, names: list[str]) -> None:
    assert Columns.parse(text).names == names


@pytest.mark.parametrize(
    ("text", "renamed"),
    [
        ("user=who,item=what", {"who": "user_id", "what": "item_id"}),
        ('user="Customer, ID",item="a=b"', {"Customer, ID": "user_id", "a=b": "item_id"}),
        ('user="say ""who""",item=what', {'say "who"': "user_id", "what": "item_id"}),
        ("user=Customer ID,item=SKU", {"Customer ID": "user_id", "SKU": "item_id"}),
        ("item=sku,colour=Farbe", {"sku": "item_id", "Farbe": "colour"}),
        ("user=who,item=what,type=did,timestamp=t", {"who": "user_id", "what": "item_id", "did": "type", "t": "at"}),
    ],
)
def test_mapping(text: str, renamed: dict[str, str]) -> None:
    assert Columns.parse(text).naming.renamed == renamed


@pytest.mark.parametrize("text", ["tea", "a,b,c", "user=", "user=a,item", ",", 'user="a', "user,item,zeal", "-"])
def test_not_understood(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is neither user,item,rating"):
        Columns.parse(text)


@pytest.mark.parametrize("text", ["user,item,item", "user=a,item=a", "user=a,user=b,item=c"])
def test_named_twice(text: str) -> None:
    with pytest.raises(InvalidInputError, match="twice"):
        Columns.parse(text)


def test_kind_leaves_names_free() -> None:
    assert Columns.parse("id,name", Kind.ITEMS).names == ["item_id", "title"]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (["Customer ID", "rest"], {"Customer ID": "user_id"}),
        (["customerid", "rest"], {"customerid": "user_id"}),
        (["CUSTOMER  ID ", "customer id"], {}),
        (["customer id", "Customer ID"], {"Customer ID": "user_id"}),
        (["customer_id"], {}),
    ],
)
def test_case_and_blanks_ignored(header: list[str], found: dict[str, str]) -> None:
    naming = Columns.parse('user="Customer ID"').naming
    assert naming.stated(header) == found
    assert naming.missing(header) == ([] if found else ["Customer ID"])
