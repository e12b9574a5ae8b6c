"""The forms of texts: Unicode normal form C, in which they are stored; folded, for search; and without secrets."""

import re
import unicodedata

# Marks that decompose from letters of the Latin, Greek and Cyrillic alphabets; the points of Hebrew and Arabic, which
# are mostly left out in writing; and the stroke that stretches an Arabic word. Marks of other scripts stay: in most of
# them a mark is a vowel, without which a word is another word.
_ACCENTS = re.compile(
    "[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4"
    "\u06e7\u06e8\u06ea-\u06ed]"
)

# Characters that show nothing: soft hyphens, joiners, marks of direction, selectors of variants.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]")

# Letters with a stroke or of two letters, which do not decompose; after case folding.
_BASE_LETTERS = str.maketrans(
    {
        "\u00f8": "o",
        "\u0142": "l",
        "\u0111": "d",
        "\u00f0": "d",
        "\u0127": "h",
        "\u0131": "i",
        "\u00e6": "ae",
        "\u0153": "oe",
        "\u00fe": "th",
    }
)

API_KEY = re.compile(r"\b((?:rk|rb)_[0-9a-f]{12}_)[0-9A-Za-z]{49}\b")
"""The text of an API key; the group is its public part."""

_USER_TOKEN = re.compile(r"\but_[A-Za-z0-9_-]{40,}")

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@,*]+")

ORIGIN_PATTERN = r"^[A-Za-z][A-Za-z0-9+.-]*://[^\s\x00-\x1f/?#@,*]+$"
"""Of an origin in any case, for JSON schemas."""


def is_origin(text: str) -> bool:
    """Whether `text` is an origin of web pages as browsers write it: SCHEME://HOST[:PORT] in lower case."""
    return _ORIGIN.fullmatch(text) is not None


def redacted(text: str) -> str:
    """Return `text` without the secret parts of API keys and user tokens."""
    # Nearly all texts have neither; a search for a fixed text is fast.
    if "_" not in text or not ("rk_" in text or "rb_" in text or "ut_" in text):
        return text
    return _USER_TOKEN.sub("ut_(redacted)", API_KEY.sub(r"\1(redacted)", text))


def nfc(text: str) -> str:
    """Return `text` in Unicode normal form C, in which texts that look the same are the same."""
    # Nearly all texts are ASCII, which NFC does not change.
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    """Return `text` without differences of case, accents and width, for search: `Café` becomes `cafe`.

    Idempotent. The result does not depend on the normal form of `text`.
    """
    if text.isascii():
        return text.lower()
    plain = text
    # A letter may have an accent only once its case is folded, and a compatibility form may contain capitals.
    while True:
        decomposed = unicodedata.normalize("NFKD", plain.casefold())
        base = _INVISIBLE.sub("", _ACCENTS.sub("", decomposed)).translate(_BASE_LETTERS)
        if (result := unicodedata.normalize("NFC", base)) == plain:
            return result
        plain = result
