"""A file whose layout is known."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from app.intake.blocks import Block
from app.intake.columns import Kind
from app.intake.files import InputFile


@dataclass(frozen=True, slots=True)
class InputTable:
    """Rows of one kind in one file; `blocks()` reads them from the start, as often as it is called.

    Columns bear Reckon's names (user_id, item_id, value, rated_at; title, categories, year ...); others their own.
    """

    file: InputFile
    kind: Kind
    blocks: Callable[[], Iterator[Block]]
