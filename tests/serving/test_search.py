"""Search: which titles a query finds, in which order, and that the index follows the catalogue."""

import asyncio
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.entities import Item
from app.errors import InvalidInputError
from app.serving.catalogue import title_words
from app.serving.catalogue.title_index import TitleIndex
from app.serving.catalogue.word_table import is_one_typo
from app.serving.query import Query, SearchResults
from app.serving.search import listing_of
from app.wiring import Service
from tests.support.requests import ask, query_of

TITLES = [
    "Toy Story",
    "Toy Story 2",
    "Story of Toys",
    "Star Wars: Episode IV",
    "Caf\u00e9 M\u00fcller",
    "\u6771\u4eac\u7269\u8a9e",
    "\u05e9\u05dc\u05d5\u05dd",
    "\u0645\u064e\u0631\u0652\u062d\u064e\u0628\u064b\u0627",
    "Schindler's List",
    "It",
    "\u0939\u093f\u0928\u094d\u0926\u0940",
    "!!!",
    "\U0001f600 Movie",
    None,
]


class Shelf:
    """Titles by row; the key of a row is the row + 1."""

    def __init__(self, titles: list[str | None]) -> None:
        self.titles = titles
        self.index = TitleIndex()

    @property
    def keys(self) -> Any:
        return np.arange(len(self.titles)) + 1

    def rows_of_keys(self, keys: Any) -> Any:
        return np.asarray(keys) - 1

    def put(self, row: int, title: str | None) -> None:
        self.titles[row] = title
        self.index.change([row + 1])

    def found(self, query: str) -> list[str | None]:
        shown = np.ones(len(self.titles), np.bool_)
        rows, scores = self.index.matches(title_words(query), self, shown)
        assert ((scores > 0) & (scores <= 1)).all()
        return [self.titles[row] for row in rows[np.lexsort((rows, -scores))]]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("toy story", "Toy Story"),
        ("TOY STROY", "Toy Story"),
        ("toystory", "Toy Story"),
        ("t oy story", "Toy Story"),
        ("toyxstory", "Toy Story"),
        ("story toy 2", "Toy Story 2"),
        ("toy sto", "Toy Story"),
        ("cafe muller", "Caf\u00e9 M\u00fcller"),
        ("Cafe\u0301 Mu\u0308ller", "Caf\u00e9 M\u00fcller"),
        ("schindlers lst", "Schindler's List"),
        ("\u6771\u4eac", "\u6771\u4eac\u7269\u8a9e"),
        ("\u7269\u8a9e", "\u6771\u4eac\u7269\u8a9e"),
        ("\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
        ("\u0645\u0631\u062d\u0628\u0627", "\u0645\u064e\u0631\u0652\u062d\u064e\u0628\u064b\u0627"),
        ("\u200f\u05e9\u05dc\u05d5\u05dd\u200e", "\u05e9\u05dc\u05d5\u05dd"),
        ("\u0939\u093f\u0928\u094d\u0926", "\u0939\u093f\u0928\u094d\u0926\u0940"),
        ('"star wars', "Star Wars: Episode IV"),
        ("!!!", "!!!"),
        ("\U0001f600", "\U0001f600 Movie"),
        ("it", "It"),
    ],
)
def test_finds(query: str, first: str) -> None:
    assert Shelf([*TITLES]).found(query)[0] == first


@pytest.mark.parametrize("query", ["zzzzzz", "???", "\u6771\u5317", "\U0001f601", "", "   "])
def test_finds_nothing(query: str) -> None:
    assert Shelf([*TITLES]).found(query) == []


@pytest.mark.parametrize("query", ["star w", "star wa", "stra wa", "s star wars"])
def test_last_word_is_begun(query: str) -> None:
    """What is typed of the last word counts, and a short word is no typo of the one beside it."""
    shelf = Shelf(["Star Trek", "Lone Star", "Star Wars: Episode IV", "Stars", "A Star Is Born"])
    assert shelf.found(query)[0] == "Star Wars: Episode IV"


def test_empty_shelf() -> None:
    assert Shelf([]).found("toy") == Shelf([None]).found("toy") == []


@given(st.text(max_size=60))
@settings(max_examples=200)
def test_any_text_is_searched(text: str) -> None:
    shelf = Shelf([*TITLES, text])
    assert (text in shelf.found(text)) == bool(title_words(text))


edits = st.lists(st.tuples(st.integers(0, 7), st.sampled_from(["toy story", "toys", "star", "a b", "ab", None])))


@given(edits)
@settings(max_examples=100)
def test_changes_are_found_as_if_indexed_anew(changes: list[tuple[int, str | None]]) -> None:
    """A changed title is indexed apart, and found as well as in an index of all."""
    shelf = Shelf([*TITLES[:8]])
    shelf.found("toy")
    for row, title in changes:
        shelf.put(row, title)
        assert None not in shelf.found("toy story")
    for query in ("toy", "stra", "ab"):
        assert set(shelf.found(query)) == set(Shelf([*shelf.titles]).found(query))


@given(st.text("abc", min_size=1, max_size=5), st.text("abc", min_size=1, max_size=5))
def test_one_typo(left: str, right: str) -> None:
    def typos(word: str) -> set[str]:
        ends = [(word[:place], word[place:]) for place in range(len(word) + 1)]
        made = {a + b[1:] for a, b in ends if b} | {a + c + b for a, b in ends for c in "abc"}
        made |= {a + c + b[1:] for a, b in ends if b for c in "abc"}
        made |= {a + b[1] + b[0] + b[2:] for a, b in ends if len(b) > 1}
        return made - {word}

    assert is_one_typo(left, right) == is_one_typo(right, left) == (right in typos(left))


