"""`manifest.json`: what a snapshot is, what it was made from, and the checksum of every file, its own included."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, Literal, NoReturn

from pydantic import TypeAdapter, ValidationError

from app.entities import RatingScale
from app.snapshots.errors import SnapshotDamagedError, SnapshotForeignError, SnapshotOutdatedError

FORMAT = 6
"""The only format this release reads and writes."""

MANIFEST_FILE = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """One segment of the score.

    `columns`: start and stop (exclusive) on both sides, of a dense segment; None for a sparse one.
    `n_entries`: the size of the table of a sparse segment; None for a dense one.
    `numbers`: the scalars of its state; its arrays are files of their own. The segment interprets them.
    """

    name: str
    algorithm: str
    columns: tuple[int, int] | None
    weight: float
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    n_entries: int | None = None

    @property
    def slice(self) -> slice:
        """The columns of a dense segment. Raises `ValueError` for a sparse one."""
        if self.columns is None:
            raise ValueError(f"the segment {self.name} has no columns")
        return slice(*self.columns)


@dataclass(frozen=True, slots=True)
class Watermark:
    """The state of the data that was learned from, read in the same transaction as the data.

    `n_events`: all stored events.
    `profile_change_count`: changes of attributes and events of users.
    `n_erasures`: the erasures of users so far; the snapshot holds none of these users.
    """

    n_ratings: int
    change_count: int
    newest_rated_at: int | None
    catalogue_version: int
    n_events: int = 0
    profile_change_count: int = 0
    n_erasures: int = 0


@dataclass(frozen=True, slots=True)
class SimilarBlend:
    """The weights of what makes items similar, 0 or above; they sum to 1. `app.scoring.item_similarity` defines them.

    `shrinkage`: of what is chosen together, the number of common users that halves a cosine.
    `measured`: what held-out users chose with an item, found by the first ten similar items: by this blend, by plain
        cosine of the columns of ratings, and by single parts; each from 0 to 1. Empty where nothing was measured.
    `n_measured`: the number of lists that were measured.
    """

    together: float
    taste: float
    features: float
    titles: float
    shrinkage: float
    measured: dict[str, float] = field(default_factory=dict)
    n_measured: int = 0


UNMEASURED_BLEND = SimilarBlend(together=0.4, taste=0.3, features=0.2, titles=0.1, shrinkage=10.0)
"""The weights where nothing can be measured. On films, game purchases and toys, measured weights lie around them."""


@dataclass(frozen=True, slots=True)
class IndexKind:
    """How the index stores and searches vectors.

    `recall`: the measured share of the best items that a search finds.
    `scales`: (dimension,) divisors of the columns; empty where columns are stored as they are.
    `n_lists`: how many lists the items are divided into; 0 for none.
    `probes`: (n, p) with n ascending: a search for the best n items reads p lists.
    `least_known`: ratings and engagements from which on `probes` holds; with fewer, every list is searched, since
    recall was not measured for such users.
    """

    name: str
    recall: float
    scales: tuple[float, ...] = ()
    n_lists: int = 0
    probes: tuple[tuple[int, int], ...] = ()
    least_known: int = 0

    def probed(self, n: int, n_known: int) -> int:
        """How many lists are searched for the best `n`, for a user with `n_known` ratings and engagements."""
        if n_known < self.least_known:
            return self.n_lists
        return next((n_probes for depth, n_probes in self.probes if n <= depth), self.n_lists)


@dataclass(frozen=True, slots=True)
class FileDigest:
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A snapshot was published by an operator's word although it did not pass the gate.

    `at`: when, UTC, ISO 8601. `reason`: what the gate said. `kinds`: the checks that the snapshot failed, `baselines`,
    `live` or `shift`; empty in snapshots of earlier releases, which did not store them.
    """

    at: str
    reason: str
    kinds: tuple[str, ...] = ()

    def beside(self, earlier: "Acceptance | None") -> "Acceptance":
        """One acceptance of both. `earlier`: in the same run."""
        if earlier is None:
            return self
        return Acceptance(self.at, f"{earlier.reason}; {self.reason}", (*earlier.kinds, *self.kinds))


@dataclass(frozen=True, slots=True)
class ErrorAtRating:
    """How well held-out ratings of one value were predicted; of many values, one bin of them, by its centre.

    `rating`: the value, in the rating scale. `n`: how many ratings. `rmse`, `mean_error`: of predicted minus actual.
    """

    rating: float
    n: int
    rmse: float
    mean_error: float


