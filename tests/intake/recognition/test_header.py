"""Whether the first row is a header, where the user names the columns in their order."""

import pytest

from app.intake.recognition.header import is_header

RATINGS = ["user_id", "item_id", "value"]


@pytest.mark.parametrize(
    ("rows", "names", "expected"),
    [
        (["0,1,2", "7,8,5"], RATINGS, True),
        (["0,1,2", "0,8,5"], RATINGS, False),
        (["7,8,5", "0,1,2"], RATINGS, False),
        (["7,8,5"], RATINGS, False),
        (["a,b,c", "u,i,4"], RATINGS, True),
        (["user1,item1,rating1", "ann,x,4"], RATINGS, True),
        (["u1,i1,4", "u2,i2,5"], RATINGS, False),
        (["ann,heat,4", "bob,alien,5"], RATINGS, False),
        (["ann,heat,NA", "bob,alien,5"], RATINGS, False),
        (["who,what", "u1,i1"], ["user_id", "item_id"], True),
        (["who,what", "ann,heat"], ["user_id", "item_id"], False),
        (["item,name", "ABC,Quiet Signal"], ["item_id", "title"], True),
        (["ABC,Quiet Signal", "DEF,Loud"], ["item_id", "title"], False),
        (["item,name"], ["item_id", "title"], True),
        (["when,who,what", "2020-01-01,ann,heat"], ["rated_at", "user_id", "item_id"], True),
        (["2020-01-01,ann,heat", "2020-01-02 10:00,bob,alien"], ["rated_at", "user_id", "item_id"], False),
    ],
)
def test_header_or_data(rows: list[str], names: list[str], expected: bool) -> None:
    assert is_header([row.split(",") for row in rows], names) is expected
