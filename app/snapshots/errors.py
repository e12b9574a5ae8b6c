"""Why a snapshot folder is not served."""

from typing import ClassVar

from app.errors import ReckonError


class SnapshotError(ReckonError):
    """A snapshot folder cannot be served; the snapshot served before stays."""

    type: ClassVar[str] = "snapshot-unusable"
    title: ClassVar[str] = "The snapshot cannot be used"
    status: ClassVar[int] = 503


class SnapshotDamagedError(SnapshotError):
    """A file is missing, truncated, altered, forged, or does not fit the others."""

    type = "snapshot-damaged"
    title = "The snapshot is damaged"


class SnapshotOutdatedError(SnapshotError):
    """An older format that this release no longer reads: train again."""

    type = "snapshot-outdated"
    title = "The snapshot has an older format"


class SnapshotForeignError(SnapshotError):
    """A newer format, another version number or another database: not served here."""

    type = "snapshot-foreign"
    title = "The snapshot belongs elsewhere"
