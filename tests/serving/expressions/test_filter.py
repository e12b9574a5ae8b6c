"""Filters and boosts: what they mean, item by item, and that nothing but an `ExpressionError` comes of any text."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.entities import Item, User
from app.serving.catalogue import Catalogue
from app.serving.expressions import ExpressionError, evaluation, parse_boost, parse_filter
from app.store import Store, migrate

NOW = 1_800_000_000_000_000  # microseconds UTC: January 2027

ITEMS = [
    Item("a", "Star Wars", ("Sci-Fi", "Action"), 1977, {"price": 5, "tags": ["space", "vegan"], "label": "Acme"}),
    Item("b", "Alien", ("Horror", "Sci-Fi"), 1979, {"price": 12.5, "tags": [], "is_dubbed": True, "In Stock": 3}),
    Item("c", "Amélie", ("Comedy",), 2001, {"label": 'A "quoted" one', "price": -1}, created_by="ann"),
    Item("d", None, (), None, {}, is_available=False, added_at=datetime(2026, 1, 2, tzinfo=UTC)),
]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    folder = tmp_path_factory.mktemp("expressions")
    migrate("", folder)
    store = Store.open("", folder)
    store.items.record(ITEMS)
    yield Catalogue(store.items, np.empty(0, np.int64))
    store.close()


Holds = Callable[[Item], bool]
CASES: list[tuple[str, Holds]] = [
    ("year >= 1979", lambda item: item.year is not None and item.year >= 1979),
    ("1979 <= year", lambda item: item.year is not None and item.year >= 1979),
    ("year = 1977", lambda item: item.year == 1977),
    ("year != 1977", lambda item: item.year not in {None, 1977}),
    ("not year = 1977", lambda item: item.year != 1977),
    ("year between 1977 and 1979", lambda item: item.year in {1977, 1979}),
    ("year in [1977, 2001]", lambda item: item.year in {1977, 2001}),
    ("year is unknown", lambda item: item.year is None),
    ("year is not unknown", lambda item: item.year is not None),
    ('"Sci-Fi" in categories', lambda item: "Sci-Fi" in item.categories),
    ('"Sci-Fi" not in categories', lambda item: "Sci-Fi" not in item.categories),
    ('not ("Horror" in categories) AND year < 2000', lambda item: item.item_id == "a"),
    ("'Horror' in categories or 'Comedy' in categories", lambda item: item.item_id in {"b", "c"}),
    ('title contains "lie"', lambda item: item.title is not None and "lie" in item.title.lower()),
    ('title = "Amélie"', lambda item: item.title == "Amélie"),
    ("price > 5", lambda item: item.item_id == "b"),
    ("price = -1", lambda item: item.item_id == "c"),
    ("attributes.price between 0 and 10", lambda item: item.item_id == "a"),
    ('"vegan" in tags', lambda item: item.item_id == "a"),
    ('label in ["Acme", "Other"]', lambda item: item.item_id == "a"),
    ("label = 'A \"quoted\" one'", lambda item: item.item_id == "c"),
    ("is_available", lambda item: item.is_available),
    ("'sci-fi' in categories", lambda item: "Sci-Fi" in item.categories),
    ("categories contains 'HORROR'", lambda item: item.item_id == "b"),
    ("label = 'ACME' or label != 'acme'", lambda item: item.item_id in {"a", "c"}),
    ("title = 'AME\u0301LIE'", lambda item: item.item_id == "c"),
    ("`label` in ['acme']", lambda item: item.item_id == "a"),
    ("`In Stock` >= 3 and attributes.`In Stock` < 4 and `year` = 1979", lambda item: item.item_id == "b"),
    ("created_by = 'Ann'", lambda item: item.created_by == "Ann"),
    ("not is_available", lambda item: not item.is_available),
    ("is_dubbed = true", lambda item: item.item_id == "b"),
    ('created_by = "ann"', lambda item: item.item_id == "c"),
    ('added_at > "2026-01-01T00:00:00Z"', lambda item: item.item_id == "d"),
]


@pytest.mark.parametrize(("text", "holds"), CASES, ids=[text for text, _ in CASES])
def test_means_what_it_says(text: str, holds: Holds, catalogue: Catalogue) -> None:
    mask = parse_filter(text).mask(catalogue, now=NOW)
    shown = {catalogue.item_ids[row] for row in np.flatnonzero(mask)}
    assert shown == {item.item_id for item in ITEMS if holds(item)}


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("year >", 6),
        ("", 0),
        ("year = = 3", 7),
        ("(year = 3", 9),
        ("year = 3)", 8),
        ("year = 3 year", 9),
        ('title = "open', 8),
        ("year ~ 3", 5),
        ("year between 3", 14),
        ("colour = 3", 0),
        ('year = "text"', 7),
        ("title > 3", 8),
        ("year = 1 or `open", 12),
        ("`` = 1", 0),
        ("year = `user.country`", 7),
    ],
)
def test_says_where(text: str, position: int, catalogue: Catalogue) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_filter(text).mask(catalogue, now=NOW)
    assert caught.value.field == "filter"
    assert f"at character {caught.value.position}" in caught.value.detail
    assert abs(caught.value.position - position) <= 1


def test_unknown_name_lists_the_known(catalogue: Catalogue) -> None:
    with pytest.raises(ExpressionError, match=r"categories.*price"):
        parse_filter("colour = 3").mask(catalogue, now=NOW)


def test_unknown_name_says_which_is_near(catalogue: Catalogue) -> None:
    with pytest.raises(ExpressionError, match="did you mean 'price'"):
        parse_filter("Prise = 3").mask(catalogue, now=NOW)


def test_unknown_names(catalogue: Catalogue) -> None:
    text = "'Komedy' in categories and (colour = 3 or 'SCI-FI' in categories) and categories contains 'x' and price > 1"
    unknown = [*parse_filter(text).unknown_names(catalogue)]
    assert [(each.kind, each.name) for each in unknown] == [
        ("category", "Komedy"),
        ("attribute", "colour"),
        ("category", "x"),
    ]
    assert all(text[each.position :].lstrip("'").startswith(each.name) for each in unknown)
    assert "did you mean 'Comedy'" in unknown[0].error(catalogue).detail
    assert [each.name for each in parse_boost("a = 1 -> 2; b is unknown -> 3").unknown_names(catalogue)] == ["a", "b"]


def test_stored_ones_outlive_an_attribute(catalogue: Catalogue) -> None:
    assert not parse_filter("colour = 3").mask(catalogue, is_strict=False, now=NOW).any()
    assert (parse_boost("colour = 3 -> 5").factors(catalogue, is_strict=False, now=NOW) == 1).all()


@pytest.mark.parametrize(
    "text",
    ["(" * 100_000, "not " * 100_000, "year = 1 and " * 500 + "year = 1", "x" * 5_001, "year in [" + "1," * 4_000],
)
def test_bounded(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_filter(text)


@given(text=st.text(max_size=60) | st.text("()[]<>=!,;->\"'. abcyear0123456789andorti\n\x00", max_size=60))
@settings(max_examples=150)
def test_any_text_is_judged(text: str, catalogue: Catalogue) -> None:
    for parse in (parse_filter, parse_boost):
        with suppress(ExpressionError):
            parsed = parse(text)
            values = parsed.mask(catalogue, now=NOW) if hasattr(parsed, "mask") else parsed.factors(catalogue, now=NOW)
            assert values.shape == (len(catalogue),)


@given(year=st.integers(1970, 2010), words=st.lists(st.sampled_from(["and", "or"]), max_size=3), negate=st.booleans())
@settings(max_examples=50)
def test_and_or_not(year: int, words: list[str], negate: bool, catalogue: Catalogue) -> None:
    """`and` binds closer than `or`, as in Python."""
    parts = ["year < {y}", "price > 1", "is_available", '"Sci-Fi" in categories'][: len(words) + 1]
    text = parts[0] + "".join(f" {word} {part}" for word, part in zip(words, parts[1:], strict=True))
    text = f"not ({text})" if negate else text
    mask = parse_filter(text.format(y=year)).mask(catalogue, now=NOW)
    for item in ITEMS:
        row = catalogue.row_of_id(item.item_id)
        price = item.attributes.get("price")
        names = {
            "year < {y}": item.year is not None and item.year < year,
            "price > 1": isinstance(price, int | float) and price > 1,
            "is_available": item.is_available,
            '"Sci-Fi" in categories': "Sci-Fi" in item.categories,
        }
        values = [names[part] for part in parts]
        groups: list[list[bool]] = [[values[0]]]
        for word, value in zip(words, values[1:], strict=True):
            if word == "and":
                groups[-1].append(value)
            else:
                groups.append([value])
        assert mask[row] == (any(all(group) for group in groups) != negate)


def test_searches_are_bounded(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts looked for x texts searched, those of the user included."""
    user = User("ann", attributes={"likes": ["one", "two", "three"]})
    of_user = parse_filter("title contains user.likes")
    monkeypatch.setattr(evaluation, "MAX_SEARCHES", 3 * len(catalogue))
    of_user.mask(catalogue, user, now=0)
    monkeypatch.setattr(evaluation, "MAX_SEARCHES", 3 * len(catalogue) - 1)
    with pytest.raises(ExpressionError, match=f"at most {3 * len(catalogue) - 1} others"):
        of_user.mask(catalogue, user, now=0)


def test_boosts_multiply(catalogue: Catalogue) -> None:
    factors = parse_boost('"Sci-Fi" in categories -> 2; year < 1978 -> 1.5, "Comedy" in categories -> 0').factors(
        catalogue, now=NOW
    )
    of_item = {item_id: factors[catalogue.row_of_id(item_id)] for item_id in "abcd"}
    assert of_item == {"a": 3.0, "b": 2.0, "c": 0.0, "d": 1.0}


@pytest.mark.parametrize("factor", ["NaN", "1e308", "1e999", "-1", "inf", "101", "", "x"])
def test_bad_factor(factor: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_boost(f"year > 1 -> {factor}")
    assert caught.value.field == "boost"
