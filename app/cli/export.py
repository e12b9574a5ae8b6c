"""`reckon export`: the whole database as files, and the vectors of the live snapshot."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from app.cli.terminal import shown_progress

# Defaults of options are needed when the command is declared, so their modules are imported here. Both are light.
from app.intake.files.table_writers import Format, writing_in

if TYPE_CHECKING:
    from app.scoring import PublishedScorer
    from app.snapshots.folders import SnapshotFolders
    from app.store import Store


def export(
    folder: Path = typer.Argument(metavar="DIR", help="Folder for the files; created if missing"),
    format_: Format = typer.Option(Format.CSV, "--format", help="csv or jsonl"),
    vectors: bool = typer.Option(
        False, "--vectors", help="Also write the factors and biases of the live snapshot to DIR/vectors"
    ),
    for_spreadsheets: bool = typer.Option(
        False,
        "--for-spreadsheets",
        help="Put ' before text that a spreadsheet would run: = + - @, tab, line break or '",
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the counts as JSON"),
) -> None:
    """Write all ratings, events, items, users, event types and placements to files for `reckon import`.

    Fields are written unchanged, and a spreadsheet may run formulas in ids and titles. With --for-spreadsheets it shows
    them as text; numbers stay as they are, and an import of the folder takes the marks away again.
    """
    from app.intake.exporting import export_to
    from app.intake.layouts import VECTORS
    from app.settings import Settings
    from app.store import Store
    from app.wiring import snapshot_folders

    settings = Settings()
    store = Store.open(settings.database_url, settings.data_dir)
    try:
        snapshot = _live_snapshot(store, snapshot_folders(settings)) if vectors else None
        with store.audit.command("database.export", folder.name), shown_progress(is_quiet=as_json) as progress:
            report = export_to(folder, store, format_, progress, is_for_spreadsheets=for_spreadsheets)
        written: dict[str, Any] = report.counts
        if snapshot is not None:
            with writing_in(folder):
                written |= _export_vectors(
                    folder / VECTORS, store, snapshot, format_, is_for_spreadsheets=for_spreadsheets
                )
    finally:
        store.close()
    if as_json:
        typer.echo(json.dumps(written))
    else:
        typer.echo("\n".join(f"{name:<17} {value:,}" for name, value in written.items()))
        typer.echo(f"in {folder}")


def _live_snapshot(store: "Store", folders: "SnapshotFolders") -> "PublishedScorer":
    """Raises `NotFoundError` if no snapshot is live, and the errors of `open_snapshot` if it is damaged."""
    from app.errors import NotFoundError
    from app.scoring import open_snapshot

    live = next((entry for entry in store.snapshots.entries() if entry.is_live), None)
    if live is None:
        raise NotFoundError("snapshot", "live")
    database_id = store.instance.database_id
    return folders.read(live, lambda folder: open_snapshot(folder, database_id, live.version, live.digest))


def _export_vectors(
    folder: Path, store: "Store", snapshot: "PublishedScorer", format_: Format, *, is_for_spreadsheets: bool
) -> dict[str, Any]:
    """Write P, Q and the biases of the rating segment.

    Predicted rating = mean + user bias + item bias + p . q, clipped to the scale. Raises `ConflictError` where no
    ratings are predicted.
    """
    from app.errors import ConflictError
    from app.intake.vectors import write_vectors

    segment = snapshot.rating
    if segment is None:
        message = f"values are {snapshot.scale}, so the live snapshot predicts no ratings and has no vectors of them"
        raise ConflictError(message)
    folder.mkdir(parents=True, exist_ok=True)
    items = snapshot.item_vectors[:, segment.slice]  # [q_i | b_i]
    users = snapshot.user_vectors[:, segment.slice]  # [a_u p_u | a_u]
    # p_u = (a_u p_u) / a_u: the weight a_u belongs to the blend and not to the predicted rating.
    user_ids = store.users.ids_of(snapshot.arrays.user_keys.tolist())
    item_ids = store.items.ids_of(snapshot.arrays.item_keys.tolist())
    n_users = write_vectors(
        folder / f"users.{format_.value}",
        "user_id",
        [user_ids.get(key) for key in snapshot.arrays.user_keys.tolist()],
        snapshot.arrays.user_biases,
        users[:, :-1] / users[:, -1:],
        format_,
        is_marked=is_for_spreadsheets,
    )
    n_items = write_vectors(
        folder / f"items.{format_.value}",
        "item_id",
        [item_ids.get(key) for key in snapshot.arrays.item_keys.tolist()],
        items[:, -1],
        items[:, :-1],
        format_,
        is_marked=is_for_spreadsheets,
    )
    card = {
        "snapshot_version": snapshot.version,
        "algorithm": segment.entry.algorithm,
        "mean_rating": segment.fold.mean,
        "scale": snapshot.manifest.rating_scale,
    }
    (folder / "vectors.json").write_text(json.dumps(card) + "\n")
    return {"vectors of users": n_users, "vectors of items": n_items, "snapshot_version": snapshot.version}
