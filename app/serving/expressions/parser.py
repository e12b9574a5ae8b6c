"""Parses words into a tree, by recursive descent.

filter    = all { "or" all }
all       = one { "and" one }
one       = "not" one | "(" filter ")" | predicate
predicate = column ( operator value | ["not"] "between" value "and" value | ["not"] "in" values
                   | ["not"] "contains" value | "is" ["not"] "unknown" | )
          | value ( operator column | ["not"] "in" column )
column    = name | quoted | "attributes." ( name | quoted | text )
values    = "[" value { "," value } "]" | the same in parentheses | of_user
value     = text | ["-"] number | "true" | "false" | of_user | "now" [ ("+" | "-") number unit ]
of_user   = "user." ( name | quoted | text )
boost     = filter "->" ["-"] number { (";" | ",") boost }

`name` is letters, digits, `_`, and `.` or `-` between them; `quoted` is any characters between backticks. A name is
that of a field, if there is one, or of an attribute; `and`, `in` and other keywords are names only between backticks.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from app.serving.expressions.errors import ExpressionError
from app.serving.expressions.fields import FIELDS
from app.serving.expressions.syntax import (
    And,
    Between,
    Compare,
    Constant,
    Contains,
    FieldReference,
    FromNow,
    Has,
    IsTrue,
    IsUnknown,
    Not,
    OfUser,
    OneOf,
    Operator,
    Or,
    Term,
    Value,
)
from app.serving.expressions.words import KEYWORDS, Word, split

MAX_LENGTH = 5_000
MAX_DEPTH = 32
MAX_TERMS = 200
MAX_BOOSTS = 50
MAX_FACTOR = 100.0
MAX_SECONDS = 1e10
"""About three centuries; a time farther from now is a mistake."""

ATTRIBUTE, OF_USER = "attributes.", "user."
_MIRRORED: dict[str, Operator] = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
Parsed = TypeVar("Parsed")


@lru_cache(maxsize=512)
def read_filter(text: str, field: str | None) -> Term:
    """The tree of a filter; raises `ExpressionError`."""
    return Parser(text, field).whole(Parser.filter)


@lru_cache(maxsize=512)
def read_boost(text: str, field: str | None) -> tuple[tuple[Term, float], ...]:
    """The filters of a boost with their factors; raises `ExpressionError`."""
    return Parser(text, field).whole(Parser.boosts)


class Parser:
    def __init__(self, text: str, field: str | None) -> None:
        self._text = text
        self._field = field
        if len(text) > MAX_LENGTH:
            raise self._error(
                f"an expression has at most {MAX_LENGTH} characters, this one has {len(text)}", MAX_LENGTH
            )
        self._words = split(text, field)
        self._place = 0
        self._depth = 0
        self._n_terms = 0

    def whole(self, parse: Callable[["Parser"], Parsed]) -> Parsed:
        """The result of `parse`, which must consume all words."""
        if self._is_at_end():
            raise self._error("there is no expression here")
        parsed = parse(self)
        if not self._is_at_end():
            raise self._error("the expression ends before this; 'and' or 'or' is missing")
        return parsed

    @property
    def _word(self) -> Word:
        return self._words[self._place]

    def _is_at_end(self) -> bool:
        return self._word.kind == "end"

    def _take(self) -> Word:
        word = self._word
        self._place += 1
        return word

    def _takes(self, *alternatives: str) -> str | None:
        """Consumes and returns the next keyword or sign if it is one of these, else None."""
        word = self._word
        for alternative in alternatives:
            if word.is_sign(alternative) or word.is_keyword(alternative):
                self._place += 1
                return alternative
        return None

    def _must_take(self, sign: str, why: str) -> None:
        if self._takes(sign) is None:
            raise self._error(f"{sign!r} is missing{why}")

    def _error(self, reason: str, position: int | None = None) -> ExpressionError:
        """An error at the next word, or at `position`."""
        place = self._word.position if position is None else position
        return ExpressionError(reason, self._text, place, field=self._field)

    def boosts(self) -> tuple[tuple[Term, float], ...]:
        boosts = [self._boost()]
        while self._takes(";", ","):
            if self._is_at_end():
                break
            if len(boosts) == MAX_BOOSTS:
                raise self._error(f"a boost has at most {MAX_BOOSTS} factors")
            boosts.append(self._boost())
        return tuple(boosts)

    def _boost(self) -> tuple[Term, float]:
        term = self.filter()
        self._must_take("->", ": a boost is a filter, '->' and a factor")
        position = self._word.position
        factor = self._number()
        if not 0 <= factor <= MAX_FACTOR:
            raise self._error(f"a factor is a number from 0 to {MAX_FACTOR:g}", position)
        return term, factor

    def filter(self) -> Term:
        terms = [self._all()]
        while self._takes("or"):
            terms.append(self._all())
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def _all(self) -> Term:
        terms = [self._one()]
        while self._takes("and"):
            terms.append(self._one())
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def _one(self) -> Term:
        # The parser recurses here: a bound on the depth keeps Python's stack from overflowing.
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"parentheses and 'not' are nested more than {MAX_DEPTH} deep")
        if self._takes("not"):
            term: Term = Not(self._one())
        elif self._takes("("):
            term = self.filter()
            self._must_take(")", "")
        else:
            term = self._predicate()
        self._depth -= 1
        return term

    def _predicate(self) -> Term:
        self._n_terms += 1
        if self._n_terms > MAX_TERMS:
            raise self._error(f"an expression has at most {MAX_TERMS} comparisons")
        if self._is_column():
            column = self._column()
            return self._of_column(column)
        value = self._value("a column, a value, 'not' or '(' is expected here")
        operator = self._operator()
        # `1990 <= year` becomes `year >= 1990`, so that evaluation knows one form.
        if operator is not None:
            return Compare(self._column(), _MIRRORED[operator], value)
        is_negated = self._takes("not") is not None
        if self._takes("in") is None:
            raise self._error("an operator or 'in' is expected here, behind a value")
        return _negated(Has(value, self._column()), is_negated)

    def _of_column(self, column: FieldReference) -> Term:
        operator = self._operator()
        if operator is not None:
            return Compare(column, operator, self._value("a value is expected here"))
        if self._takes("is"):
            is_negated = self._takes("not") is not None
            self._must_take("unknown", ", as in 'year is unknown'")
            return _negated(IsUnknown(column), is_negated)
        is_negated = self._takes("not") is not None
        if self._takes("between"):
            low = self._value("a value is expected here")
            self._must_take("and", ", as in 'year between 1990 and 1999'")
            return _negated(Between(column, low, self._value("a value is expected here")), is_negated)
        if self._takes("in"):
            return _negated(OneOf(column, self._values()), is_negated)
        if self._takes("contains"):
            return _negated(Contains(column, self._value("a text is expected here")), is_negated)
        if is_negated:
            raise self._error("'in', 'between' or 'contains' is expected here, behind 'not'")
        return IsTrue(column)

    def _operator(self) -> Operator | None:
        return self._takes("=", "!=", "<", "<=", ">", ">=")  # type: ignore[return-value]  # one of these

    def _is_column(self) -> bool:
        word = self._word
        if word.kind == "prefix":
            return word.text == ATTRIBUTE
        if word.kind == "quoted":
            return True
        return word.kind == "name" and word.text.lower() not in KEYWORDS and not word.text.startswith(OF_USER)

    def _is_of_user(self) -> bool:
        return self._word.kind in {"name", "prefix"} and self._word.text.startswith(OF_USER)

    def _column(self) -> FieldReference:
        if not self._is_column():
            raise self._error("the name of a column is expected here")
        word = self._take()
        if word.kind == "prefix":
            return FieldReference(self._take().text, is_attribute=True, position=word.position)
        if word.kind == "quoted":
            return FieldReference(word.text, is_attribute=word.text not in FIELDS, position=word.position)
        if word.text.startswith(ATTRIBUTE):
            return FieldReference(word.text.removeprefix(ATTRIBUTE), is_attribute=True, position=word.position)
        return FieldReference(word.text, is_attribute=word.text not in FIELDS, position=word.position)

    def _values(self) -> tuple[Value, ...]:
        opened = self._takes("[", "(")
        if opened is None:
            if not self._is_of_user():
                raise self._error('a list is expected here, as in \'language in ["en", "fi"]\'')
            return (self._value(""),)
        values = [self._value("a value is expected here")]
        while self._takes(","):
            values.append(self._value("a value is expected here"))
        self._must_take("]" if opened == "[" else ")", "")
        return tuple(values)

    def _value(self, expected: str) -> Value:
        word = self._word
        if word.kind == "text":
            return Constant(self._take().text, word.position)
        if word.kind == "number" or word.is_sign("-"):
            return Constant(self._number(), word.position)
        if self._takes("now"):
            return FromNow(self._from_now(), word.position)
        flag = self._takes("true", "false")
        if flag is not None:
            return Constant(flag == "true", word.position)
        if not self._is_of_user():
            raise self._error(expected)
        self._take()
        name = self._take().text if word.kind == "prefix" else word.text.removeprefix(OF_USER)
        return OfUser(name, word.position)

    def _from_now(self) -> float:
        sign = self._takes("+", "-")
        if sign is None:
            return 0.0
        position = self._word.position
        number = self._number()
        unit = self._word.text.lower().removesuffix("s")
        if self._word.kind != "name" or unit not in _SECONDS:
            raise self._error("a unit is expected here: seconds, minutes, hours, days or weeks")
        self._take()
        seconds = number * _SECONDS[unit]
        if abs(seconds) > MAX_SECONDS:
            raise self._error("this is centuries from now", position)
        return -seconds if sign == "-" else seconds

    def _number(self) -> float:
        position = self._word.position
        is_negative = self._takes("-") is not None
        if self._word.kind != "number":
            raise self._error("a number is expected here")
        number = float(self._take().text)
        # `1e999` is a valid word, and infinite as a float.
        if number == float("inf"):
            raise self._error("this number is too large", position)
        return -number if is_negative else number


def _negated(term: Term, is_negated: bool) -> Term:
    return Not(term) if is_negated else term
