"""How a long computation reports what it does.

A `ProgressCallback` takes the share of the work done and a short text. A `Stage` is such a callback, with a place in
the whole computation; it also writes durations, figures and decisions to a log.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

# Takes the share done, from 0 to 1 and never falling, and the stage in plain words.
#
# Called often, from the thread that computes. An exception raised by the callback ends the computation.
ProgressCallback = Callable[[float, str], None]

# Texts of one stage that are logged at level `info`: no more than one for each of these shares of its work ...
LOGGED_SHARE = 0.1
# ... and for each of these seconds. Quick fits, of which a search makes dozens, then log their last text alone.
LOGGED_SECONDS = 1.0


def ignore(_share: float, _stage: str) -> None:
    """The default callback: reports nothing."""


def part(progress: ProgressCallback, start: float, stop: float, stage: str) -> ProgressCallback:
    """A callback for one part of the work, whose shares 0 to 1 are mapped to `start` to `stop` of the whole.

    Its texts are those of the part behind the name of the stage: "fold 2 of 5: als epoch 7 of 10".
    """
    return lambda share, text: progress(start + share * (stop - start), f"{stage}: {text}" if text else stage)


def report_epoch(
    progress: ProgressCallback, name: str, epoch: int, n_epochs: int, measure: str = "", *, unit: str = "epoch"
) -> None:
    """Report the end of `epoch`, counted from 0: "funk_svd epoch 7 of 40, validation RMSE 0.8412".

    `measure`: what the epoch reached, for example "validation RMSE 0.8412"; empty where nothing was measured.
    """
    # Epochs are counted from 1 in texts and shares, from 0 in code.
    text = f"{name} {unit} {epoch + 1} of {n_epochs}"
    progress((epoch + 1) / n_epochs, f"{text}, {measure}" if measure else text)


class StageLog(Protocol):
    """The methods of a structured logger that stages use: an event and its fields by name."""

    def info(self, event: str, **fields: Any) -> Any: ...

    def debug(self, event: str, **fields: Any) -> Any: ...


class Stage:
    """A stage of a long computation; its parts are stages as well.

    It is a `ProgressCallback`. Each call reports the share of the whole that is done, which never falls, and the text.
    Where there is a log, it receives these events, each with the `path` of the stage:

    - "stage finished": `duration_seconds`, the figures of the stage, and `last_text`, the last text reported in it;
      "stage failed", with `error`, where an exception ended the stage.
    - "decision": a sentence, and the figures that it was made by.
    - "progress": a text. The level is `info` for up to ten of them, at least a second apart, and `debug` for the rest.

    Nothing here draws random numbers, so a log changes no result.
    """

    def __init__(
        self,
        progress: ProgressCallback,
        log: StageLog | None = None,
        path: str = "",
        around: Callable[[str], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        """`path`: the names of the stages around this one and its own, joined by " > "; empty for the whole.

        `around`: makes a context of a path, in which the part with this path runs, such as a span of a trace.
        """
        self._around = around
        self.path = path
        self._progress = progress
        self._log = log
        self._reached = 0.0
        self._figures: dict[str, Any] = {}
        self.seconds: dict[str, float] = {}
        """How long each of its parts took that did not fail."""
        self._logged_share = 0.0
        self._logged_at = time.monotonic()

    @classmethod
    def from_progress(cls, progress: ProgressCallback) -> "Stage":
        """`progress` itself if it is a stage; otherwise the whole of a computation without a log."""
        return progress if isinstance(progress, Stage) else cls(progress)

    def __call__(self, share: float, text: str) -> None:
        self._figures["last_text"] = text
        now = time.monotonic()
        is_due = share - self._logged_share >= LOGGED_SHARE and now - self._logged_at >= LOGGED_SECONDS
        if is_due:
            self._logged_share, self._logged_at = share, now
        if self._log is not None:
            (self._log.info if is_due else self._log.debug)("progress", stage=self.path, text=text)
        self._report(share, text)

    @contextmanager
    def part(self, name: str, until: float = 1.0, **figures: Any) -> Iterator["Stage"]:
        """The next part of this stage, which takes its progress to the share `until`; timed and logged.

        `figures`: fields of its last log line, in addition to those that `note` adds.
        """
        start = self._reached
        # A listener sees the outermost stage and the innermost text; the stages between would make it unreadable.
        prefix = "" if self.path else f"{name}: "

        def report(share: float, text: str) -> None:
            self._report(start + share * (until - start), prefix + text)

        stage = Stage(report, self._log, f"{self.path} > {name}" if self.path else name, self._around)
        stage.note(**figures)
        self._report(start, name)
        started_at = time.perf_counter()
        try:
            with self._around(stage.path):
                yield stage
        except BaseException as error:
            stage._finish("stage failed", _seconds_since(started_at), error=type(error).__name__)
            raise
        self.seconds[name] = _seconds_since(started_at)
        stage._finish("stage finished", self.seconds[name])
        # The next part reports this share. A callback may raise, and what a stage has completed must not fail by it.
        self._reached = max(self._reached, until)

    def note(self, **figures: Any) -> None:
        """Add fields to the line that is logged when the stage ends; units stand in their names."""
        self._figures |= figures

    def decide(self, decision: str, **figures: Any) -> str:
        """Log a decision, a sentence, with the figures that it was made by; returns the sentence."""
        if self._log is not None:
            self._log.info("decision", stage=self.path, decision=decision, **figures)
        return decision

    def _report(self, share: float, text: str) -> None:
        # Rounding must not let the share fall or exceed 1.
        self._reached = min(max(self._reached, share), 1.0)
        self._progress(self._reached, text)

    def _finish(self, event: str, seconds: float, **fields: Any) -> None:
        if self._log is not None:
            self._log.info(event, stage=self.path, duration_seconds=seconds, **fields, **self._figures)


def _seconds_since(started_at: float) -> float:
    return round(time.perf_counter() - started_at, 3)
