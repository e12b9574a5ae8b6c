"""The words of titles and queries, in the form in which they are compared."""

import re
import unicodedata
from collections.abc import Iterator

from app.texts import folded

_ASCII_WORD = re.compile(r"[a-z0-9]+")

# With `'` removed, `Schindler's` and `Schindlers` are one word.
_APOSTROPHE = re.compile("['\u2019\u02bc\u05f3\u05f4`\u00b4]")

# Scripts without blanks between words: Thai, Lao, Myanmar, Khmer, Kana and Han.
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]+)"
)


def title_words(text: str) -> list[str]:
    """Return the folded words of `text`, in order; of scripts without blanks, pairs of neighbouring characters.

    A symbol such as an emoji is a word of its own. Punctuation separates words, unless there is nothing else.
    """
    plain = _APOSTROPHE.sub("", folded(text))
    words = _ASCII_WORD.findall(plain) if plain.isascii() else [*_words_of_any_script(plain)]
    return words or [character for character in plain if not character.isspace()]


def _words_of_any_script(plain: str) -> Iterator[str]:
    spaced = "".join(map(_spaced, plain))
    for run in spaced.split():
        for number, part in enumerate(_UNSPACED.split(run)):
            # The odd parts are those that match.
            if number % 2 and len(part) > 1:
                yield from (part[place : place + 2] for place in range(len(part) - 1))
            elif part:
                yield part


def _spaced(character: str) -> str:
    """A letter, digit or mark as it is, a symbol between blanks, anything else a blank."""
    # In many scripts a vowel is a mark, which is no letter.
    category = unicodedata.category(character)
    if category[0] in "LNM":
        return character
    return f" {character} " if category == "So" else " "
