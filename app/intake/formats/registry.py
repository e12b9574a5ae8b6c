"""The list of formats. A file is opened by the first format that accepts it."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from app.errors import InvalidInputError
from app.intake.blocks import RawTable
from app.intake.files.listing import InputFile
from app.intake.formats.delimited import open_delimited
from app.intake.formats.excel import open_excel
from app.intake.formats.foreign import refuse_foreign
from app.intake.formats.item_lists import open_item_lists
from app.intake.formats.json_document import open_json_document
from app.intake.formats.json_lines import open_json_lines
from app.intake.formats.matrix import open_matrix
from app.intake.formats.movielens import open_movielens
from app.intake.formats.netflix import open_netflix
from app.intake.formats.parquet import open_parquet
from app.intake.formats.recbole import open_recbole
from app.intake.formats.tags import open_tags
from app.intake.hints import FileHints

Open = Callable[[InputFile, Mapping[str, InputFile], FileHints], RawTable | None]
"""Opens a file of one format, given the files of the same folder by name and the user's hints.

Returns None where the file has another format. Raises `InvalidInputError` where the file has the format and cannot be
read.
"""

FORMATS: tuple[Open, ...] = (
    open_parquet,
    open_excel,
    refuse_foreign,
    open_json_document,
    open_json_lines,
    open_netflix,
    open_item_lists,
    open_recbole,
    open_tags,
    open_movielens,
    open_matrix,
    open_delimited,
)


def open_table(file: InputFile, siblings: Mapping[str, InputFile], hints: FileHints) -> RawTable:
    """Open `file` by the first format that accepts it; raises `InvalidInputError` where none does."""
    for open_ in FORMATS:
        table = open_(file, siblings, hints)
        if table is not None:
            return replace(table, format=open_.__name__.removeprefix("open_").replace("_", " "))
    raise InvalidInputError(f"{file.display_name} is not a table in a format that Reckon reads", field="path")
