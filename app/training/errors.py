"""How a run ends without a snapshot."""

from app.errors import ReckonError


class SnapshotRejectedError(ReckonError):
    """What was learned is not good enough to publish: the live snapshot stays."""

    type = "snapshot-rejected"
    title = "The snapshot was not good enough to publish"
    status = 409


class TrainingFailedError(ReckonError):
    """Nothing was learned, and trying again would end the same way."""

    type = "training-failed"
    title = "Training failed"
    status = 409
