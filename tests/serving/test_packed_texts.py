"""Tests of all texts at once, compared with Python's own tests of each."""

import operator
import random
from collections.abc import Callable
from functools import partial

import pytest

from app.serving.catalogue import PackedTexts

ALPHABET = "ab\u00e9\u4e2d\U0001f600 \0"
OPERATORS = (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge)


def made_up(n: int, seed: int = 0) -> list[str | None]:
    """Short texts of few letters, so that parts, prefixes and whole texts recur; None and empty ones among them."""
    choose = random.Random(seed)  # noqa: S311  repeatable, no secrets
    texts: list[str | None] = [None, "", *("".join(choose.choices(ALPHABET, k=choose.randrange(14))) for _ in range(n))]
    choose.shuffle(texts)
    return texts


TEXTS = made_up(300)
ASKED = [text for text in made_up(60, seed=1) if text is not None] + ["a", "a" * 20, "zz", "\0" * 9]


def expected(test: Callable[[str], bool]) -> list[bool]:
    return [text is not None and test(text) for text in TEXTS]


@pytest.mark.parametrize("asked", ASKED)
def test_containing(asked: str) -> None:
    assert PackedTexts(TEXTS).containing(asked).tolist() == expected(lambda text: asked in text)


@pytest.mark.parametrize("compare", OPERATORS)
def test_compared(compare: Callable[[str, str], bool]) -> None:
    packed = PackedTexts(TEXTS)
    for asked in ASKED:
        assert packed.compared(compare, asked).tolist() == expected(partial(_mirrored(compare), asked))


def _mirrored(compare: Callable[[str, str], bool]) -> Callable[[str, str], bool]:
    return lambda asked, text: compare(text, asked)


def test_among() -> None:
    wanted = {*ASKED, *(text for text in TEXTS[:50] if text)}
    assert PackedTexts(TEXTS).among(wanted).tolist() == expected(wanted.__contains__)


def test_no_texts() -> None:
    for texts in ([], [None], [""]):
        assert PackedTexts(texts).containing("a").tolist() == [False] * len(texts)
        assert PackedTexts(texts).compared(operator.lt, "a").tolist() == [text == "" for text in texts]
