"""The command line, run in this process as a shell would run it."""

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest.mock import patch

from app.cli import main


@dataclass(frozen=True, slots=True)
class Finished:
    exit_code: int
    output: str
    errors: str


def reckon(*arguments: object) -> Finished:
    """`reckon ARGUMENTS...`; settings come from the environment, as ever."""
    output, errors = io.StringIO(), io.StringIO()
    exit_code: object = 0
    command = patch.object(sys, "argv", ["reckon", *map(str, arguments)])
    with command, patch.dict(os.environ), redirect_stdout(output), redirect_stderr(errors):
        try:
            main()
        except SystemExit as exit_:
            exit_code = exit_.code
    return Finished(int(str(exit_code or 0)), output.getvalue(), errors.getvalue())
