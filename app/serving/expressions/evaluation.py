"""Evaluates a parsed expression over whole columns, to a mask of the catalogue's rows."""

import operator
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from app.entities import User, to_microseconds
from app.serving.catalogue import Mask, PackedTexts
from app.serving.expressions.errors import ExpressionError
from app.serving.expressions.fields import FIELDS, KIND_NAMES
from app.serving.expressions.item_table import ItemTable, holds_ids
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
    Predicate,
    Term,
    Value,
)
from app.serving.near_names import suggestion

MAX_SEARCHES = 200_000_000
"""Texts that are looked for x texts that are searched, in one expression: 200 terms in a million titles, one second."""

MAX_NAMES = 60
"""How many attributes the error about an unknown one lists."""

_OPERATORS: dict[Operator, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class Moment(NamedTuple):
    microseconds: int


Plain = str | float | bool | Moment


class ExpressionEvaluator:
    """Evaluates one expression for one user at one moment.

    A predicate that does not fit the catalogue (an unknown attribute, a text compared with a flag) raises
    `ExpressionError` if `is_strict`, and is false for all items otherwise. A value of the user that does not fit never
    raises, because the expression is not at fault.
    """

    def __init__(self, table: ItemTable, text: str, user: User | None, field: str | None, *, is_strict: bool) -> None:
        self._table = table
        self._text = text
        self._user = user
        self._field = field
        self._is_strict = is_strict
        self._now = table.now
        self._n_searches = 0

    def mask(self, term: Term) -> Mask:
        """(n,) bool, a new array."""
        match term:
            # Every mask is new, so the first of them can be reduced in place.
            case And(terms):
                return reduce(operator.iand, map(self.mask, terms))
            case Or(terms):
                return reduce(operator.ior, map(self.mask, terms))
            case Not(negated):
                return ~self.mask(negated)
            case _:
                return self._predicate(term)

    def _predicate(self, term: Predicate) -> Mask:
        mask = self._table.none()
        if not self._exists(term.column):
            return ~mask if isinstance(term, IsUnknown) else mask
        match term:
            case Compare(column, sign, value):
                mask = self._compared(column, sign, value)
            case Between(column, low, high):
                mask = self._compared(column, ">=", low) & self._compared(column, "<=", high)
            case OneOf(column, values):
                mask = self._among(column, values)
            case Has(text, column):
                mask = self._having(column, text)
            case Contains(column, text):
                mask = self._containing(column, text)
            case IsUnknown(column):
                mask = ~self._table.known(column)
            case IsTrue(column):
                mask = self._true(column)
        return mask

    def _exists(self, column: FieldReference) -> bool:
        if self._table.kinds(column):
            return True
        if self._is_strict:
            names = self._table.attribute_names
            more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
            known = f"fields: {', '.join(FIELDS)}; attributes: {', '.join(names[:MAX_NAMES]) or 'none'}{more}"
            near = suggestion(column.name, [*FIELDS, *names])
            raise self._error(f"no item has an attribute {column.name!r}{near}; {known}", column.position)
        return False

    def _misfit(self, column: FieldReference, reason: str, at: FieldReference | Value) -> Mask:
        """An empty mask, or an error; see the class."""
        if self._is_strict and not isinstance(at, OfUser):
            kinds = " or ".join(KIND_NAMES[kind] for kind in sorted(self._table.kinds(column)))
            raise self._error(f"{column.name!r} is {kinds}; {reason}", at.position)
        return self._table.none()

    def _error(self, reason: str, position: int) -> ExpressionError:
        return ExpressionError(reason, self._text, position, field=self._field)

    def _compared(self, column: FieldReference, sign: Operator, value: Value) -> Mask:
        plain = self._plain(value)
        if len(plain) != 1:  # the user has no such value, or a list of them
            return self._table.none()
        return self._compared_with(column, sign, plain[0], value)

    def _compared_with(self, column: FieldReference, sign: Operator, plain: Plain, value: Value) -> Mask:
        compare, kinds = _OPERATORS[sign], self._table.kinds(column)
        # Flags first: in Python a bool is also an int, and would be compared as a number.
        if isinstance(plain, bool):
            if "flag" not in kinds or sign not in {"=", "!="}:
                return self._misfit(column, "only flags are compared with true and false, by = or !=", value)
            return self._table.flags(column, value=plain == (sign == "="))
        if isinstance(plain, Moment) or (isinstance(plain, str) and kinds == {"time"}):
            return self._compared_with_time(column, sign, plain, value)
        if isinstance(plain, str):
            return self._compared_with_text(column, sign, plain, value)
        if not self._table.has_numbers(column):
            return self._misfit(column, "it is not compared with a number", value)
        return self._table.numbers(column, lambda numbers: compare(numbers, plain))

    def _compared_with_text(self, column: FieldReference, sign: Operator, plain: str, value: Value) -> Mask:
        if "text" not in self._table.kinds(column):
            return self._misfit(column, "it is not compared with a text", value)
        # Equality looks the text up in the vocabulary, without a test of every text.
        if sign == "=":
            return self._table.texts_among(column, {plain})
        compare, is_casefolded = _OPERATORS[sign], not holds_ids(column)
        wanted = plain.casefold() if is_casefolded else plain
        return self._table.texts(column, lambda texts: texts.compared(compare, wanted), is_casefolded=is_casefolded)

    def _compared_with_time(self, column: FieldReference, sign: Operator, plain: str | Moment, value: Value) -> Mask:
        if self._table.kinds(column) != {"time"}:
            return self._misfit(column, "it is not compared with a time", value)
        moment = plain if isinstance(plain, Moment) else _moment(plain)
        if moment is None:
            return self._misfit(column, "write one as 2026-03-01T20:15:00Z, with an offset, or as a day", value)
        compare = _OPERATORS[sign]
        return self._table.times(column, lambda times: compare(times, moment.microseconds))

    def _among(self, column: FieldReference, values: Sequence[Value]) -> Mask:
        mask, texts = self._table.none(), set()
        of_texts = "text" in self._table.kinds(column)
        for value in values:
            for plain in self._plain(value):
                if of_texts and isinstance(plain, str):
                    texts.add(plain)
                else:
                    mask |= self._compared_with(column, "=", plain, value)
        if texts:
            mask |= self._table.texts_among(column, texts)
        return mask

    def _having(self, column: FieldReference, value: Value) -> Mask:
        if "set" not in self._table.kinds(column):
            return self._misfit(column, "'in' asks for a set here; use = or contains", value)
        return self._table.sets_with(column, self._texts(value))

    def _containing(self, column: FieldReference, value: Value) -> Mask:
        kinds = self._table.kinds(column)
        if not kinds & {"text", "set"}:
            return self._misfit(column, "'contains' asks for a text or a set of texts", column)
        texts = self._texts(value)
        mask = self._table.none()
        if "set" in kinds:
            mask |= self._table.sets_with(column, texts)
        if "text" in kinds:
            folded = {text.casefold() for text in texts}

            def containing(packed: PackedTexts) -> Mask:
                self._count_searches(len(folded) * len(packed), value)
                return reduce(operator.ior, map(packed.containing, folded), np.zeros(len(packed), np.bool_))

            # Of an id as well: a part of one is no id.
            mask |= self._table.texts(column, containing, is_casefolded=True)
        return mask

    def _count_searches(self, n_searches: int, value: Value) -> None:
        # The terms of an expression are few, but one value of a user may be thousands of texts.
        self._n_searches += n_searches
        if self._n_searches > MAX_SEARCHES:
            limit = f"an expression looks for texts in at most {MAX_SEARCHES:,} others, and this one in more"
            raise self._error(f"{limit}: fewer terms with 'contains', or fewer texts of the user", value.position)

    def _texts(self, value: Value) -> list[str]:
        texts = [plain for plain in self._plain(value) if isinstance(plain, str)]
        if not texts and not isinstance(value, OfUser):
            raise self._error("a text is expected here", value.position)
        return texts

    def _true(self, column: FieldReference) -> Mask:
        if "flag" not in self._table.kinds(column):
            return self._misfit(column, "an operator is missing behind it", column)
        return self._table.flags(column, value=True)

    def _plain(self, value: Value) -> list[Plain]:
        """The constants that a value stands for: several for a list of the user, none where it is not known."""
        match value:
            case Constant(constant):
                return [constant]
            case FromNow(seconds):
                return [Moment(self._now + round(seconds * 1e6))]
            case OfUser(name):
                return self._of_user(name)

    def _of_user(self, name: str) -> list[Plain]:
        if self._user is None:
            return []
        fields = {"user_id": self._user.user_id, "country": self._user.country}
        known = fields[name] if name in fields else self._user.attributes.get(name)
        return [] if known is None else [*known] if isinstance(known, list) else [known]


def _moment(text: str) -> Moment | None:
    """None if the text is not a time; a day begins at midnight UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # A time of day without an offset stays refused: it could mean any of 24 hours.
    if moment.tzinfo is None and _DAY.fullmatch(text):
        moment = moment.replace(tzinfo=UTC)
    return None if moment.tzinfo is None else Moment(to_microseconds(moment))
