"""The trials of searches in a file, one JSON object a line: an interrupted search goes on where it ended."""

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
        """The trials of a task, by the key of each.

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
        """Writes a whole line at once; it is on the disk when this returns."""
        line = (json.dumps(asdict(task) | asdict(trial)) + "\n").encode()
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
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
        except ValueError as error:
            raise self._refusal("holds no trials") from error
        if not all(
            isinstance(each, dict) and {"algorithm", "hyperparameters", "value"} <= each.keys() for each in documents
        ):
            raise self._refusal("holds no trials")
        if torn:
            # Only the start of a trial is cut off: any other text is a file of the user's.
            if not torn.startswith(b'{"algorithm"'[: len(torn)]):
                raise self._refusal("holds no trials")
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
