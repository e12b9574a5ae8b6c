"""Imports of files, and the rows that they rejected."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, TypeAdapter
from pydantic_core import to_json

from app.api.access import needs
from app.api.problems import responses
from app.api.routing import StrictRoute, service_of
from app.errors import NotFoundError
from app.intake.rejected_csv import rejected_csv
from app.intake.repeated_pairs import MOST_PAIRS
from app.intake.value_types import Id
from app.store.imports import ImportEntry, Imports, KeptRow

LATEST = "latest"

router = APIRouter(prefix="/imports", tags=["operation"], route_class=StrictRoute)


class ImportCountsOut(BaseModel):
    """Numbers of rows of one kind."""

    readable: int = Field(description="Rows without errors", examples=[1_000])
    stored: int = Field(description="Of these, new ones")
    replaced: int = Field(description="Of these, those that changed what was stored")
    unchanged: int = Field(description="Of these, those that changed nothing")
    rejected: int = Field(description="Rows with an error")
    repeated: int | None = Field(
        default=None,
        description="Of the readable rows, those that repeat the user and the item of an earlier row of the import."
        f" Above {MOST_PAIRS:,} different pairs, at least so many. Null for other rows than ratings, and for imports of"
        " earlier releases",
        examples=[5],
    )


class ImportOut(BaseModel):
    import_id: str = Field(examples=["1f0c2b6f4c0e4b0f9a4a7f1d2c3b4a59"])
    file: str = Field(description="The name of the file or folder, without where it is", examples=["ratings.csv"])
    state: Literal["running", "succeeded", "failed", "interrupted"] = Field(
        description="`interrupted`: stopped by its user, or silent for 5 minutes; running it again completes it"
    )
    started_at: datetime
    finished_at: datetime | None = Field(description="Null while it runs, and if it was killed")
    counts: dict[str, ImportCountsOut] = Field(
        description="By kind of rows: `ratings`, `events`, `users`, `items`, `event_types`, `placements`. Kinds without"
        " rows are left out. While it runs, as of the last report",
        examples=[
            {"ratings": {"readable": 1_000, "stored": 990, "replaced": 8, "unchanged": 2, "rejected": 3, "repeated": 5}}
        ],
    )
    n_rejected: int = Field(description="Rejected rows of all kinds", examples=[3])
    n_kept: int = Field(description="Rejected rows that are kept now", examples=[3])
    reason: str | None = Field(description="Why it failed; null if it did not", examples=[None])
    progress: float | None = Field(
        description="The share of the work that was done at the last report, from 0 to 1; null if it is not known",
        examples=[1.0],
    )

    @classmethod
    def from_entry(cls, entry: ImportEntry) -> Self:
        return cls.model_validate(entry, from_attributes=True)


class ImportsOut(BaseModel):
    imports: list[ImportOut] = Field(description="The newest 100, newest first")


class RejectedRowOut(BaseModel):
    number: int = Field(description="In the order of rejection, from 1", examples=[1])
    file: str = Field(examples=["ratings.csv"])
    line: int = Field(
        description="Where the row begins in the file, from 1; 0 for a sum of several rows", examples=[17]
    )
    field: str | None = Field(description="The field at fault; null if it is not a single one", examples=["value"])
    reason: str = Field(examples=["value: 'eleven' is not a number"])
    row: str = Field(description="The row as a line of CSV, cut to 2,000 characters", examples=["1,318,eleven"])

    @classmethod
    def from_row(cls, row: KeptRow) -> Self:
        return cls(number=row.number, file=row.file, line=row.line, field=row.field, reason=row.reason, row=row.text)


class RejectedRowsOut(BaseModel):
    import_id: str = Field(examples=["1f0c2b6f4c0e4b0f9a4a7f1d2c3b4a59"])
    rejected_rows: list[RejectedRowOut] = Field(description="In the order of rejection, at most 10,000")


ROWS = TypeAdapter(list[RejectedRowOut])


@router.get("", summary="List the imports", responses=responses(422, 503), openapi_extra=needs("admin"))
def get_imports(request: Request) -> ImportsOut:
    """Imports of files by `reckon import`. Batches over the API are none."""
    return ImportsOut(imports=[ImportOut.from_entry(each) for each in service_of(request).store.imports.latest()])


@router.get(
    "/{import_id}/rejected-rows",
    summary="Get the rejected rows of an import",
    response_model=RejectedRowsOut,
    responses=responses(404, 422, 503, also={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}),
    openapi_extra=needs("admin", audit="imports.export_rejected_rows"),
)
def get_rejected_rows(
    request: Request,
    import_id: Annotated[Id, Path(description="From `GET /imports`; `latest`: the newest import", examples=[LATEST])],
    format: Annotated[  # noqa: A002  the parameter's name
        Literal["json", "csv"], Query(description="`csv`: for a spreadsheet, in which no cell is run as a formula")
    ] = "json",
) -> StreamingResponse:
    """At most 10,000 rows of an import are kept, for 7 days, and until any user is erased: a row may name anybody. They
    are sent as they are read.
    """
    imports = service_of(request).store.imports
    # Ids of imports are hexadecimal, so none of them is `latest`.
    newest = imports.latest(limit=1) if import_id == LATEST else [imports.get(import_id)]
    if not newest:
        raise NotFoundError("import", import_id)
    found = newest[0].import_id
    headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="rejected-rows.{format}"'}
    if format == "csv":
        return StreamingResponse(rejected_csv(imports.rows(found)), media_type="text/csv", headers=headers)
    return StreamingResponse(_written(found, imports), media_type="application/json", headers=headers)


def _written(import_id: str, imports: Imports) -> Iterator[bytes]:
    """The JSON of a `RejectedRowsOut`, in parts."""
    yield to_json({"import_id": import_id}).removesuffix(b"}") + b',"rejected_rows":['
    yield from _joined(imports.rows(import_id))
    yield b"]}"


def _joined(pages: Iterable[Sequence[KeptRow]]) -> Iterator[bytes]:
    for number, page in enumerate(pages):
        yield (b"," if number else b"") + ROWS.dump_json([RejectedRowOut.from_row(row) for row in page])[1:-1]
