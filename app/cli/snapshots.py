"""`reckon snapshots list|activate|upload`: lists the published snapshots, selects the live one, uploads them."""

import json
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from app.store.snapshots import SnapshotEntry

MAX_DIGITS = 19
"""Versions are 64-bit integers."""

snapshots = typer.Typer(help="List, activate or upload published snapshots.", no_args_is_help=True)


@snapshots.command("list")
def list_(as_json: bool = typer.Option(False, "--json", help="Print the snapshots as JSON, cards included")) -> None:
    """List the stored snapshots, newest first."""
    from app.serving.published import PublishedSnapshots
    from app.settings import Settings
    from app.snapshots.fetching import AwaitedDownloads
    from app.wiring import open_store, snapshot_folders

    settings = Settings()
    store = open_store(settings)
    try:
        entries = store.snapshots.entries()
        published = PublishedSnapshots(store, snapshot_folders(settings), AwaitedDownloads())
        found = [(entry, published.problem(entry)) for entry in entries]
    finally:
        store.close()
    if as_json:
        typer.echo(json.dumps([_as_json(entry, problem) for entry, problem in found]))
    else:
        lines = [_line(entry, problem) for entry, problem in found]
        typer.echo("\n".join(lines) or "there are no snapshots: run `reckon train`")


@snapshots.command()
def activate(version: str = typer.Argument(metavar="VERSION|latest", help="A version from the list")) -> None:
    """Make a snapshot live and pin it. `latest` unpins and activates the newest."""
    from app.errors import InvalidInputError
    from app.serving.published import PublishedSnapshots
    from app.settings import Settings
    from app.snapshots.fetching import AwaitedDownloads
    from app.wiring import open_store, snapshot_folders

    if version != "latest" and not (version.isascii() and version.isdecimal() and len(version) < MAX_DIGITS):
        raise InvalidInputError(
            f"{version!r} is not a snapshot version, which is a number or `latest`", field="version"
        )
    settings = Settings()
    store = open_store(settings)
    try:
        with store.audit.command("snapshots.activate", version):
            wanted = None if version == "latest" else int(version)
            entry = PublishedSnapshots(store, snapshot_folders(settings), AwaitedDownloads()).activate(wanted)
    finally:
        store.close()
    typer.echo(f"snapshot {entry.version} is live{' and pinned' if entry.is_pinned else ''}")


@snapshots.command()
def upload() -> None:
    """Bring the snapshots that only this machine has to the object storage of RECKON_SNAPSHOT_URL."""
    from app.serving.published import PublishedSnapshots
    from app.settings import Settings
    from app.snapshots.fetching import AwaitedDownloads
    from app.wiring import open_store, snapshot_folders

    settings = Settings()
    store = open_store(settings)
    try:
        with store.audit.command("snapshots.upload", settings.snapshot_url):
            uploaded = PublishedSnapshots(store, snapshot_folders(settings), AwaitedDownloads()).upload()
    finally:
        store.close()
    for version, problem in uploaded:
        typer.echo(f"snapshot {version} " + ("is uploaded" if problem is None else f"stays here: {problem}"))
    if not uploaded:
        typer.echo("all snapshots are there")
    if any(problem is not None for _, problem in uploaded):
        raise typer.Exit(1)


def fallback_lines(entry: "SnapshotEntry") -> list[str]:
    """A warning where the snapshot is a fallback, and what to do about it; no lines where it is not."""
    if not (reason := entry.card["reason"]):
        return []
    # Cards of earlier releases have no advice.
    advice = entry.card.get("advice")
    return [f"warning: lists hold popular items alone: {reason}", *([f"what to do: {advice}"] if advice else [])]


def accepted_lines(entry: "SnapshotEntry") -> list[str]:
    """When and against what the snapshot was accepted; no lines where it passed the gate."""
    # Cards of earlier releases say nothing of it.
    accepted = entry.card.get("accepted")
    return [] if accepted is None else [f"accepted     {accepted['at']}, although {accepted['reason']}"]


def _as_json(entry: "SnapshotEntry", problem: str | None) -> dict[str, Any]:
    return {
        "version": entry.version,
        "created_at": entry.created_at.isoformat(),
        "is_live": entry.is_live,
        "is_pinned": entry.is_pinned,
        "problem": problem,
        "card": entry.card,
    }


def _line(entry: "SnapshotEntry", problem: str | None) -> str:
    state = "pinned" if entry.is_pinned else "live" if entry.is_live else ""
    metrics = entry.card["metrics"]["snapshot"].items()
    shown = ", ".join(f"{name} {value:.4f}" for name, value in metrics if value is not None)
    line = f"{entry.version:>6}  {entry.created_at:%Y-%m-%d %H:%M:%S}  {state:<6}  {shown}"
    damage = [] if problem is None else [f"cannot be served: {problem}"]
    remarks = (*damage, *fallback_lines(entry), *accepted_lines(entry))
    return "\n".join([line, *(f"        {each}" for each in remarks)])
