"""`python -m faults [--short] [--seed N] [NAME...]`: run the faults and print a Markdown table of the figures.

Exit code 1 if a figure is not reached or a fault ended with an error. In a short run, figures that depend on how
fast the machine is are printed and not judged.
"""

import argparse
import importlib
import logging
import secrets
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import structlog

from app.observability.logs import configure_logs
from faults.registry import FAULTS
from faults.trial import Figure, Size, Trial


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults", description="Break the service and count what is lost.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all if none is given: {', '.join(FAULTS)}")
    parser.add_argument("--short", action="store_true", help="every fault once, in minutes")
    parser.add_argument("--seed", type=int, default=None, help="repeat the choices of an earlier run")
    options = parser.parse_args()
    if unknown := set(options.names) - set(FAULTS):
        parser.error(f"there is no fault {unknown.pop()!r}; there are: {', '.join(FAULTS)}")
    configure_logs("json")  # on standard error: the table alone goes to standard output
    # The progress of training would bury the table.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    size: Size = "short" if options.short else "long"
    print(f"seed {seed}, {size}\n\n| fault | what | reach | seen | | seconds |\n|---|---|---|---|---|---|", flush=True)
    is_reached = True
    for name in options.names or FAULTS:
        started = time.monotonic()
        for figure in figures_of(name, seed, size):
            mark = "ok" if figure.is_reached else "**missed**"
            if not figure.is_reached and figure.is_timed and size == "short":
                mark = "slow"
            seconds = round(time.monotonic() - started)
            print(f"| {name} | {figure.what} | {figure.reach} | {figure.seen} | {mark} | {seconds} |", flush=True)
            is_reached &= mark != "**missed**"
    return 0 if is_reached else 1


def figures_of(name: str, seed: int, size: Size) -> Iterator[Figure]:
    """The figures of one fault as they come; an error of the fault itself is a figure that is not reached."""
    with tempfile.TemporaryDirectory(prefix=f"reckon-fault-{name}-") as folder:
        try:
            yield from importlib.import_module(f"faults.{name}").run(Trial(Path(folder), seed, size))
        except Exception as error:  # noqa: BLE001  the other faults are still to run
            traceback.print_exc()
            yield Figure("the fault ended", "without an error", repr(error)[:200], is_reached=False)


sys.exit(main())
