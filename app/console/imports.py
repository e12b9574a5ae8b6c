"""Importing files: upload, look at what was recognised, correct it, try it, import, and see what was rejected.

The work is that of `reckon import`, see `commands.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from app.console.commands import Commands
from app.console.rendering import link, page
from app.console.routing import (
    changes,
    console_router,
    data_dir_of,
    for_admins,
    lease_of,
    may_change,
    reads,
    service_of,
    settings_of,
)
from app.errors import InvalidInputError, ReckonError
from app.intake.column_names.columns import Kind, field_names
from app.intake.export_rows import EVENT_NAMES, RATING_NAMES
from app.intake.preview import ATTRIBUTE, IGNORED
from app.intake.rejected_csv import rejected_csv
from app.intake.report import Counts
from app.intake.uploads import Upload, Uploads
from app.store.imports import ImportEntry, Imports, KeptRow

N_ROWS = 10
MAX_ROWS_SHOWN = 100
DRY_RUN_SECONDS = 600.0
IMPORT_PATH = "/console/data/imports"
UPLOAD_PATH = "/console/data/uploads"
"""Where files are sent to; the limit of other bodies does not hold there."""

SHAPES = ("matrix", "item-matrix", "lists", "counted-lists", "baskets")

router = console_router()


@dataclass(frozen=True, slots=True)
class Corrections:
    """What the operator states of a file, as the options of `reckon import` of these names; empty: nothing."""

    kind: str = ""
    columns: str = ""
    scale: str = ""
    encoding: str = ""
    missing: str = ""
    date_format: str = ""
    decimal: str = ""
    replace: bool = False
    sum: bool = False

    @property
    def of_file(self) -> list[str]:
        """Options that say how the file is read."""
        named = ("kind", "columns", "encoding", "missing", "date_format", "decimal")
        return [f"--{name.replace('_', '-')}={value}" for name in named if (value := getattr(self, name).strip())]

    @property
    def of_import(self) -> list[str]:
        """All options of an import."""
        scale = [f"--scale={self.scale.strip()}"] if self.scale.strip() else []
        flags = [f"--{name}" for name in ("replace", "sum") if getattr(self, name)]
        return [*self.of_file, *scale, *flags]

    @property
    def query(self) -> str:
        given = {name: getattr(self, name) for name in self.__slots__ if getattr(self, name)}
        return urlencode({name: "on" if value is True else value for name, value in given.items()})


@dataclass(frozen=True, slots=True)
class ColumnView:
    """A column of the file. `use`: what it is taken for. `choices`: what it may be taken for."""

    name: str
    use: str
    choices: Sequence[str]


@dataclass(frozen=True, slots=True)
class FileView:
    """What was recognised in one file. `kind`: None for a file that is not imported, and `problem` says why."""

    file: str
    kind: str | None
    format: str
    columns: Sequence[ColumnView]
    names: Sequence[str]
    rows: Sequence[Sequence[Any]]
    rejected: Sequence[Mapping[str, Any]]
    problem: str


@dataclass(frozen=True, slots=True)
class UploadView:
    """`problem`: why the file cannot be read as it is. `report`: of a dry run; None before one."""

    upload: Upload
    corrections: Corrections
    files: Sequence[FileView]
    kinds: Sequence[str]
    problem: str | None = None
    report: "ReportView | None" = None

    @property
    def can_correct(self) -> bool:
        """Whether columns can be corrected: they describe a single file."""
        return len([each for each in self.files if each.kind]) == 1

    @property
    def can_import(self) -> bool:
        return any(each.kind for each in self.files)


@dataclass(frozen=True, slots=True)
class ReportView:
    """What an import has done, or would do: counts by kind of rows, and what was noticed."""

    counts: Sequence[tuple[str, Counts]]
    scale: str
    notes: Sequence[str]
    warnings: Sequence[str]
    rejected: Sequence[Mapping[str, Any]]
    n_rejected: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ImportView:
    entry: ImportEntry
    counts: Sequence[tuple[str, Counts]]
    rows: Sequence[KeptRow] = field(default=())


@router.post(UPLOAD_PATH)
@changes("data.upload")
async def upload(request: Request) -> Response:
    """Keep the file for a day at most, and show what is recognised in it. Nothing is stored yet."""
    uploads = Uploads(data_dir_of(request))
    # Before the file is received, where it is sent by the script of the page.
    await run_in_threadpool(uploads.check_room, int(request.headers.get("content-length", 0)))
    form = await request.form()
    sent = form.get("file")
    if not isinstance(sent, UploadFile) or not sent.filename:
        raise InvalidInputError("choose a file first", field="file")
    upload_id = await run_in_threadpool(uploads.keep, sent.filename, sent.size or 0, sent.file)
    return RedirectResponse(link(UPLOAD_PATH, upload_id), status_code=303)


@router.get(UPLOAD_PATH + "/{upload_id}")
@for_admins
async def show_upload(request: Request, upload_id: str) -> Response:
    return await _upload_page(request, upload_id, corrections_of(request.query_params))


@router.post(UPLOAD_PATH + "/{upload_id}/correct")
@reads
@for_admins
async def correct(request: Request, upload_id: str) -> Response:
    """Show the file again, read as the form says."""
    return RedirectResponse(f"{link(UPLOAD_PATH, upload_id)}?{corrections_of(await request.form()).query}", 303)


@router.post(UPLOAD_PATH + "/{upload_id}/dry-run")
@reads
@for_admins
async def dry_run(request: Request, upload_id: str) -> Response:
    """Read all rows and count what an import would do with them. Stores nothing."""
    corrections = corrections_of(await request.form())
    found = await run_in_threadpool(Uploads(data_dir_of(request)).get, upload_id)
    arguments = ["import", str(found.path), "--dry-run", "--json", *corrections.of_import]
    ended = await commands_of(request).run(arguments, settings_of(request), seconds=DRY_RUN_SECONDS)
    report = None if ended.document is None else report_view(ended.document)
    return await _upload_page(request, upload_id, corrections, report, ended.problem)


@router.post(UPLOAD_PATH + "/{upload_id}/import")
@changes("data.import")
async def start_import(request: Request, upload_id: str) -> Response:
    corrections = corrections_of(await request.form())
    uploads, imports = Uploads(data_dir_of(request)), service_of(request).store.imports
    found = await run_in_threadpool(uploads.get, upload_id)
    import_id = await run_in_threadpool(imports.begin_upload, found.path.name, upload_id, corrections.query)

    def then(problem: str) -> None:
        # A command that could read its options has recorded its end itself.
        imports.abandon(import_id, problem or "it has ended without saying why")
        if imports.get(import_id).state == "succeeded":
            uploads.remove(upload_id)

    arguments = ["import", str(found.path), "--json", f"--import-id={import_id}", *corrections.of_import]
    commands_of(request).start(arguments, settings_of(request), then, lease_of(request))
    return RedirectResponse("/console/data?said=imported", status_code=303)


@router.post(UPLOAD_PATH + "/{upload_id}/discard")
@changes("data.discard_upload")
async def discard(request: Request, upload_id: str) -> Response:
    await run_in_threadpool(Uploads(data_dir_of(request)).remove, upload_id)
    return RedirectResponse("/console/data?said=deleted", status_code=303)


@router.get(IMPORT_PATH + "/{import_id}")
async def show_import(request: Request, import_id: str) -> Response:
    imports, is_admin = service_of(request).store.imports, may_change(request)
    view = await run_in_threadpool(import_view, imports, import_id, with_rows=is_admin)
    return page(request, "data_import.html", view)


@router.get(IMPORT_PATH + "/{import_id}/rejected.csv")
@changes("imports.export_rejected_rows")
async def rejected(request: Request, import_id: str) -> Response:
    imports = service_of(request).store.imports
    entry = await run_in_threadpool(imports.get, import_id)
    headers = {"Content-Disposition": 'attachment; filename="rejected-rows.csv"'}
    return StreamingResponse(rejected_csv(imports.rows(entry.import_id)), media_type="text/csv", headers=headers)


def import_view(imports: Imports, import_id: str, *, with_rows: bool) -> ImportView:
    """`with_rows`: whether the rejected rows are shown, which users have written."""
    entry = imports.get(import_id)
    rows = next(imports.rows(import_id), []) if with_rows else []
    return ImportView(entry, counts_of(entry.counts), rows[:MAX_ROWS_SHOWN])


def counts_of(counts: Mapping[str, Mapping[str, int]]) -> list[tuple[str, Counts]]:
    """The kinds of which there were rows, by their names on pages."""
    found = [(kind.label, Counts(**counts[kind.value])) for kind in Kind if kind.value in counts]
    return [(label, each) for label, each in found if each != Counts()]


def corrections_of(sent: Mapping[str, Any]) -> Corrections:
    """What a form or an address says. Columns that were chosen one by one are written as the option `--columns`."""

    def text(name: str) -> str:
        return str(sent.get(name, ""))

    chosen = {name.removeprefix("use "): str(use) for name, use in sent.items() if name.startswith("use ")}
    columns = ",".join(_pair(use, name) for name, use in chosen.items() if use not in {"", ATTRIBUTE, IGNORED})
    return Corrections(
        kind=text("kind"),
        columns=columns or text("columns"),
        scale=text("scale"),
        encoding=text("encoding"),
        missing=text("missing"),
        date_format=text("date_format"),
        decimal=text("decimal"),
        replace=text("replace") == "on",
        sum=text("sum") == "on",
    )


def _pair(ours: str, theirs: str) -> str:
    quoted = theirs.replace('"', '""')
    return f'{ours}="{quoted}"' if set(theirs) & set(',="') else f"{ours}={theirs}"


async def _upload_page(
    request: Request,
    upload_id: str,
    corrections: Corrections,
    report: ReportView | None = None,
    problem: str = "",
) -> Response:
    found = await run_in_threadpool(Uploads(data_dir_of(request)).get, upload_id)
    files: Sequence[FileView] = ()
    try:
        arguments = ["import", str(found.path), "--preview", f"--rows={N_ROWS}", "--json", *corrections.of_file]
        document = await commands_of(request).preview(arguments, settings_of(request))
        files = list(file_views(document))
    except ReckonError as error:
        problem = problem or error.detail
    view = UploadView(found, corrections, files, [*Kind, *SHAPES], problem or None, report)
    # To look at a file that cannot be read yet is no error: the page is where that is corrected.
    return page(request, "data_upload.html", view, status=422 if problem and request.method == "POST" else 200)


def file_views(document: Mapping[str, Any]) -> Iterator[FileView]:
    """Of the JSON of `reckon import --preview --json`."""
    for file in document["files"]:
        kind = None if file["kind"] is None else Kind(file["kind"])
        names = list(file["rows"][0]) if file["rows"] else []
        choices = [] if kind is None else [IGNORED, *choices_of(kind)]
        yield FileView(
            file=file["file"],
            kind=None if kind is None else kind.label,
            format=file["format"],
            columns=[ColumnView(name, use, sorted({use, *choices})) for name, use in file["columns"].items()],
            names=names,
            rows=[[row.get(name) for name in names] for row in file["rows"]],
            rejected=file["rejected"],
            problem=file["problem"],
        )


def choices_of(kind: Kind) -> list[str]:
    """The names of columns that a file of this kind may have."""
    match kind:
        case Kind.RATINGS:
            return list(RATING_NAMES)
        case Kind.EVENTS:
            return list(EVENT_NAMES)
        case Kind.ITEMS | Kind.USERS:
            return [f"{kind.value.removesuffix('s')}_id", *field_names(kind)]
    return []


def report_view(document: Mapping[str, Any]) -> ReportView:
    """Of the JSON of `reckon import --json`."""
    counts = {kind.value: document[kind.value] for kind in Kind}
    return ReportView(
        counts=counts_of(counts),
        scale=document["scale"],
        notes=[*document["notes"], *(f"not imported: {each}" for each in document["ignored"])],
        warnings=document["warnings"],
        rejected=document["first_rejected"],
        n_rejected=sum(each["rejected"] for each in counts.values()),
        seconds=document["seconds"],
    )


def commands_of(request: Request) -> Commands:
    commands: Commands = request.app.state.commands
    return commands
