"""The messages on a table that is refused: what was recognised, what was not, and the options to try."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.errors import InvalidInputError
from app.intake.column_names.columns import IGNORED_NAMES, Kind
from app.intake.column_names.meanings import Role, fold
from app.intake.hints import Shape
from app.intake.recognition.doubts import Doubt
from app.intake.recognition.guesses import PLACEHOLDER, as_option, guess, guess_in_order
from app.intake.recognition.looks import SampledColumn

_MAX_SHOWN = 12
_MAX_LENGTH = 60
_OPTION_NAMES = {"user_id": "user", "item_id": "item", "value": "rating", "rated_at": "timestamp", "at": "timestamp"}
_LABELS = _OPTION_NAMES | {"type": "type of event", "event_id": "id of event"}
_ONE = {Kind.ITEMS: "item", Kind.USERS: "user"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A table that is not imported, by the name of its file and its columns. Each method returns the error to raise."""

    file: str
    columns: Sequence[SampledColumn]

    def of_catalogue(self, kind: Kind, doubts: Sequence[Doubt], *, is_matrix: bool) -> InvalidInputError:
        """A table of one id that may not be a catalogue of items or users."""
        summary = f"may hold ratings or events rather than {kind.label}"
        shape = Shape.ITEM_MATRIX if kind is Kind.ITEMS else Shape.MATRIX
        rows = ("if it is a matrix of users and items", f"--kind {shape}") if is_matrix else self._guess()
        entries = (f"if each row is one {_ONE[kind]}", f"--kind {kind}")
        is_titled = kind is Kind.ITEMS and any(each.ours == "title" for each in self.columns)
        return self._error(summary, doubts, [entries, rows] if is_titled else [rows, entries])

    def of_log(self) -> InvalidInputError:
        """A table that is neither clearly one of ratings nor of events."""
        names = {each.ours for each in self.columns}
        has_ids, has_type = {"user_id", "item_id"} <= names, "type" in names
        if has_ids and has_type and "value" in names:
            options = [(f"if the rows are {kind}", f"--kind {kind}") for kind in (Kind.RATINGS, Kind.EVENTS)]
            return self._error("may hold ratings or events", [], options)
        if has_ids:
            lacks = "no time, which events need" if has_type else "no rating and no type of event"
            pairs = {part: name for part, name in guess(self.columns).items() if part in {"user", "item", "timestamp"}}
            pair = ("if users and items are all that counts", as_option(pairs))
            # Without a guess of the rating, the first option is the second.
            options = [self._guess(), pair] if guess(self.columns) != pairs else [pair]
            others = [each for each in self.columns if each.ours not in _LABELS and each.name not in IGNORED_NAMES]
            return self._error(f"has columns for user and item, but {lacks}", [], options, others)
        lacking = " or ".join(f"an id of {kind}" for kind, one in _ONE.items() if f"{one}_id" not in names)
        return self._error(f"has no column that is recognised as {lacking}", [], self._without_ids())

    def without_id(self, wanted: Kind) -> InvalidInputError:
        """A table of which the user states that it holds items or users, and that has no column of their ids."""
        one = _ONE[wanted]
        named = guess(self.columns)[one]
        option = (f"name it, if each row is one {one}", f"--kind {wanted} {as_option({one: named})}")
        return self._error(f"has no column for the id of the {one}", [], [option])

    def of_two_ids(self, wanted: Kind, names: Mapping[str, str]) -> InvalidInputError:
        """A table of which the user states that it holds items or users, and that has ids of both."""
        theirs = {ours: name for name, ours in names.items()}
        one = _ONE[wanted]
        option = f"--kind {wanted} {as_option({one: theirs[f'{one}_id']})}"
        summary = f"has ids of users and of items, so it holds no {wanted.label}"
        return self._error(summary, [], [(f"if the other id is a property of the {one}", option)])

    def _without_ids(self) -> list[tuple[str, str]]:
        """The options of a table in which no id is recognised, the likeliest first."""
        titles = [each.name for each in self.columns if each.meaning.role is Role.TITLE]
        kinds = [(f"if each row is one {one}", f"--kind {kind}") for kind, one in _ONE.items()]
        if not any(fold(each.name) == "id" for each in self.columns):
            is_item = f"--kind {Kind.ITEMS} {as_option({'item': titles[0]})}" if titles else ""
            kinds = [(kinds[0][0], is_item)] if titles else []
        return [*kinds, self._guess()] if titles else [self._guess(), *kinds]

    def _guess(self) -> tuple[str, str]:
        guessed = guess(self.columns)
        blank = f", with the name of a column for {PLACEHOLDER}" if PLACEHOLDER in guessed.values() else ""
        return f"if the rows are {'events' if 'type' in guessed else 'ratings'}{blank}", as_option(guessed)

    def _error(
        self,
        summary: str,
        doubts: Sequence[Doubt],
        options: Iterable[tuple[str, str]],
        others: Iterable[SampledColumn] | None = None,
    ) -> InvalidInputError:
        """`others`: the columns to call not recognised; None for those whose names say nothing."""
        doubted = {doubt.column for doubt in doubts}
        recognised = [
            f"{_LABELS[each.ours]} = {_shown(each.name)}"
            for each in self.columns
            if each.ours in _LABELS and each.name not in doubted
        ]
        reasons = [f"{_shown(each.column)} ({each.reason})" if each.column else each.reason for each in doubts]
        unknown = filter(_is_unknown, self.columns) if others is None else others
        names = [_shown(each.name) for each in unknown if each.name not in doubted]
        parts = (("recognised", recognised), ("in doubt", reasons), ("not recognised", names))
        lines = [f"{printable(self.file)} {summary}"]
        lines += [f"  {label}: {listed(texts)}" for label, texts in parts if texts]
        lines += [f"  {when}: {printable(option)}" for when, option in options]
        return InvalidInputError("\n".join(lines), field="columns")


