"""How far a run is: a share between 0 and 1 and the name of the stage, told to whoever asked."""

from collections.abc import Callable

ProgressCallback = Callable[[float, str], None]
"""Called often, from the run's own thread; an exception that it raises ends the run."""


def ignore(_share: float, _stage: str) -> None:
    pass


def part(progress: ProgressCallback, start: float, stop: float, stage: str) -> ProgressCallback:
    """A `ProgressCallback` for one stage, whose own 0 to 1 is `start` to `stop` of the whole run."""
    return lambda share, _: progress(start + share * (stop - start), stage)
