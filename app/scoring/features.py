"""Items and users as tables of plain columns, and these as the features that learners read."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.encoding import Encoding, FeatureTable, Kind
from app.algorithms.feature_map import crossed_width
from app.algorithms.rating_matrix import Features
from app.algorithms.text_encoding import TextEncoding
from app.entities import ITEM_FIELDS, AttributeValue, Item, User
from app.scoring.content import ContentEncoding

MAX_ATTRIBUTES = 256
"""Attributes that become features, at most: those that most rows have."""

ATTRIBUTE = "attributes."
"""Prefix of an attribute that is named like a field."""

_FIELDS = frozenset({"categories", "year", "country"})
_TEXT_FIELDS = [name for name, declared in ITEM_FIELDS.items() if declared.kind == "text"]
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)

Attributes = Sequence[Mapping[str, AttributeValue]]


@dataclass(frozen=True)
class Encodings:
    """How items and users become features. A snapshot keeps them, so that later items and users are read alike.

    `item_text`: None where the texts of items are not read. `content`: by what items are compared.
    """

    items: Encoding = field(default_factory=Encoding)
    users: Encoding = field(default_factory=Encoding)
    item_text: TextEncoding | None = None
    content: ContentEncoding = field(default_factory=ContentEncoding)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Encodings":
        """The encodings whose `document` this is; `ValueError`, `TypeError` or `KeyError` is raised for any other."""
        text = document.get("item_text")  # snapshots made before texts were read have none
        return cls(
            Encoding.from_document(document["items"]),
            Encoding.from_document(document["users"]),
            None if text is None else TextEncoding.from_document(text),
            ContentEncoding.from_document(document["content"]),
        )

    @property
    def document(self) -> dict[str, Any]:
        """All of both, as a JSON value."""
        text = None if self.item_text is None else self.item_text.document
        return {
            "items": self.items.document,
            "users": self.users.document,
            "item_text": text,
            "content": self.content.document,
        }

    @property
    def mapped_widths(self) -> tuple[int, int]:
        """The rows of the maps from features of items and of users to vectors."""
        n_words = 0 if self.item_text is None else self.item_text.n_columns
        return crossed_width(len(self.items.names)) + n_words, crossed_width(len(self.users.names))

    def text_of(self, items: Sequence[Item]) -> sparse.csr_array | None:
        """(n, t) columns of the items' texts; None where texts are not read."""
        return None if self.item_text is None else self.item_text.encode([text_of(item) for item in items])


def describe(items: Sequence[Item], users: Sequence[User], *, with_text: bool = False) -> tuple[Features, Encodings]:
    """The features of all items and users, a row each in their order, and the encodings for later ones.

    `with_text`: whether the texts of items become columns, too.
    """
    items_read, users_read = item_table(items), user_table(users)
    text = TextEncoding.fit([text_of(item) for item in items]) if with_text else None
    encodings = Encodings(Encoding.fit(items_read), Encoding.fit(users_read), text, ContentEncoding.fit(items))
    features = Features(
        encodings.items.encode(items_read), encodings.users.encode(users_read), encodings.text_of(items)
    )
    return features, encodings


def text_of(item: Item) -> str:
    """Title, description and all other fields and attributes that hold text or lists of texts, but no addresses.

    Categories are features already.
    """
    fields = (getattr(item, name) for name in _TEXT_FIELDS)
    attributes = (value for value in item.attributes.values() if isinstance(value, (str, list)))
    texts = (text for value in (*fields, *attributes) for text in as_texts(value))
    return "\n".join(text for text in texts if not _ADDRESS.match(text))


def item_table(items: Sequence[Item], kinds: Mapping[str, Kind] | None = None) -> FeatureTable:
    """Categories, year and attributes. `kinds`: those of the encoding that will read the table (`Encoding.kinds`)."""
    sets, numbers, texts = _attribute_columns([item.attributes for item in items], kinds)
    # A missing year is NaN: no entry in the features, and not the year 0.
    years = [np.nan if item.year is None else float(item.year) for item in items]
    return FeatureTable(
        n_rows=len(items),
        sets=sets | {"categories": [item.categories for item in items]},
        numbers=numbers | {"year": np.array(years, np.float64)},
        texts=texts,
    )


def user_table(users: Sequence[User], kinds: Mapping[str, Kind] | None = None) -> FeatureTable:
    """Country and attributes (age, gender and whatever else was sent). `kinds`: as for `item_table`."""
    sets, numbers, texts = _attribute_columns([user.attributes for user in users], kinds)
    return FeatureTable(len(users), sets, numbers, texts | {"country": [user.country for user in users]})


def _attribute_columns(
    rows: Attributes, kinds: Mapping[str, Kind] | None
) -> tuple[dict[str, list[list[str]]], dict[str, NDArray[np.float64]], dict[str, list[str | None]]]:
    """Sets, numbers and texts by name. An attribute that has different kinds in different rows is read as text."""
    sets: dict[str, list[list[str]]] = {}
    numbers: dict[str, NDArray[np.float64]] = {}
    texts: dict[str, list[str | None]] = {}
    for attribute in _names(rows):
        # An attribute that is named like a field becomes a feature of its own and does not replace that field.
        name = ATTRIBUTE + attribute if attribute in _FIELDS else attribute
        values = [row.get(attribute) for row in rows]
        # Later rows are read with the kinds of the training data, since the encoding has columns of that kind.
        kind = _common_kind(values) if kinds is None else kinds.get(name)
        if kind == "set":
            sets[name] = [as_texts(value) for value in values]
        elif kind == "number":
            numbers[name] = np.array([_as_number(value) for value in values], np.float64)
        elif kind == "text":
            texts[name] = [_as_text(value) for value in values]
    return sets, numbers, texts


def _names(rows: Attributes) -> Iterator[str]:
    counts = Counter(name for row in rows for name in row)
    # Sorted by name as well, so that the choice does not depend on the order of the rows.
    return iter(sorted(counts, key=lambda name: (-counts[name], name))[:MAX_ATTRIBUTES])


def _common_kind(values: Sequence[AttributeValue | None]) -> Kind:
    kinds = {_kind(value) for value in values if value is not None}
    return kinds.pop() if len(kinds) == 1 else "text"


def _kind(value: AttributeValue) -> Kind:
    if isinstance(value, list):
        return "set"
    return "text" if isinstance(value, str) else "number"


def as_texts(value: AttributeValue | None) -> list[str]:
    """The members of a list, the text of any other value, and nothing for None."""
    if isinstance(value, list):
        return value
    text = _as_text(value)
    return [] if text is None else [text]


def _as_number(value: AttributeValue | None) -> float:
    return float(value) if isinstance(value, (bool, int, float)) else np.nan


def _as_text(value: AttributeValue | None) -> str | None:
    """Numbers in their shortest form, 3 and 3.0 alike; flags as true and false; lists joined."""
    if value is None or isinstance(value, str):
        return value
    # A bool is an int to Python, so it is tested first.
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "|".join(value)
    return repr(float(value)).removesuffix(".0")
