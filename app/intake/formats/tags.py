"""Reads tags that users gave to items, such as `tags.csv` of MovieLens, as an attribute of the items.

A row `user, item, tag, time` is a word about the item and says nothing of what the user chose, so it makes neither a
rating nor a pair. The tags of an item become its attribute `tags`, from which learners that read the features or texts
of items learn.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from app.errors import InvalidInputError
from app.intake.blocks import ROWS_PER_BLOCK, Block, Column, RawTable, RejectedRow
from app.intake.cells.attributes import read_text
from app.intake.column_names.columns import Kind, Naming
from app.intake.files.chunks import first_line
from app.intake.files.listing import InputFile
from app.intake.formats.delimited import SEPARATORS, DelimitedDialect, read_delimited, split_line
from app.intake.hints import FileHints

MAX_TAGS = 50
"""Tags of an item, at most: the most frequent ones. The others were given by few users."""

_COLONS = DelimitedDialect("::", is_quoted=False)
# `tags.dat` of ml-10m has no header.
_NAMES_10M = ["user_id", "item_id", "tag", "at"]
_TAG_NAMES = frozenset({"tag", "tagname", "tagtext"})


@dataclass(slots=True)
class _TagsOfItem:
    """`line`: the line of the item's first tag. `counts`: how often each tag was given, by its folded text.

    `spellings`: the first spelling of each folded text.
    """

    line: int
    counts: Counter[str] = field(default_factory=Counter)
    spellings: dict[str, str] = field(default_factory=dict)

    def add(self, tag: str) -> None:
        folded = tag.casefold()
        self.spellings.setdefault(folded, tag)
        self.counts[folded] += 1

    def most_frequent(self) -> list[str]:
        """Of equally frequent tags, the one that was given first comes first."""
        return [self.spellings[folded] for folded, _ in self.counts.most_common(MAX_TAGS)]


def open_tags(file: InputFile, _siblings: Mapping[str, InputFile], hints: FileHints) -> RawTable | None:
    """Open a table of an item, a tag and optionally a user and a time; see `registry.Open`."""
    if hints.columns.is_given or hints.kind not in {None, Kind.ITEMS}:
        return None
    line = first_line(file)
    if file.name == "tags.dat" and len(split_line(line, _COLONS)) == len(_NAMES_10M):
        return _table(file, _NAMES_10M, _COLONS, has_header=False)
    for separator in SEPARATORS:
        dialect = DelimitedDialect(separator)
        names = _names_of_tags([name.strip() for name in split_line(line, dialect)])
        if names is not None:
            return _table(file, names, dialect, has_header=True)
    return None


def _names_of_tags(header: Sequence[str]) -> list[str] | None:
    """Return the names in Reckon of the columns of tags; None where there is another column, or one is missing."""
    naming = Naming().of(header)
    ours = ["tag" if name.casefold().replace("_", "") in _TAG_NAMES else naming[name] for name in header]
    rest = {"user_id", "rated_at", "at"}
    is_of_tags = len(set(ours)) == len(ours) and {"item_id", "tag"} <= set(ours) <= {"item_id", "tag"} | rest
    return ours if is_of_tags else None


def _table(file: InputFile, names: list[str], dialect: DelimitedDialect, *, has_header: bool) -> RawTable:
    def blocks() -> Iterator[Block]:
        return _tags_by_item(file, read_delimited(file, names, dialect, has_header=has_header))

    return RawTable(file, ["item_id", "tags"], blocks, Kind.ITEMS)


def _tags_by_item(file: InputFile, source: Iterator[Block]) -> Iterator[Block]:
    """Yield a row for each item; needs memory for all distinct tags of all items."""
    items: dict[str, _TagsOfItem] = {}
    for block in source:
        rejected: list[RejectedRow] = list(block.rejected)
        for index, (item_id, tag) in enumerate(zip(block.column("item_id"), block.column("tag"), strict=True)):
            try:
                # Runs of blanks would make different tags of the same words.
                words = read_text(" ".join(tag.split()), "tag")
            except InvalidInputError as error:
                rejected.append(block.reject(index, f"tag: {error}"))
                continue
            if words is None:
                rejected.append(block.reject(index, "tag: is missing"))
                continue
            of_item = items.get(item_id)
            if of_item is None:
                of_item = items[item_id] = _TagsOfItem(block.lines[index])
            of_item.add(words)
        # Rejected rows are passed on at once, so that memory does not hold all of them.
        yield Block(file.display_name, {"item_id": [], "tags": []}, [], rejected)
    ids = list(items)
    for start in range(0, len(ids), ROWS_PER_BLOCK):
        some = ids[start : start + ROWS_PER_BLOCK]
        columns: dict[str, Column] = {"item_id": some, "tags": [items[item_id].most_frequent() for item_id in some]}
        yield Block(file.display_name, columns, [items[item_id].line for item_id in some])
