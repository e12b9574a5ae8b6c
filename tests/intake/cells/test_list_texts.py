from collections import Counter

import pytest

from app.errors import InvalidInputError
from app.intake.cells.list_texts import SeparatorEvidence, read_literal, split


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[{'id': 16, 'name': 'Animation'}, {'id': 35, 'name': 'Comedy'}]", ["Animation", "Comedy"]),
        ('[{"id": 16, "name": "Animation"}]', ["Animation"]),
        ('[{"id": "1", "description": "Action"}]', ["Action"]),
        ("['A', 'B']", ["A", "B"]),
        ('["A","B"]', ["A", "B"]),
        ("['A' 'B'\n 'C']", ["A", "B", "C"]),
        ("[A, B]", ["A", "B"]),
        ("{A,B}", ["A", "B"]),
        ('{"A, B",C}', ["A, B", "C"]),
        ('[["Books", "Fiction"], ["Books", "New"]]', ["Books", "Fiction", "New"]),
        ("{'garage': False, 'street': True}", ["street"]),
        ('{"fiction": 12, "poetry": 0}', ["fiction"]),
        ("['Children\\'s', \"O'Neill\"]", ["Children's", "O'Neill"]),
        ("[Children's, Drama]", ["Children's", "Drama"]),
        (r'["A\/B", "\u00e9"]', ["A/B", "\u00e9"]),
        ("['A', None, 3]", ["A", "3"]),
        ("[]", []),
        ("{}", []),
    ],
)
def test_literal(text: str, names: list[str]) -> None:
    assert read_literal(text, "genres") == names


@pytest.mark.parametrize(
    "text", ["[oops", "['A', 'B'", "[" * 100_000, "{'a': 'b'}", "[True]", "[['A'", "{a: 1}", "['A', oops]"]
)
def test_no_literal(text: str) -> None:
    with pytest.raises(InvalidInputError):
        read_literal(text, "genres")


@pytest.mark.parametrize(
    ("texts", "separator"),
    [
        (["Drama, TV|News", "Comedy"], "|"),
        (["Drama, TV; News", "Comedy"], ";"),
        (["A, B"], ","),
        (["A, B"] * 10 + ["C, D"] * 10, None),
        (["A, B"] * 10 + ["C, B"] * 10, ","),
        (["A, B"] * 20 + ["B"], ","),
        (["B"] + ["A, B"] * 20, ","),
        (["Clothing, Shoes & Jewelry"] * 30 + ["Books"], None),
        (["A"], None),
        (["['A|B']", "A"], None),
    ],
)
def test_separator(texts: list[str], separator: str | None) -> None:
    evidence = SeparatorEvidence()
    evidence.add(Counter(texts))
    assert evidence.separator == separator


def test_parts() -> None:
    assert split(" A | B||A", "|") == ["A", "B"]
    assert split("Home > Garden > Pots", None) == ["Home", "Garden", "Pots"]
    assert split("A>B, C", ",") == ["A", "B", "C"]
    assert split("> 18 years", None) == ["> 18 years"]
