"""Encodes texts as tf-idf columns, in the same way for the fit and for later texts.

    x_w = (1 + log n_w) log(N / N_w),   divided by the length of the row

with n_w the occurrences of word w in the text, N_w the fitted texts with w, and N all fitted texts that are not empty
(G. Salton, C. Buckley, "Term-Weighting Approaches in Automatic Text Retrieval", 1988).

Decisions, and why:

- **The words with the most weight in all texts together** get a column each, up to `MAX_WORDS`. That leaves out words
  of nearly every text as well as rare ones, in any language and without a list of stop words, and bounds the width.
- **Rarer words are dropped.** Sharing hashed columns (as values do in `encoding.py`) gained nothing on film titles and
  tags, and would turn every word that was never seen into noise.
- **A row has length 1**, as the blocks of an `Encoding` do, so that one penalty suits both. A text without known words
  is a row without entries.
- Refused: a static embedding that a package ships (64 columns). On film titles and tags it places new items worse
  (nDCG@10 among cold items 0.226 instead of 0.252), and it would take 300 MB in every API process.

Complexity: O(characters), plus a sort of the distinct words in the fit.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

# Columns at most: beside the products of pairs of features, a ridge regression on these takes a second.
MAX_WORDS = 512

# A word that fewer texts have says nothing about other texts.
MIN_TEXTS = 2

# Words longer than this are addresses or keys.
MAX_WORD_LENGTH = 40

# Han and kana are written without spaces, so each of their characters counts as a word. Other words are runs of letters
# and digits.
_WORDS = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")


@dataclass(frozen=True)
class TextEncoding:
    """A column for each of `words`, weighted by `inverse_frequencies`: log(N / N_w)."""

    words: tuple[str, ...]
    inverse_frequencies: tuple[float, ...]

    @classmethod
    def fit(cls, texts: Sequence[str]) -> "TextEncoding | None":
        """The encoding of the words in `texts`; None where no word is in several of them but not in all."""
        counts, n_texts = Counter[str](), 0
        for text in texts:
            words = set(words_of(text))
            counts.update(words)
            n_texts += len(words) > 0
        weights = {word: math.log(n_texts / n) for word, n in counts.items() if MIN_TEXTS <= n < n_texts}
        # By the sum of squares of the column, N_w log(N / N_w)^2; equal ones by name, whatever the order of the texts.
        chosen = sorted(weights, key=lambda word: (-counts[word] * weights[word] ** 2, word))[:MAX_WORDS]
        return cls(tuple(chosen), tuple(weights[word] for word in chosen)) if chosen else None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "TextEncoding":
        """The inverse of `document`. Raises `ValueError`, `TypeError` or `KeyError` for anything else."""
        words, weights = tuple(map(str, document["words"])), tuple(map(float, document["inverse_frequencies"]))
        # A weight of 0 would make rows of length 0.
        if len(words) != len(weights) or not all(0 < weight < math.inf for weight in weights):
            raise ValueError("every word has an inverse frequency > 0")
        return cls(words, weights)

    @property
    def document(self) -> dict[str, Any]:
        """The encoding as JSON values, as a snapshot stores it."""
        return {"words": [*self.words], "inverse_frequencies": [*self.inverse_frequencies]}

    @property
    def n_columns(self) -> int:
        return len(self.words)

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {word: column for column, word in enumerate(self.words)}

    def encode(self, texts: Sequence[str]) -> sparse.csr_array:
        """(n_texts, n_columns) float32 CSR of rows of length 1; a text without known words has no entries."""
        starts, columns, counts = [0], list[int](), list[int]()
        for text in texts:
            found = Counter(self._columns[word] for word in words_of(text) if word in self._columns)
            # CSR wants ascending indices.
            for column, count in sorted(found.items()):
                columns.append(column)
                counts.append(count)
            starts.append(len(columns))
        # x_w = (1 + log n_w) log(N / N_w)
        weights = np.array(self.inverse_frequencies)[columns] * (1 + np.log(np.array(counts, np.float64)))
        rows = np.repeat(np.arange(len(texts)), np.diff(starts))
        lengths = np.sqrt(np.bincount(rows, weights**2, len(texts)))
        entries = (weights / lengths[rows]).astype(np.float32)
        return sparse.csr_array(
            (entries, np.array(columns, np.int32), np.array(starts, np.int64)), shape=(len(texts), self.n_columns)
        )


def words_of(text: str) -> list[str]:
    """The words in order, without differences of case or of Unicode form."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return [word for word in _WORDS.findall(folded) if len(word) <= MAX_WORD_LENGTH]
