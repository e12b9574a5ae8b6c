"""The items by row, as one snapshot sees them: what answers show, filter and count, in columns.

A catalogue of 20,000 items stands in each of several processes, one of a million in some: a value is a cell of an
array, and texts and sets that recur are stored once and referred to by code. There is no object per item.

Threads: `refresh`, `rebased` and expiry hold one lock; readers hold none. A cell changes at once, rows appear after
their cells are filled, and a vocabulary only grows, a text standing in it before its code stands in a cell. So a reader
sees an item as it was or as it is, and never a row without its columns.
"""

from app.serving.catalogue.attributes import MAX_ATTRIBUTES, MAX_TEXT, Attributes
from app.serving.catalogue.catalogue import Catalogue, VectorsOf
from app.serving.catalogue.cells import Mask
from app.serving.catalogue.columns import FlagColumn, NumberColumn, SetColumn, TextColumn, TimeColumn
from app.serving.catalogue.item_columns import FieldColumn

__all__ = [
    "MAX_ATTRIBUTES",
    "MAX_TEXT",
    "Attributes",
    "Catalogue",
    "FieldColumn",
    "FlagColumn",
    "Mask",
    "NumberColumn",
    "SetColumn",
    "TextColumn",
    "TimeColumn",
    "VectorsOf",
]
