"""Finds items by the words of their titles, whatever case and accents, and with a typo.

Decided: an index in the memory of each process, made when it is first searched, so that both databases give the same
hits in the same order without an extension. Words and not trigrams of whole titles: a typo in a word leaves the other
words as they are, and the words with one typo are found exactly. A typo that splits a word or joins two is found by
joining and splitting the words of the query.

    text score = m / q (s + (1 - s) min(1, m / t))        s = LEAST_SHARE

with m the sum over the query's words of weight x match, q the sum of the weights of the query's words, and t that of
the title's words. The match is 1 for the word itself, less for one that begins with it or has a typo. The weight of a
word is the logarithm of its rarity, in steps of a half: coarse, so that processes whose indexes were made at different
times order hits alike.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from app.serving.catalogue.cells import Mask
from app.serving.catalogue.title_words import title_words
from app.serving.catalogue.word_table import LONGEST, WordTable
from app.serving.rows import Rows

LEAST_SHARE = 0.7
"""Of the text score, for a long title of which the query is a small part."""

OF_JOINED, OF_TYPO, OF_PREFIX = 0.9, 0.7, 0.9
LEAST_DOUBTED = 3
"""A known word of fewer letters stands for itself: nearly all others of that length are one typo away."""

LEAST_OF_BEST = 0.6
"""What matches less than this share of the best match is no hit."""

CHANGED_APART = 1_000
"""Changed titles are indexed apart up to this many, or 2 % of all; beyond that the whole index is made again."""


Variant = tuple[NDArray[np.int32], float]
"""Titles, by their places, and how well they match, 0 to 1."""


class TitledItems(Protocol):
    """What is indexed: titles and keys by row."""

    titles: list[str | None]

    @property
    def keys(self) -> Rows: ...

    def rows_of_keys(self, keys: Rows) -> Rows: ...


class TextMatches(NamedTuple):
    """(n,) rows ascending whose titles match, and (n,) float32 how well, 0 to 1."""

    rows: Rows
    text_scores: NDArray[np.float32]


class Matched(NamedTuple):
    """(n,) rows with a word of the query, (n,) float32 m, and (n,) float32 t of the formula."""

    rows: Rows
    matched: NDArray[np.float32]
    masses: NDArray[np.float32]


class IndexedTitles(NamedTuple):
    """A table of words, and (n,) rows of its texts, -1 for those whose title changed since."""

    table: WordTable
    rows: Rows


class TitleIndex:
    """The titles of one catalogue. Threads: any may search while another refreshes the catalogue."""

    def __init__(self, main: WordTable | None = None, changed: frozenset[int] = frozenset()) -> None:
        self._main = main
        self._changed = set(changed)  # keys of titles that are not in `main` as they are now
        self._changing = threading.Lock()
        self._making = threading.Lock()
        self._parts: tuple[IndexedTitles, ...] = ()
        self._n_changed = -1  # when the parts were made
        self.is_used = main is not None  # from the first search on, even while the index is being made

    def of_next_catalogue(self) -> "TitleIndex":
        """The index for a catalogue with the same items in other rows."""
        with self._making, self._changing:
            return TitleIndex(self._main, frozenset(self._changed))

    def change(self, keys: Sequence[int]) -> None:
        """Titles of these keys have changed; to be called after the change."""
        with self._changing:
            self._changed.update(keys)
            self._n_changed = -1

    @property
    def needs_all(self) -> bool:
        """Whether the next search indexes all titles first: it is the first one, or too many titles have changed."""
        with self._changing:
            return self._main is None or len(self._changed) > _most_apart(len(self._main.keys))

    def prepare(self, items: TitledItems) -> None:
        """Index the titles, so that the next search need not."""
        self._current_parts(items)

    def matches(self, words: Sequence[str], items: TitledItems, shown: Mask) -> TextMatches:
        """The rows of the mask `shown` whose titles match at least `LEAST_OF_BEST` as well as the best of them.

        `words`: of a query, see `title_words`.
        """
        parts = self._current_parts(items)
        weights = [_weight_in_query(words, place, parts[0].table) for place in range(len(words))]
        found = [_matched(words, weights, part, shown) for part in parts]
        rows, matched, masses = (np.concatenate(columns) for columns in zip(*found, strict=True))
        is_hit = matched >= LEAST_OF_BEST * matched.max(initial=0)
        rows, matched, masses = rows[is_hit], matched[is_hit], masses[is_hit]
        # m / q (s + (1 - s) min(1, m / t))
        scores = (
            matched
            / np.float32(sum(weights) or 1)
            * (LEAST_SHARE + (1 - LEAST_SHARE) * np.minimum(1, matched / masses))
        )
        order = np.argsort(rows, kind="stable")
        return TextMatches(rows[order], scores[order].astype(np.float32))

    def _current_parts(self, items: TitledItems) -> tuple[IndexedTitles, ...]:
        with self._making:
            self.is_used = True
            if self._n_changed < 0 or self._main is None:
                self._parts = self._made(items)
            return self._parts

    def _made(self, items: TitledItems) -> tuple[IndexedTitles, ...]:
        with self._changing:
            if self._main is None or len(self._changed) > _most_apart(len(self._main.keys)):
                self._main = None
                self._changed.clear()
            # Before titles are read: one that changes from here on is marked as changed after it.
            changed = np.array(sorted(self._changed), np.int64)
            self._n_changed = len(changed)
        if self._main is None:
            self._main = _table(items.keys.copy(), items, None)
        rows = items.rows_of_keys(self._main.keys)
        if not len(changed):
            return (IndexedTitles(self._main, rows),)
        rows[np.isin(self._main.keys, changed)] = -1
        apart = _table(changed, items, self._main)
        return IndexedTitles(self._main, rows), IndexedTitles(apart, items.rows_of_keys(apart.keys))


def _most_apart(n_texts: int) -> int:
    return max(CHANGED_APART, n_texts // 50)


def _table(keys: Rows, items: TitledItems, main: WordTable | None) -> WordTable:
    """The words of the titles of these keys; weighted as in `main`, where there is one."""
    rows = items.rows_of_keys(keys)
    titles = (None if row < 0 else items.titles[row] for row in rows.tolist())

    def weights(words: list[str], frequencies: NDArray[np.int64], n_texts: int) -> NDArray[np.float32]:
        if main is None:
            return _rarity(frequencies, n_texts)
        return np.array([_weight(word, main) for word in words], np.float32)

    return WordTable.of(keys, [() if title is None else title_words(title) for title in titles], weights)


def _rarity(frequencies: NDArray[np.int64], n_texts: int) -> NDArray[np.float32]:
    """log2(1 + n / frequency), rounded to halves."""
    rarity = np.log2(1 + n_texts / np.maximum(frequencies, 1))
    halves: NDArray[np.float32] = (np.rint(2 * rarity) / 2).astype(np.float32)
    return halves


def _weight(word: str, main: WordTable) -> float:
    number = main.find(word)
    return float(main.weights[number] if number >= 0 else _rarity(np.ones(1, np.int64), len(main.keys))[0])


def _weight_in_query(words: Sequence[str], place: int, main: WordTable) -> float:
    """The weight of a word of a query; of an unknown one, that of the most frequent word that it may stand for."""
    word = words[place]
    number = main.find(word)
    if number >= 0:
        return float(main.weights[number])
    likely = [float(main.weights[each]) for each in main.one_typo_from(word)]
    begun = main.beginning_with(word) if place == len(words) - 1 else range(0)
    if begun:
        n_texts = main.starts[begun.stop] - main.starts[begun.start]
        likely.append(float(_rarity(np.array([n_texts]), len(main.keys))[0]))
    return min(likely, default=float(_rarity(np.ones(1, np.int64), len(main.keys))[0]))


def _matched(words: Sequence[str], weights: Sequence[float], part: IndexedTitles, shown: Mask) -> Matched:
    table = part.table
    matched = np.zeros(len(table.keys), np.float32)
    for place, weight in enumerate(weights):
        # The best match of each title with this word of the query.
        best = np.zeros(len(matched), np.float32)
        for texts, match in _variants(words, place, table):
            best[texts] = np.maximum(best[texts], match)
        if place == len(words) - 1:
            begun, matches = _begun(words[place], table)
            np.maximum.at(best, begun, matches)  # a title may have several of these words
        matched += np.float32(weight) * best
    found = np.flatnonzero((matched > 0) & (part.rows >= 0) & (part.rows < len(shown)))
    found = found[shown[part.rows[found]]]
    return Matched(part.rows[found], matched[found], table.masses[found])


def _variants(words: Sequence[str], place: int, table: WordTable) -> Iterator[Variant]:
    """Titles with the word, or with what it may stand for; no title comes twice in one variant."""
    word = words[place]
    number = table.find(word)
    if number >= 0:
        yield table.texts_with(number), 1.0
    if number < 0 or len(word) >= LEAST_DOUBTED:
        yield from _with_typo(word, table)
    # A word that a blank split in two, perhaps in place of a letter.
    for first in range(max(place - 1, 0), min(place + 1, len(words) - 1)):
        left, right = words[first], words[first + 1]
        if (whole := table.find(left + right)) >= 0:
            yield table.texts_with(whole), OF_JOINED
        # Other typos of the joined word may drop a short part: `star` and `w` would both stand for `star`.
        for similar in table.one_typo_from(left + right):
            whole_word = table.words[similar]
            is_filled = len(whole_word) > len(left + right) and whole_word.startswith(left)
            if is_filled and whole_word.endswith(right):
                yield table.texts_with(similar), OF_TYPO
    if number < 0 and len(word) <= LONGEST:
        yield from _split(word, table)


def _with_typo(word: str, table: WordTable) -> Iterator[Variant]:
    for similar in table.one_typo_from(word):
        yield table.texts_with(similar), OF_TYPO


def _split(word: str, table: WordTable) -> Iterator[Variant]:
    """Titles with two words of which `word` consists, without the blank between them or with a letter in its place."""
    for end in range(1, len(word)):
        for start in (end, end + 1):
            left, right = table.find(word[:end]), table.find(word[start:])
            if left >= 0 and right >= 0:
                both = np.intersect1d(table.texts_with(left), table.texts_with(right), assume_unique=True)
                yield both, OF_JOINED if start == end else OF_TYPO


def _begun(word: str, table: WordTable) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Titles with words that begin with `word`, and how well these match: the better, the less is missing."""
    numbers = table.beginning_with(word)
    lengths = np.fromiter((len(table.words[number]) for number in numbers), np.int64, len(numbers))
    matches = (OF_PREFIX * (0.5 + 0.5 * len(word) / np.maximum(lengths, 1))).astype(np.float32)
    counts = np.diff(table.starts[numbers.start : numbers.stop + 1])
    return table.texts[table.starts[numbers.start] : table.starts[numbers.stop]], np.repeat(matches, counts)
