"""Names that may have been meant."""

from app.serving.near_names import near_names, suggestion


def test_near_names() -> None:
    known = ["Comedy", "Crime", "Com\u00e9die", "Sci-Fi"]
    assert near_names("comdy", known)[0] == "Comedy"
    assert near_names("COMEDIE", known)[0] == "Com\u00e9die"
    assert near_names("Western", known) == near_names("", known) == near_names("x", []) == []


def test_suggestion() -> None:
    assert suggestion("comdy", ["Comedy", "Crime"]) == "; did you mean 'Comedy'?"
    assert suggestion("Western", ["Comedy", "Crime"]) == ""
