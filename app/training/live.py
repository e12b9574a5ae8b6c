"""The live snapshot beside a candidate: what is left of its data today, and so how the two can be compared."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from app.algorithms.progress import ProgressCallback, ignore
from app.entities import RatingScale
from app.errors import InvalidInputError
from app.segments.registry import segment_layouts
from app.snapshots.arrays import kept_users
from app.snapshots.errors import SnapshotError
from app.snapshots.folders import Registered, SnapshotFolders
from app.snapshots.manifest import Acceptance
from app.snapshots.read import read_snapshot
from app.store.snapshots import SnapshotEntry
from app.training.dataset import Dataset
from app.training.gate import RecordedReport
from app.training.measure import NDCG
from app.training.overlap import KnownData, Overlap
from app.training.recipe import Recipe, parse_recipe
from app.training.validation_split import Common


@dataclass(frozen=True)
class Comparison:
    """How a candidate is compared with the live snapshot; not at all where both parts are None.

    `recorded`: by the figures that the live snapshot has on its card.
    `paired`: by its recipe, fitted again on the candidate's training part; `common`: on these users and items.
    `why`: why it is compared in this way, or not at all.
    """

    why: str
    recorded: RecordedReport | None = None
    paired: Recipe | None = None
    common: Common | None = None


def fetching(folders: SnapshotFolders, progress: ProgressCallback) -> Callable[[Registered], Path]:
    """As `SnapshotFolders.get`. It reports at the beginning of its stage, so that what stops a run ends a download."""
    return partial(folders.get, progress=lambda _share, file: progress(0.0, f"fetching the live snapshot: {file}"))


@dataclass(frozen=True)
class Live:
    """The live snapshot. `overlap`: with the data of today; None where its folder is missing or damaged."""

    version: int
    card: dict[str, Any]
    overlap: Overlap | None

    @classmethod
    def read(
        cls,
        entry: SnapshotEntry,
        folders: SnapshotFolders,
        database_id: str,
        dataset: Dataset,
        progress: ProgressCallback = ignore,
    ) -> "Live":
        """Verifies the checksums of the folder: shares of damaged arrays would decide at random.

        Raises `ObjectStorageError` where the folder cannot be fetched: the gate must not open because of that.
        """
        try:
            files = folders.read(
                entry,
                lambda folder: read_snapshot(folder, database_id, entry.version, segment_layouts(), entry.digest),
                fetching(folders, progress),
            )
        except SnapshotError:
            return cls(entry.version, entry.card, None)
        known = KnownData.from_snapshot(files.arrays, dataset.scale, dataset.sample)
        today = KnownData.from_dataset(dataset)
        if not files.manifest.has_all_users:
            # Those of today who would be in its table; of the others it says nothing.
            today = today.of_users(kept_users(today.user_keys, files.manifest.user_share))
        return cls(entry.version, entry.card, Overlap.between(known, today))

    @property
    def is_gone(self) -> bool:
        """Whether it says little of today: most of its users or items are gone, or no process can open it."""
        return self.overlap is None or self.overlap.is_mostly_gone

    @property
    def accepted(self) -> Acceptance | None:
        # Cards of earlier releases lack it.
        accepted = self.card.get("accepted")
        return None if accepted is None else Acceptance(**(accepted | {"kinds": tuple(accepted.get("kinds", ()))}))

    def comparison(self, recipe: Recipe, scale: RatingScale) -> Comparison:
        """How a candidate by `recipe` on `scale` is compared with it."""
        if self.overlap is None:
            return Comparison("its folder is missing or damaged")
        if self.overlap.is_mostly_gone:
            return Comparison(str(self.overlap))
        try:
            live_recipe = parse_recipe(self.card["requested_recipe"])
        except InvalidInputError as error:
            return Comparison(f"this release cannot learn its recipe: {error.detail}")
        # Where ratings are read is a matter of the data, which are compared by themselves.
        live_recipe, recipe = (replace(each, source=None) for each in (live_recipe, recipe))
        if live_recipe != recipe:
            return Comparison("the recipes differ", paired=live_recipe, common=self.overlap.common)
        # The scale decides which ratings are liked, so figures of two scales cannot be compared.
        if self.card["rating_scale"] != str(scale) or not self.overlap.is_largely_same:
            # Its recipe, fitted again on the training part of today, would be the candidate itself.
            return Comparison(f"it has the same recipe, learned on {self.card['rating_scale']}: {self.overlap}")
        return Comparison("recipe and scale are the same, and the data largely are", recorded=self._recorded)

    @property
    def _recorded(self) -> RecordedReport | None:
        """None for a snapshot that was not measured, which goes live only if it is accepted."""
        metrics = self.card["metrics"]
        ndcg, bestsellers_ndcg = (metrics[name].get(NDCG) for name in ("snapshot", "bestsellers"))
        return None if ndcg is None or bestsellers_ndcg is None else RecordedReport(ndcg, bestsellers_ndcg)
