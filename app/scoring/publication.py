"""From the parts of a scorer to a published folder, and back."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from app.algorithms.progress import ProgressCallback, Stage, ignore
from app.scoring.features import Encodings
from app.scoring.groups import Group
from app.scoring.index import map_index
from app.scoring.index_build import Known, build_index, index_bytes
from app.scoring.scorer import PublishedScorer, Scorer
from app.segments.registry import SEGMENTS, segment_layouts
from app.snapshots.arrays import SnapshotArrays, check_arrays, check_range
from app.snapshots.errors import SnapshotDamagedError
from app.snapshots.manifest import MANIFEST_FILE, Manifest
from app.snapshots.read import SnapshotFiles, VerifiedFiles, read_snapshot
from app.snapshots.write import FEATURES_FILE, GROUPS_FILE, make_room, write_folder

CANARY_QUERIES = 3
CANARY_TOLERANCE = 1e-2
"""Relative: half precision of the index, at most."""


def write_snapshot(
    root: Path,
    manifest: Manifest,
    arrays: SnapshotArrays,
    encodings: Encodings,
    groups: Sequence[Group] = (),
    progress: ProgressCallback = ignore,
) -> Path:
    """Build the index, write the snapshot `manifest.version` below `root`, and return its folder.

    `groups`: the names of the groups in `arrays.group_starts`. Raises `StorageFullError` where there is no room,
    `SnapshotDamagedError` where the arrays contradict each other.
    """
    sizes = check_arrays(arrays.named, segment_layouts())
    if len(groups) != sizes["n_group_starts"] - 1:
        raise SnapshotDamagedError("the names of the groups do not fit their arrays")
    stage = Stage.from_progress(progress)
    # Before the index is built, which takes minutes for a large catalogue.
    make_room(root, arrays)
    with stage.part("index", 0.7) as part:
        index, kind = build_index(arrays.item_vectors, arrays.user_vectors, partial(_known, arrays))
        part.note(kind=kind.name, recall=round(kind.recall, 4), n_lists=kind.n_lists)
    documents = {FEATURES_FILE: encodings.document, GROUPS_FILE: groups}
    with stage.part("writing"):
        return write_folder(root, replace(manifest, index=kind), arrays, documents, index_bytes(index))


def _known(arrays: SnapshotArrays, user_row: int) -> Known:
    rated, _, _ = arrays.history(user_row)
    positive, _, _ = arrays.labels(user_row)
    return Known(rated, len(rated) + len(positive))


def open_snapshot(
    folder: Path, database_id: str, version: int, digest: str | None = None, verified: VerifiedFiles | None = None
) -> PublishedScorer:
    """A scorer of the snapshot in `folder`, verified and mapped, that has answered trial queries.

    `digest`: of its manifest as it was registered; None where it is not known. `verified`: as for `read_snapshot`.

    Raises `SnapshotDamagedError` where anything is missing, altered, linked or inconsistent, `SnapshotOutdatedError`
    for an older format, `SnapshotForeignError` for a newer one, another database or another version.
    """
    files = read_snapshot(folder, database_id, version, segment_layouts(), digest, verified)
    manifest = files.manifest
    if manifest.index is None:
        raise SnapshotDamagedError(f"{MANIFEST_FILE} names no kind of index")
    names = {entry.name for entry in manifest.segments}
    if len(names) < len(manifest.segments):
        raise SnapshotDamagedError(f"{MANIFEST_FILE} names a segment twice")
    # Predictions and the list of unknown users rely on the required segments.
    for segment in SEGMENTS.values():
        is_required = segment.is_required and (manifest.scale.is_graded or not segment.needs_grades)
        if is_required and segment.name not in names:
            raise SnapshotDamagedError(f"there is no {segment.name} segment")
    index = map_index(files.index_path, files.arrays.item_vectors, manifest.index)
    scorer = PublishedScorer.from_parts(manifest, files.arrays, index, _encodings(files), _groups(files))
    _check_canaries(scorer)
    return scorer


def _encodings(files: SnapshotFiles) -> Encodings:
    document: Any = files.documents[FEATURES_FILE]
    try:
        # The maps have a row for each column that they read; other widths would fail at the first new item.
        encodings = Encodings.from_document(document)
        widths = encodings.mapped_widths
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise SnapshotDamagedError(f"{FEATURES_FILE} does not hold encodings of features") from error
    if widths != (files.sizes["n_item_features"], files.sizes["n_user_features"]):
        raise SnapshotDamagedError(f"{FEATURES_FILE} does not fit the maps of features")
    check_range("content_columns", files.arrays.content_columns, 0, encodings.content.n_columns)
    return encodings


def _groups(files: SnapshotFiles) -> tuple[Group, ...]:
    try:
        groups = TypeAdapter(tuple[Group, ...]).validate_python(files.documents[GROUPS_FILE])
    except (ValueError, RecursionError) as error:
        raise SnapshotDamagedError(f"{GROUPS_FILE} does not name groups") from error
    if len(set(groups)) != files.sizes["n_group_starts"] - 1:
        raise SnapshotDamagedError(f"{GROUPS_FILE} does not fit the groups")
    return groups


def _check_canaries(scorer: Scorer) -> None:
    """Search for real users, compare the best scores with dot products, and score by the tables.

    FAISS verifies nothing, and a wrong file may load without an error. Raises `SnapshotDamagedError`.
    """
    n_users = len(scorer.arrays.user_keys)
    # Users are spread over all rows; a snapshot without users has no queries to check.
    for user_row in np.unique(np.linspace(0, n_users - 1, CANARY_QUERIES).astype(int)) if n_users else ():
        vector = scorer.user_vectors[user_row]
        rows, scores = scorer.index.nearest(vector, 10)
        # The best score by a product with every item: what the index must find.
        best = float((scorer.item_vectors @ vector).max(initial=-np.inf))
        tolerance = CANARY_TOLERANCE * (1.0 + abs(best))
        # Negated, so that a NaN fails.
        if len(rows) != min(10, scorer.n_items) or not abs(float(scores[0]) - best) <= tolerance:
            raise SnapshotDamagedError("a trial search gave wrong answers")
        with np.errstate(over="ignore", invalid="ignore"):
            tables = scorer.user_side(int(user_row)).tables.values()
        if not all(np.isfinite(of_table).all() for of_table in tables):
            raise SnapshotDamagedError("a trial query gave scores that are not finite")