def header_missing(file: str, names: Sequence[str], columns: Sequence[SampledColumn]) -> InvalidInputError:
    """A table whose first row is data. `names`: that row. `columns`: judged with it; values may repeat in the row."""
    order = guess_in_order(columns)
    is_likely = len(order) == len(names) and {"user", "item"} <= set(order)
    option = ",".join(order) if is_likely else "user,item,rating,timestamp or what they are (- skips a column)"
    summary = f"{printable(file)} seems to have no header, but begins with {listed(map(_shown, names))}"
    return InvalidInputError(f"{summary}\n  name its columns in order: --columns {option}", field="columns")


def columns_missing(file: str, missing: Iterable[str], names: Iterable[str]) -> InvalidInputError:
    """`--columns` names columns that the file lacks, or that two of its columns fit."""
    theirs = ", ".join(map(_shown, missing))
    return InvalidInputError(
        f"--columns names {theirs}, but the columns of {printable(file)} are: {listed(map(_shown, names))}",
        field="columns",
    )


def _is_unknown(column: SampledColumn) -> bool:
    is_known = column.ours or column.name in IGNORED_NAMES
    return not is_known and column.meaning.role in {Role.UNKNOWN, Role.OTHER_ID}


def listed(texts: Iterable[str]) -> str:
    """Join texts by commas; the last of a long list are only counted."""
    all_texts = list(texts)
    more = f" and {len(all_texts) - _MAX_SHOWN:,} more" if len(all_texts) > _MAX_SHOWN else ""
    return ", ".join(all_texts[:_MAX_SHOWN]) + more


def _shown(name: str) -> str:
    text = printable(name if len(name) <= _MAX_LENGTH else f"{name[:_MAX_LENGTH]}...")
    return text if text and not any(mark in text for mark in " ,;\"'") else f'"{text}"'


def printable(text: str) -> str:
    """Return a text from a file so that a terminal can show it."""
    # Bytes that are not UTF-8 were decoded to surrogates, and control characters would act on the terminal.
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
