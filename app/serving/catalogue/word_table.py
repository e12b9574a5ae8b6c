"""An inverted index of the words of texts, which also finds words with one typo and words that begin alike."""

import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from app.serving.rows import Rows

SHORT = 2
LONGEST = 40
"""Longer words are found as they are written alone."""


@dataclass(frozen=True, slots=True)
class WordTable:
    """The words of n texts; immutable.

    `keys`: (n,) int64, what the caller calls the texts. `words`: the m distinct words, sorted. `starts`: (m + 1,)
    int64; word w is in the texts `texts[starts[w] : starts[w + 1]]`, int32 places among `keys`. `weights`: (m,) float32
    by word. `masses`: (n,) float32, the sums of the weights of the words of each text.

    `hashes`: (h,) uint32 ascending, of every word and of every word without one of its characters; `hashed`: (h,)
    int32, the words. Two words with one typo between them (a character inserted, deleted, replaced, or swapped with the
    next) have such a form in common: the index of symmetric deletions (W. Garbe, SymSpell, 2012).
    """

    keys: Rows
    words: list[str]
    starts: NDArray[np.int64]
    texts: NDArray[np.int32]
    weights: NDArray[np.float32]
    masses: NDArray[np.float32]
    hashes: NDArray[np.uint32]
    hashed: NDArray[np.int32]

    @classmethod
    def of(
        cls,
        keys: Rows,
        words_of_texts: Sequence[Sequence[str]],
        weights_of: Callable[[list[str], NDArray[np.int64], int], NDArray[np.float32]],
    ) -> Self:
        """`weights_of` takes the sorted words, the number of texts that each is in, and the number of texts."""
        numbers: dict[str, int] = {}
        counts = np.zeros(len(words_of_texts), np.int64)
        flat: list[int] = []
        for place, words in enumerate(words_of_texts):
            distinct = dict.fromkeys(words)
            counts[place] = len(distinct)
            flat.extend(numbers.setdefault(word, len(numbers)) for word in distinct)
        ordered = sorted(numbers)
        rank = np.empty(len(ordered), np.int64)
        rank[[numbers[word] for word in ordered]] = np.arange(len(ordered))
        word_of = rank[np.array(flat, np.int64)]
        texts = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        frequencies = np.bincount(word_of, minlength=len(ordered))
        weights = weights_of(ordered, frequencies, len(keys))
        masses = np.bincount(texts, weights[word_of], minlength=len(keys)).astype(np.float32)
        hashes, hashed = _hashed(ordered)
        starts = np.concatenate(([0], np.cumsum(frequencies)))
        by_word = np.argsort(word_of, kind="stable")
        return cls(np.asarray(keys), ordered, starts, texts[by_word], weights, masses, hashes, hashed)

    def find(self, word: str) -> int:
        """The number of the word, -1 for an unknown one."""
        place = bisect_left(self.words, word)
        return place if place < len(self.words) and self.words[place] == word else -1

    def beginning_with(self, prefix: str) -> range:
        """The numbers of the words that begin with `prefix`, itself included."""
        # No character sorts behind the last of Unicode.
        return range(bisect_left(self.words, prefix), bisect_left(self.words, prefix + "\U0010ffff"))

    def one_typo_from(self, word: str) -> list[int]:
        """The numbers of the words that have exactly one typo, if `word` is right or the other way round."""
        if len(word) > LONGEST or not _may_have_typo(word):
            return []
        asked = np.fromiter(_forms(word), np.uint32)
        first, behind = self.hashes.searchsorted(asked), self.hashes.searchsorted(asked, "right")
        candidates = {
            number for low, high in zip(first, behind, strict=True) for number in self.hashed[low:high].tolist()
        }
        return sorted(
            number
            for number in candidates
            if _may_have_typo(self.words[number]) and is_one_typo(word, self.words[number])
        )

    def texts_with(self, number: int) -> NDArray[np.int32]:
        """The places of the texts that have the word, ascending."""
        return self.texts[self.starts[number] : self.starts[number + 1]]

    @property
    def n_bytes(self) -> int:
        """Memory of the arrays and the words."""
        arrays = (self.keys, self.starts, self.texts, self.weights, self.masses, self.hashes, self.hashed)
        return sum(array.nbytes for array in arrays) + sum(8 + word.__sizeof__() for word in self.words)


def _may_have_typo(word: str) -> bool:
    # All words of one character are one typo apart, and so are two pairs of characters that share one.
    return len(word) > SHORT or (len(word) == SHORT and word.isascii())


def _hashed(words: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    hashes: list[int] = []
    n_forms = np.zeros(len(words), np.int64)
    for number, word in enumerate(words):
        before = len(hashes)
        if len(word) <= LONGEST:
            hashes.extend(_forms(word))
        n_forms[number] = len(hashes) - before
    hashed = np.repeat(np.arange(len(words), dtype=np.int32), n_forms)
    as_array = np.array(hashes, np.uint32)
    order = np.argsort(as_array, kind="stable")
    return as_array[order], hashed[order]


def _forms(word: str) -> Iterator[int]:
    """Hashes of the word and of the word without each of its characters; two that differ may be equal."""
    yield zlib.crc32(word.encode())
    for place in range(len(word)):
        yield zlib.crc32((word[:place] + word[place + 1 :]).encode())


def is_one_typo(left: str, right: str) -> bool:
    """Whether one insertion, deletion, replacement or swap of neighbours leads from one word to the other."""
    if left == right or abs(len(left) - len(right)) > 1:
        return False
    shorter, longer = sorted((left, right), key=len)
    n_same = 0
    while n_same < len(shorter) and shorter[n_same] == longer[n_same]:
        n_same += 1
    rest, other = shorter[n_same:], longer[n_same:]
    if len(rest) < len(other):
        return rest == other[1:]
    is_swap = rest[:2] == other[1::-1] and rest[2:] == other[2:]
    return is_swap or rest[1:] == other[1:]
