"""Marks text that a spreadsheet would run as a formula, and takes the mark away again."""

_MARK = "'"
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""A formula begins with one of these; the last four are the wide forms of the first four."""

# Text that begins with a mark gets another one, so that no mark is taken for one of ours.
_MARKED_STARTS = (*_FORMULA_STARTS, _MARK)


def mark(text: str) -> str:
    """Return `text` in the form in which a spreadsheet shows it and never runs it."""
    return _MARK + text if text.startswith(_MARKED_STARTS) else text


def unmark(text: str) -> str:
    """Return the text of which `mark` made `text`; any other text is returned unchanged."""
    return text[1:] if text.startswith(_MARK) and text[1:].startswith(_MARKED_STARTS) else text