def with_typo(title: str, rng: random.Random) -> str:
    place, letter = rng.randrange(len(title)), rng.choice("abcdefghijklmnopqrstuvwxyz")
    before, behind = title[:place], title[place:]
    swapped = before + behind[1:2] + behind[:1] + behind[2:]
    return rng.choice([before + letter + behind, before + behind[1:], before + letter + behind[1:], swapped])


def made_up_titles(n: int, rng: random.Random) -> list[str]:
    syllables = [first + second for first in "bcdfghklmnprst" for second in ("a", "e", "in", "or", "us")]
    words = ["".join(rng.choices(syllables, k=rng.randrange(1, 4))) for _ in range(n // 2)]
    return [" ".join(rng.choices(words, k=rng.randrange(1, 5))) for _ in range(n)]


def test_title_with_a_typo() -> None:
    """recall@10 of titles with one random typo each."""
    rng = random.Random(0)  # noqa: S311  no secret
    titles = made_up_titles(3_000, rng)
    shelf = Shelf([*titles])
    asked = rng.sample(titles, 300)
    assert sum(title in shelf.found(with_typo(title, rng))[:10] for title in asked) >= 0.95 * len(asked)


def search(service: Service, text: str, user_id: str | None = None, returned: Any = None, **options: Any) -> Any:
    async def answer() -> SearchResults:
        query: Query = query_of(user_id, returned_keys=returned, **options)
        return await service.searcher.search(text, query, await service.request_states.read(user_id or ""))

    return asyncio.run(answer())


def ids(results: SearchResults) -> list[str]:
    return [item.item_id for item in results.items]


@pytest.fixture
def titled(service: Service) -> Service:
    """Titles of the 60 items are "Item 0" ...; two more are much the same, one has other words."""
    service.store.items.record([Item("a", "Blue Moon", ("odd",)), Item("b", "Blue Moons"), Item("c", "Item blue")])
    return service


def test_order_is_by_text_then_by_user(titled: Service) -> None:
    results = search(titled, "blue moon", "user-0")
    assert ids(results)[0] == "a"
    assert [item.text_score for item in results.items] == sorted(
        (i.text_score or 0 for i in results.items), reverse=True
    )
    # All titles match "item" alike, so the users' scores decide: those of two camps differ.
    liked = {user: ids(search(titled, "item", user, limit=20)) for user in ("user-0", "user-1")}
    assert liked["user-0"] != liked["user-1"]
    scores = [item.score for item in search(titled, "item", "user-0", limit=20).items if item.title != "Item blue"]
    assert scores == sorted(scores, reverse=True)


def test_options_hold(titled: Service) -> None:
    assert ids(search(titled, "blue moon", categories=("ODD",))) == ["a"]
    assert ids(search(titled, "blue", filter="title contains 'item'")) == ["c"]
    assert len(search(titled, "item", limit=7).items) == 7
    notes = search(titled, "item", categories=("od",)).notes
    assert "did you mean 'odd'" in notes[0]


def test_rated_items_are_found(titled: Service) -> None:
    assert len(ids(ask(titled, query_of("user-0")))) < 60
    assert len(ids(search(titled, "item", "user-0", limit=100))) == 61


def test_unavailable_is_not_found(titled: Service) -> None:
    assert ids(search(titled, "blue moon"))[0] == "a"
    titled.store.items.record([Item("a", "Blue Moon", is_available=False)])
    assert ids(search(titled, "blue moon")) == ["b"]
    titled.store.items.delete("b")
    assert ids(search(titled, "blue moon")) == ["c"]


def test_follows_changes(titled: Service) -> None:
    search(titled, "blue")
    titled.store.items.record([Item("a", "Red Sun"), Item("d", "Blue Moon")])
    assert ids(search(titled, "blue moon"))[0] == "d"
    assert ids(search(titled, "red sun")) == ["a"]
    rebased = titled.serving.current.catalogue.rebased(titled.serving.current.catalogue.keys[:5].copy())
    rows = rebased.title_matches(["red", "sun"], 0).rows
    assert [rebased.item_ids[row] for row in rows] == ["a"]


def test_pages(titled: Service) -> None:
    whole = ids(search(titled, "item", "user-0", limit=30))
    paged: list[str] = []
    returned = None
    for _ in range(3):
        page = search(titled, "item", "user-0", limit=10, returned=returned)
        paged += ids(page)
        assert page.next_cursor is not None
        returned = titled.tokens.read_cursor(listing_of("item", "user-0"), page.next_cursor)
    assert (len(set(paged)), set(paged[:5])) == (30, set(whole[:5]))
    assert search(titled, "blue moon", limit=10).next_cursor is None


def test_no_words_is_recommendations(titled: Service) -> None:
    results = search(titled, "  ", "user-0", limit=5)
    assert [item.text_score for item in results.items] == [None] * 5
    assert len(set(ids(results)) & {"a", "b", "c"}) < 3


@pytest.mark.slow
def test_too_many_words(titled: Service) -> None:
    with pytest.raises(InvalidInputError, match="at most 64 words"):
        search(titled, "a b " * 40)
