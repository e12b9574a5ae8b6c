"""`make bench`: every figure, peers beside us, as Markdown tables. Name a group, or parts of one, to run only that."""

import importlib
import sys

from benchmarks.table import as_text

GROUPS = (
    "importing",
    "quality",
    "lists",
    "learning",
    "training",
    "scale",
    "serving",
    "replicas",
    "answers",
    "console",
    "structure",
)


def main(names: list[str]) -> None:
    chosen = [name for name in names if name in GROUPS]
    parts = [name for name in names if name not in GROUPS]
    if parts and len(chosen) != 1:
        sys.exit(f"there is no group {parts[0]!r}; there are: {', '.join(GROUPS)}")
    for name in chosen or GROUPS:
        group = importlib.import_module(f"benchmarks.{name}")
        if unknown := set(parts) - set(getattr(group, "PARTS", ())):
            sys.exit(
                f"{name} has no part {unknown.pop()!r}; it has: {', '.join(getattr(group, 'PARTS', ())) or 'none'}"
            )
        print(f"\n## {name}\n", flush=True)
        print(as_text(group.rows(parts) if parts else group.rows()), flush=True)


main(sys.argv[1:])
