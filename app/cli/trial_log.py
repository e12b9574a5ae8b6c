"""Stores the trials of searches in a file, one JSON object per line, so that an interrupted search can be resumed."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.errors import InvalidInputError
from app.evaluation.search import Trial
from app.evaluation.tuning import Task


@dataclass(frozen=True, slots=True)
class TrialLog:
    """A file that several searches may share."""

    path: Path

    def trials_of(self, task: Task) -> dict[str, Trial]:
        """Return the trials of a task by their keys.

        Cuts off a last line that was not written completely. Raises `InvalidInputError` for a file that holds anything
        but trials.
        """
        wanted = asdict(task)
        trials = {}
        for document in self._documents():
            if {name: document.get(name) for name in wanted} == wanted:
                trial = _trial(document)
                trials[trial.key] = trial
        return trials

    def append(self, task: Task, trial: Trial) -> None:
        """Append a trial; it is on the disk when this returns. Raises `InvalidInputError` if the write fails."""
        # One write in append mode, so that the lines of concurrent searches do not mix.
        line = (json.dumps(asdict(task) | asdict(trial)) + "\n").encode()
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, line)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._refusal(f"cannot be written: {error.strerror}") from error

    def _documents(self) -> list[dict[str, Any]]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._refusal(f"cannot be read: {error.strerror}") from error
        whole, newline, torn = content.rpartition(b"\n")
        try:
            documents = [json.loads(line) for line in whole.splitlines()]
        except (ValueError, RecursionError) as error:
            raise self._refusal("is not a file of trials") from error
        if not all(
            isinstance(each, dict) and {"algorithm", "hyperparameters", "value"} <= each.keys() for each in documents
        ):
            raise self._refusal("is not a file of trials")
        if torn:
            # Only the beginning of a trial is cut off. Any other text means that the file is not a log of trials.
            if not torn.startswith(b'{"algorithm"'[: len(torn)]):
                raise self._refusal("is not a file of trials")
            os.truncate(self.path, len(whole) + len(newline))
        return documents

    def _refusal(self, reason: str) -> InvalidInputError:
        return InvalidInputError(f"{self.path} {reason}", field="results")


def _trial(document: dict[str, Any]) -> Trial:
    ends = document.get("interval")
    return Trial(
        document["hyperparameters"],
        document["value"],
        None if ends is None else (ends[0], ends[1]),
        document.get("seconds", 0.0),
        document.get("problem"),
    )
