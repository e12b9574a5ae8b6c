"""Reads lists of items, one line a user, as pairs.

- LightGCN, NGCF and S3-Rec: a user, then the items of that user. The items may be none.
- citeulike: the number of items, then the items; the user is the number of the line.
- Market baskets: the items alone; the user is the number of the line.

Lines of integers of different lengths are recognised where only one of these fits. Ids of other forms need `--kind`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from app.errors import InvalidInputError
from app.intake.blocks import MAX_ROW_CHARACTERS, Block, RawTable, RejectedRow
from app.intake.column_names.columns import Kind
from app.intake.files.chunks import first_lines, read_chunks, split_lines
from app.intake.files.encodings import decode_utf8
from app.intake.files.listing import InputFile
from app.intake.hints import FileHints, Shape

_SHAPES = frozenset({Shape.LISTS, Shape.COUNTED_LISTS, Shape.BASKETS})
# Single blanks: two of them are an empty cell of a table.
_INTEGERS = re.compile(r"\d+(?: \d+)* ?", re.ASCII)
_WORDS = re.compile("user|item")
# Lists whose numbers of items happen to equal their users in order are shorter than this.
_ENOUGH_COUNTS = 10
_NOTES = {
    Shape.LISTS: "each line was read as a user, then the items of that user",
    Shape.COUNTED_LISTS: "each line was read as a number of items, then the items; users are the numbers of the lines",
    Shape.BASKETS: "each line was read as the items of one user; users are the numbers of the lines",
}


def open_item_lists(file: InputFile, _siblings: Mapping[str, InputFile], hints: FileHints) -> RawTable | None:
    """Open a file of lists; see `registry.Open`.

    Raises `InvalidInputError` where lines of integers of different lengths may be read in more than one way.
    """
    if hints.shape in _SHAPES:
        shape = hints.shape
    elif hints.shape or hints.kind not in {None, Kind.RATINGS} or hints.columns.is_given:
        return None
    else:
        recognised = _recognise(file)
        if recognised is None:
            return None
        shape = recognised
    note = f"{file.display_name}: {_NOTES[shape]}"
    return RawTable(file, ["user_id", "item_id"], partial(_read, file, shape), Kind.RATINGS, notes=(note,))


def _recognise(file: InputFile) -> Shape | None:
    lines = [line for line in first_lines(file) if line.strip()]
    # Blank-separated integers of one length are a table or a matrix.
    if not lines or not all(map(_INTEGERS.fullmatch, lines)):
        return None
    rows = [line.split() for line in lines]
    if len(set(map(len, rows))) == 1:
        return None
    # `items.dat` and `item_users.txt` have a line for each item.
    named = _WORDS.search(file.name)
    rows_by_name = named and named[0]
    firsts = [row[0] for row in rows]
    has_distinct_firsts = len(set(firsts)) == len(firsts)
    are_counted = all(int(row[0]) == len(row) - 1 for row in rows)
    if are_counted and has_distinct_firsts and len(rows) < _ENOUGH_COUNTS:
        raise _ambiguous(file, Shape.LISTS, Shape.COUNTED_LISTS)
    if are_counted:
        # citeulike has files of the same form for the users of items and the items that an item cites.
        if rows_by_name != "user":
            raise _ambiguous(file, Shape.COUNTED_LISTS)
        return Shape.COUNTED_LISTS
    if not has_distinct_firsts:
        raise _ambiguous(file, Shape.LISTS, Shape.BASKETS)
    if rows_by_name == "item":
        raise _ambiguous(file, Shape.LISTS)
    return Shape.LISTS


def _ambiguous(file: InputFile, *shapes: Shape) -> InvalidInputError:
    flags = {
        Shape.LISTS: "--kind lists if each line is a user, then the items of that user",
        Shape.COUNTED_LISTS: "--kind counted-lists if each line is one user: the number of items, then the items",
        Shape.BASKETS: "--kind baskets if each line is the items of one user",
    }
    listed = ", or ".join(flags[shape] for shape in shapes)
    return InvalidInputError(
        f"{file.display_name} has lines of integers of different lengths: use {listed}", field="kind"
    )


def _read(file: InputFile, shape: Shape) -> Iterator[Block]:
    """Yield blocks of pairs; raises `InvalidInputError` where the file cannot be read."""
    line = 1
    separators = ""
    for chunk in read_chunks(file):
        lines = split_lines(decode_utf8(chunk))
        if line == 1:
            # A user may be separated from the items by another character than these from each other.
            separators = "".join(each for each in "\t,;|" if each in lines[0])
        rows = [_split(text, separators) for text in lines]
        yield from _pairs(file, shape, rows, line).parts()
        line += len(lines)


def _split(line: str, separators: str) -> list[str]:
    """Return the fields of a line; without any of `separators` in the file, blanks separate them."""
    if not separators:
        return line.split()
    return [part.strip() for part in re.split(f"[{separators}]", line) if part.strip()]


def _pairs(file: InputFile, shape: Shape, rows: Sequence[list[str]], first_line: int) -> Block:
    user_ids: list[str] = []
    item_ids: list[str] = []
    lines: list[int] = []
    rejected: list[RejectedRow] = []
    for line, row in enumerate(rows, start=first_line):
        if not row:
            continue
        items = row if shape is Shape.BASKETS else row[1:]
        if shape is Shape.COUNTED_LISTS and row[0] != str(len(items)):
            reason = f"begins with {row[0]!r}, but has {len(items)} items"
            rejected.append(RejectedRow(file.display_name, line, reason, " ".join(row)[:MAX_ROW_CHARACTERS]))
            continue
        user_ids += [row[0] if shape is Shape.LISTS else str(line)] * len(items)
        item_ids += items
        lines += [line] * len(items)
    return Block(file.display_name, {"user_id": user_ids, "item_id": item_ids}, lines, rejected)
