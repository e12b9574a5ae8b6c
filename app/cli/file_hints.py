"""The options by which `reckon import`, `reckon evaluate` and `reckon tune` are told what files hold."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from app.errors import InvalidInputError

if TYPE_CHECKING:
    from app.intake.hints import FileHints

ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="NAMES",
        help="user,item,rating,timestamp in the order of the file (- skips a column), or user=NAME,item=NAME,... with"
        " the names of its header; a NAME with a comma or = stands in double quotes",
    ),
]
KindOption = Annotated[
    str | None,
    typer.Option(
        "--kind",
        help="What the rows are, where the columns leave it open: users, items, ratings or events; or how a file holds"
        " ratings without a row for each: matrix, item-matrix, lists, counted-lists or baskets",
    ),
]
EncodingOption = Annotated[
    str | None,
    typer.Option("--encoding", help="Encoding of text files, such as latin-1 or utf-16; default: UTF-8"),
]
MissingOption = Annotated[
    list[str],
    typer.Option(
        "--missing",
        metavar="TEXT,...",
        help="Values that stand for no rating, beside empty cells, NA, null and the like; may be repeated",
    ),
]
DateFormatOption = Annotated[
    str | None,
    typer.Option("--date-format", metavar="FORMAT", help="How dates are written, such as %d/%m/%Y or '%m/%d/%y %H:%M'"),
]
DecimalOption = Annotated[
    str | None,
    typer.Option(
        "--decimal", metavar="SIGN", help="Sign before the decimals of ratings: . or , where 1,234 is unclear"
    ),
]


def file_hints(
    columns: str | None,
    kind: str | None = None,
    encoding: str | None = None,
    missing: list[str] | None = None,
    date_format: str | None = None,
    decimal: str | None = None,
) -> "FileHints":
    """Parse the options; raises `InvalidInputError` where one is malformed."""
    from app.intake.column_names.columns import Columns
    from app.intake.files.encodings import check_encoding
    from app.intake.hints import FileHints, parse_kind

    if encoding is not None:
        check_encoding(encoding)
    of_rows, shape = parse_kind(kind)
    return FileHints(
        Columns.parse(columns, of_rows),
        of_rows,
        shape,
        encoding,
        _missing(missing or []),
        _date_format(date_format),
        _decimal(decimal),
    )


def _decimal(sign: str | None) -> str | None:
    if sign not in {None, ".", ","}:
        raise InvalidInputError(f"--decimal {sign!r} is neither . nor ,", field="decimal")
    return sign


def _missing(texts: list[str]) -> frozenset[str]:
    parts = [part.strip() for text in texts for part in text.split(",")]
    if "" in parts:
        raise InvalidInputError(
            "--missing takes values such as 0 or 99; empty cells are missing anyway", field="missing"
        )
    return frozenset(parts)


def _date_format(text: str | None) -> str | None:
    if text is None:
        return None
    # A day above 12 tells it from the month.
    day = datetime(2003, 2, 14)  # noqa: DTZ001  only the date is compared
    try:
        read = datetime.strptime(day.strftime(text), text).date()  # noqa: DTZ007  only the date is compared
    except ValueError:
        read = None
    if read != day.date():
        raise InvalidInputError(
            f"--date-format {text!r} does not describe a date: it needs year, month and day, such as %d/%m/%Y",
            field="date_format",
        )
    return text
