"""`make bench`: every figure, peers beside us, as Markdown tables. Name groups to run only those."""

import importlib
import sys

from benchmarks.table import as_text

GROUPS = ("importing", "quality", "learning", "training", "serving")


def main(groups: list[str]) -> None:
    for group in groups or GROUPS:
        if group not in GROUPS:
            sys.exit(f"there is no group {group!r}; there are: {', '.join(GROUPS)}")
        print(f"\n## {group}\n", flush=True)
        print(as_text(importlib.import_module(f"benchmarks.{group}").rows()), flush=True)


main(sys.argv[1:])
