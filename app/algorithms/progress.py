"""How a long computation reports its progress: a share of the work done and a short text that names the stage."""

from collections.abc import Callable

# Takes the share done, from 0 to 1 and never falling, and the stage in plain words.
#
# Called often, from the thread that computes. An exception raised by the callback ends the computation.
ProgressCallback = Callable[[float, str], None]


def ignore(_share: float, _stage: str) -> None:
    """The default callback: reports nothing."""


def part(progress: ProgressCallback, start: float, stop: float, stage: str) -> ProgressCallback:
    """A callback for one stage, whose shares 0 to 1 are mapped to `start` to `stop` of the whole; texts are `stage`."""
    return lambda share, _: progress(start + share * (stop - start), stage)


def report_epoch(
    progress: ProgressCallback, name: str, epoch: int, n_epochs: int, measure: str = "", *, unit: str = "epoch"
) -> None:
    """Report the end of `epoch`, counted from 0: "funk_svd epoch 7 of 40, validation RMSE 0.8412".

    `measure`: what the epoch reached, for example "validation RMSE 0.8412"; empty where nothing was measured.
    """
    # Epochs are counted from 1 in texts and shares, from 0 in code.
    text = f"{name} {unit} {epoch + 1} of {n_epochs}"
    progress((epoch + 1) / n_epochs, f"{text}, {measure}" if measure else text)
