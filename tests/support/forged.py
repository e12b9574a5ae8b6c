"""Changes snapshot folders as an attacker would who knows the format: every checksum is valid again."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from app.scoring.index import FP16, empty_index, faiss
from app.snapshots.manifest import IndexKind


def checksum(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def forge_manifest(folder: Path, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
    """Change the manifest, once its digests fit the files on the disk."""
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    del document["sha256"]
    for name in document["files"]:
        content = (folder / name).read_bytes()
        document["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    change(document)
    path.unlink()  # it may be a link to a file of others
    path.write_text(json.dumps({**document, "sha256": checksum(document)}))


def forge_index(folder: Path) -> None:
    """An index of the right kind and size whose vectors have the row numbers of no items: searches find those."""
    vectors = np.load(folder / "item_vectors.npy")
    n_vectors, dimension = vectors.shape
    kind = IndexKind(FP16, recall=1.0, n_lists=1, probes=((100, 1),))
    index = empty_index(kind, dimension)
    index.quantizer.add(np.zeros((1, dimension), np.float32))
    index.train(np.ones((2, dimension), np.float32))
    index.add_with_ids(vectors, np.arange(n_vectors) + 1_000_000)
    (folder / "items.faiss").unlink()
    faiss.write_index(index, str(folder / "items.faiss"))
    forge_manifest(folder, lambda document: document.update(index=asdict(kind)))
