"""Where tables are printed."""

from rich.console import Console

WIDE = 240
"""Columns of a table that goes into a file or another program: nothing is wrapped."""


def table_console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)
