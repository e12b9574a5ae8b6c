"""The words of an expression: names, texts, numbers, signs."""

import re
from typing import Literal, NamedTuple

from app.serving.expressions.errors import ExpressionError
from app.texts import nfc

Kind = Literal["name", "prefix", "quoted", "text", "number", "sign", "end"]
KEYWORDS = frozenset({"and", "or", "not", "in", "between", "contains", "is", "unknown", "true", "false", "now"})

_WORD = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<prefix>(?:attributes|user)\.(?=["'`]))      # before a name in quotes
  | (?P<quoted>`[^`]+`)                              # a name of any characters
  | (?P<name>[^\W\d]\w*(?:[.-][^\W\d]\w*)*)
  | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?!\w))
  | (?P<sign>->|[!<>=]=|<>|[-+=<>()\[\],;])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u(?P<code>[0-9a-fA-F]{4})|(?P<other>.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "/": "/"}
_SIGNS = {"==": "=", "<>": "!="}


class Word(NamedTuple):
    """`text`: a name as written, the content of a quoted name or text, the canonical spelling of a sign.

    Names and texts are in Unicode normal form C, as those of the items are.
    """

    kind: Kind
    text: str
    position: int

    def is_keyword(self, keyword: str) -> bool:
        return self.kind == "name" and self.text.lower() == keyword

    def is_sign(self, sign: str) -> bool:
        return self.kind == "sign" and self.text == sign


def split(text: str, field: str | None) -> list[Word]:
    """All words, followed by one of kind `end`."""
    words = []
    position = 0
    while position < len(text):
        match = _WORD.match(text, position)
        if match is None:
            raise ExpressionError(_reason(text[position]), text, position, field=field)
        kind: Kind = match.lastgroup  # type: ignore[assignment]  # one of the groups, each named as a kind
        if match.lastgroup != "space":
            words.append(Word(kind, _read(kind, match[0], text, position, field), position))
        position = match.end()
    return [*words, Word("end", "", len(text))]


def _reason(character: str) -> str:
    if character in "\"'":
        return "a text begins here and does not end"
    if character == "`":
        return "a name begins here and is empty or does not end"
    if character.isdecimal() or character == ".":
        return "this is no number"
    return "this character has no meaning here"


def _read(kind: Kind, written: str, text: str, position: int, field: str | None) -> str:
    if kind == "sign":
        return _SIGNS.get(written, written)
    if kind in {"name", "quoted"}:
        return nfc(written.strip("`"))
    if kind != "text":
        return written

    def unescaped(match: re.Match[str]) -> str:
        if match["code"]:
            return chr(int(match["code"], 16))
        if match["other"] in _ESCAPED:
            return _ESCAPED[match["other"]]
        raise ExpressionError(
            "this is no escape; a backslash is written \\\\", text, position + 1 + match.start(), field=field
        )

    read = _ESCAPE.sub(unescaped, written[1:-1])
    if any("\ud800" <= character <= "\udfff" for character in read):
        raise ExpressionError("half of a surrogate pair is no character", text, position, field=field)
    return nfc(read)
