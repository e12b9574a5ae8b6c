"""What items are, as columns by which two of them are compared: their features, and the words of their titles.

    x_t = log(N / N_t),   divided by the length of the row's features or of its words

for each token t of an item, with N_t the items that have it and N all items with any token of the kind (the inverse
document frequency of K. Sparck Jones, 1972). A *feature* is a category, a value of a text or list attribute, or the
creator. The product of two rows is the cosine of their features or of their titles: items that share a rare tag are
more alike than items that share a frequent genre.

Decided: titles are content of their own. Sequels and editions share rare words of the title and often no feature at
all. Numbers are left out: that two prices are equal says little. `Encoding` (algorithms) serves learners, hashes rare
values and reads no titles, so that its columns do not suit comparisons.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.text_encoding import words_of
from app.entities import Item

MAX_TOKENS = 50_000
"""Features, and words, at most: those with the most weight in all items together."""

MIN_ITEMS = 2
"""A token of a single item says nothing about others."""

MAX_LENGTH = 200
"""Longer values are texts, which no two items share."""

NO_COLUMNS = sparse.csr_array((0, 0), dtype=np.float32)


@dataclass(frozen=True)
class Tokens:
    """A column for each of `names`, weighted by `weights`: log(N / N_t)."""

    names: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()

    @classmethod
    def fit(cls, tokens: Sequence[Sequence[str]]) -> "Tokens":
        counts = Counter(token for of_item in tokens for token in set(of_item))
        n_items = sum(len(of_item) > 0 for of_item in tokens)
        weights = {token: math.log(n_items / n) for token, n in counts.items() if MIN_ITEMS <= n < n_items}
        # Equal ones by name, so that the choice does not depend on the order of the items.
        chosen = sorted(weights, key=lambda token: (-counts[token] * weights[token] ** 2, token))[:MAX_TOKENS]
        return cls(tuple(chosen), tuple(weights[token] for token in chosen))

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {name: column for column, name in enumerate(self.names)}

    def encode(self, tokens: Sequence[Sequence[str]]) -> sparse.csr_array:
        """(n, t) CSR float32 of rows of length 1; an item without known tokens has no entries."""
        columns = [sorted({self._columns[token] for token in of_item if token in self._columns}) for of_item in tokens]
        sizes = np.array([len(row) for row in columns], np.int64)
        indices = np.array([column for row in columns for column in row], np.int64)
        weights = np.array(self.weights, np.float64)[indices]
        rows = np.repeat(np.arange(len(tokens)), sizes)
        lengths = np.sqrt(np.bincount(rows, weights**2, len(tokens)))
        starts = np.concatenate([[0], np.cumsum(sizes)])
        entries = (weights / lengths[rows]).astype(np.float32)
        return sparse.csr_array((entries, indices.astype(np.int32), starts), shape=(len(tokens), len(self.names)))


@dataclass(frozen=True)
class ContentEncoding:
    """The columns of all features, then those of all words of titles."""

    features: Tokens = Tokens()
    words: Tokens = Tokens()

    @classmethod
    def fit(cls, items: Sequence[Item]) -> "ContentEncoding":
        return cls(*(Tokens.fit([tokens_of(item) for item in items]) for tokens_of in _KINDS))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "ContentEncoding":
        """The inverse of `document`. Raises `ValueError`, `TypeError` or `KeyError` for anything else."""
        features, words = (_tokens(document[kind]) for kind in ("features", "words"))
        return cls(features, words)

    @property
    def document(self) -> dict[str, Any]:
        """The encoding as JSON values, as a snapshot stores it."""
        both = {"features": self.features, "words": self.words}
        return {kind: {"names": [*each.names], "weights": [*each.weights]} for kind, each in both.items()}

    @property
    def n_columns(self) -> int:
        return len(self.features.names) + len(self.words.names)

    def column_weights(self, of_features: float, of_titles: float) -> NDArray[np.float32]:
        """(n_columns,): by these, the product of two rows is the weighted sum of both cosines."""
        sizes = [len(self.features.names), len(self.words.names)]
        return np.repeat(np.array([of_features, of_titles], np.float32), sizes)

    def encode(self, items: Sequence[Item]) -> sparse.csr_array:
        """(n_items, n_columns) CSR float32."""
        parts = [
            each.encode([tokens_of(item) for item in items])
            for each, tokens_of in zip((self.features, self.words), _KINDS, strict=True)
        ]
        return sparse.csr_array(sparse.hstack(parts, format="csr", dtype=np.float32))


def _tokens(document: Mapping[str, Any]) -> Tokens:
    names, weights = tuple(map(str, document["names"])), tuple(map(float, document["weights"]))
    # A weight of 0 would make rows of length 0.
    if len(names) != len(weights) or not all(0 < weight < math.inf for weight in weights):
        raise ValueError("every token has an inverse frequency > 0")
    return Tokens(names, weights)


def _features_of(item: Item) -> list[str]:
    named = [("categories", text) for text in item.categories]
    for name, value in item.attributes.items():
        if isinstance(value, list):
            named += [(f"attributes.{name}", text) for text in value]
        elif isinstance(value, str):
            named.append((f"attributes.{name}", value))
    if item.created_by is not None:
        named.append(("created_by", item.created_by))
    return [f"{name}={normalize('NFKC', text).casefold()}" for name, text in named if len(text) <= MAX_LENGTH]


def _words_of(item: Item) -> list[str]:
    return words_of(item.title or "")


_KINDS: tuple[Callable[[Item], list[str]], ...] = (_features_of, _words_of)
