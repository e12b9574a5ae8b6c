"""Why a snapshot folder is not served, or cannot be brought to object storage or from there."""

from typing import ClassVar

from app.errors import ConflictError, ReckonError, UnavailableError


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


class ObjectStorageError(ReckonError):
    """The object storage cannot be used. `advice`: what to do about it."""

    type: ClassVar[str] = "object-storage"
    title: ClassVar[str] = "The object storage cannot be used"
    status: ClassVar[int] = 503

    def __init__(self, detail: str, advice: str) -> None:
        super().__init__(detail)
        self.advice = advice


class ObjectStorageDownError(ObjectStorageError):
    """It does not answer, or answers that it cannot now. A later attempt may succeed."""


class ObjectStorageRefusedError(ObjectStorageError):
    """It refuses what is asked: credentials, permission, bucket, region. It stays so until an operator acts."""


class DownloadStoppedError(UnavailableError):
    """The process that asked for the download is stopping. Another one can be asked."""

    def __init__(self) -> None:
        super().__init__("this process stops, so the snapshot was not downloaded; try again")


class ObjectChangedError(ObjectStorageError):
    """An object was removed or replaced between two reads of it, so that what was read of it is of no use."""


class PrefixTakenError(ConflictError):
    """Another service keeps its snapshots at the same place in the bucket."""

    type = "prefix-taken"
    title = "Two services have the same place in the bucket"

    def __init__(self, url: str, found: str, own: str) -> None:
        super().__init__(
            f"{url} holds the snapshots of database {found}, and this is {own}: two services need two prefixes"
            " (RECKON_SNAPSHOT_URL)"
        )


class PublishedMeanwhileError(ConflictError):
    """Since the publication began, another run has published in object storage. Nothing of this one is live."""

    type = "published-meanwhile"
    title = "Another run has published meanwhile"
