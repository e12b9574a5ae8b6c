import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.intake.files.spreadsheet_cells import mark, unmark


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-5", "'-5"),  # text, although it looks like a number
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("'Tis", "''Tis"),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_marks(text: str, marked: str) -> None:
    assert (mark(text), unmark(marked)) == (marked, text)


def test_mark_of_others() -> None:
    """A quote that `mark` did not put there stays."""
    assert unmark("'Tis") == "'Tis"


@given(st.text(st.sampled_from("=+-@\t\r\n'a\uff0b"), max_size=4))
def test_no_text_is_lost(text: str) -> None:
    assert unmark(mark(text)) == text