@dataclass(frozen=True, slots=True)
class Exposure:
    """How the places in the measured lists are spread over the items.

    `n_lists`: the measured lists. `gini`: 0 if all items are shown equally often, 1 if only one is.
    `lorenz`: points (share of items, share of places), the items shown least first, from (0, 0) to (1, 1).
    `by_popularity`: for each of ten groups of equally many items, the least chosen first, its share of the choices in
    the training part and its share of the places.
    """

    n_lists: int
    gini: float
    lorenz: tuple[tuple[float, float], ...]
    by_popularity: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What the recipe reaches, learned from a share of the training part.

    `share`: from 0 to 1. `n_ratings`: in that share. `ndcg`, `rmse`: on the hold-out; None where not measured.
    """

    share: float
    n_ratings: int
    ndcg: float | None
    rmse: float | None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Where what was learned does well, on the hold-out; for a reader, never for the gate.

    `errors`: by rating, ascending; empty where no ratings are predicted.
    `exposure`: None where no lists were measured. `curve`: by share, ascending; empty where it was not measured.
    """

    errors: tuple[ErrorAtRating, ...] = ()
    exposure: Exposure | None = None
    curve: tuple[CurvePoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot is and what it was made from.

    `created_at`: UTC, ISO 8601.
    `requested_recipe`: as the job requested it; `recipe`: after the data chose.
    `metrics`: of the snapshot's recipe, of bestsellers, of what was popular of late and of biases, name -> value on the
    hold-out, None where it could not be measured; `intervals`: their 95 % intervals, [low, high].
    `choices`: why this recipe, a sentence each.
    `reason`: why a fallback, popular items, was published instead of the requested recipe; None otherwise.
    `advice`: what to do about the reason; None where it is none.
    `accepted`: where the snapshot did not pass the gate and was published nevertheless; None otherwise.
    `is_led_by_events`: there were hardly any ratings, so labels of events were learned from as ratings at the ends of
    the scale.
    `user_share`: the share of the users that are in the table of users, see `kept_users`; users outside
    of it are folded in at each request.
    `counts`: of the data, those of users who are not in the table included.
    `n_quarantined`: users whose ratings and events were not learned from, as made to push an item.
    `n_capped`: ratings and labels of events that were not learned from, as they came in a burst.
    `similar`: how similar items are blended.
    `diagnosis`: None in snapshots of earlier releases.
    `histories`: where all ratings are that the users had given: in the `database`, or in the `snapshot` alone.
    `index`, `files`: filled in by the writer.
    """

    version: int
    database_id: str
    created_at: str
    rating_scale: str
    requested_recipe: dict[str, Any]
    recipe: dict[str, Any]
    seed: int
    segments: tuple[SegmentEntry, ...]
    counts: dict[str, int]
    metrics: dict[str, dict[str, float | None]]
    intervals: dict[str, dict[str, tuple[float, float]]]
    watermark: Watermark
    choices: tuple[str, ...] = ()
    reason: str | None = None
    advice: str | None = None
    accepted: Acceptance | None = None
    is_led_by_events: bool = False
    user_share: float = 1.0
    n_quarantined: int = 0
    n_capped: int = 0
    similar: SimilarBlend = UNMEASURED_BLEND
    diagnosis: Diagnosis | None = None
    histories: Literal["database", "snapshot"] = "database"
    index: IndexKind | None = None
    files: dict[str, FileDigest] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def scale(self) -> RatingScale:
        return RatingScale.parse(self.rating_scale)

    @property
    def has_all_users(self) -> bool:
        """Whether all users are in the table of users."""
        return self.user_share >= 1

    def segment(self, name: str) -> SegmentEntry | None:
        return next((segment for segment in self.segments if segment.name == name), None)


def card(manifest: Manifest) -> dict[str, Any]:
    """What the register of snapshots shows: all but the files, and the numbers that only the index needs."""
    document = asdict(manifest)
    # Digests serve the reader of the folder alone.
    del document["files"]
    if document["index"] is not None:
        del document["index"]["scales"]
    return document


def manifest_bytes(manifest: Manifest) -> bytes:
    """The manifest as JSON, with the checksum of its own content."""
    document = asdict(manifest)
    document["sha256"] = _checksum(document)
    # NaN is no JSON, and a reader in another language would refuse the whole manifest for one.
    return json.dumps(document, indent=1, allow_nan=False).encode()


def read_manifest(content: bytes) -> Manifest:
    """The manifest in `content`.

    Raises `SnapshotOutdatedError` and `SnapshotForeignError` for an older or newer format, `SnapshotDamagedError` for
    anything that is not a manifest or not the one that was written.
    """
    try:
        document = json.loads(content, parse_constant=_refuse_constant)
        written_format = document.get("format")
    except (ValueError, RecursionError, AttributeError) as error:
        raise SnapshotDamagedError(f"{MANIFEST_FILE} is not a JSON object") from error
    # `True` is an int to `isinstance`.
    if type(written_format) is not int:
        raise SnapshotDamagedError(f"{MANIFEST_FILE} names no format")
    # The format is read before the checksum, since another format may define the checksum otherwise.
    if written_format < FORMAT:
        raise SnapshotOutdatedError(f"format {written_format} is older than {FORMAT}, the oldest that is read")
    if written_format > FORMAT:
        raise SnapshotForeignError(f"format {written_format} is newer than {FORMAT}, the newest that is read")
    # The manifest holds the checksums of all other files, so its own protects them all.
    if document.pop("sha256", None) != _checksum(document):
        raise SnapshotDamagedError(f"{MANIFEST_FILE} is not what was written")
    try:
        return _manifest_type().validate_python(document)
    except ValidationError as error:
        raise SnapshotDamagedError(f"{MANIFEST_FILE}: {error.errors()[0]['msg']}") from error


def _refuse_constant(name: str) -> NoReturn:
    # NaN is no JSON and is never written, though Python reads it; one would spread to all scores.
    raise ValueError(f"{name} is no number of JSON")


def _checksum(document: dict[str, Any]) -> str:
    # A canonical form, so that neither indentation nor the order of keys matters.
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@cache
def _manifest_type() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)
