"""Imports optional libraries that some formats need, when a file of that format is read."""

from importlib import import_module
from typing import Any

from app.errors import InvalidInputError


def import_extra(module: str, extra: str, what: str) -> Any:
    """Return the module; `what` names the format that needs it.

    Raises `InvalidInputError` with the line that installs the extra where the library is absent.
    """
    try:
        return import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise InvalidInputError(f"{what} needs {library}: pip install 'reckon[{extra}]'", field="path") from error
