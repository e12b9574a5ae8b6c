"""The items by row, as one snapshot numbers them, in columns: what answers show, filter and count.

Every process holds the whole catalogue, of up to millions of items. So there is no object per item: a value is a cell
of an array, and texts and sets that recur are stored once and referred to by code. Which columns are held is declared
by `is_filterable` in `app.entities.Item`.

Threads: `refresh`, `rebased` and expiry hold one lock; readers hold none. Three rules make that safe: a cell is written
in one step, a row becomes visible after its cells are filled, and a vocabulary only grows, the text being added before
its code is written. A reader sees an item in its old or its new state, never a row without its columns.
"""

from app.serving.catalogue.attributes import MAX_ATTRIBUTES, MAX_TEXT, Attributes
from app.serving.catalogue.catalogue import Catalogue, VectorsOf
from app.serving.catalogue.cells import Mask
from app.serving.catalogue.columns import FlagColumn, NumberColumn, SetColumn, TextColumn, TimeColumn
from app.serving.catalogue.item_columns import FieldColumn
from app.serving.catalogue.packed_texts import PackedTexts
from app.serving.catalogue.title_index import TextMatches
from app.serving.catalogue.title_words import title_words

__all__ = [
    "MAX_ATTRIBUTES",
    "MAX_TEXT",
    "Attributes",
    "Catalogue",
    "FieldColumn",
    "FlagColumn",
    "Mask",
    "NumberColumn",
    "PackedTexts",
    "SetColumn",
    "TextColumn",
    "TextMatches",
    "TimeColumn",
    "VectorsOf",
    "title_words",
]
