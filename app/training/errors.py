"""How a run ends without a snapshot."""

from app.errors import ReckonError


class RunFailedError(ReckonError):
    """Base of the ways in which a run fails to learn what its recipe asks for.

    `advice`: what an operator can do about it, a sentence or two; empty where only the detail helps.
    """

    def __init__(self, detail: str, advice: str = "") -> None:
        super().__init__(detail)
        self.advice = advice


BASELINES, LIVE, SHIFT, DEFECT = "baselines", "live", "shift", "defect"
"""What a rejected snapshot failed: the comparison with the baselines or with what is live, or the look for items that
rose by new users alone, all of which an operator may overrule; or a check that finds data or vectors unusable."""


class SnapshotRejectedError(RunFailedError):
    """What was learned is not good enough to publish: the live snapshot stays. `kind`: which check it failed."""

    type = "snapshot-rejected"
    title = "The snapshot was not good enough to publish"
    status = 409

    def __init__(self, detail: str, advice: str = "", kind: str = DEFECT) -> None:
        super().__init__(detail, advice)
        self.kind = kind


class NotFiniteError(SnapshotRejectedError):
    """What was learned holds infinities or NaN, which rank nothing: an operator cannot accept it either."""


LEARN_OTHERWISE = (
    "Look for wrong values among the ratings, or train with another algorithm or other hyperparameters: "
    "`reckon train --help`."
)


class TrainingFailedError(RunFailedError):
    """Nothing was learned, and trying again would end the same way."""

    type = "training-failed"
    title = "Training failed"
    status = 409

    def __init__(self, detail: str, advice: str = LEARN_OTHERWISE) -> None:
        super().__init__(detail, advice)
