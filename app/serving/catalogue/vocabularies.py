"""Texts and sets of texts that recur, each stored once and referred to by a code. Code 0 means no value."""

import re
import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.serving.catalogue.packed_texts import PackedTexts

Codes = NDArray[np.int32]
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


class Vocabulary:
    """Texts by code. It only grows; when most of its texts are unused, a new one takes its place."""

    def __init__(self) -> None:
        self.texts: list[str] = [""]
        self._codes: dict[str | None, int] = {None: 0}
        # By text without differences of case; filled when it is first asked for, since most vocabularies never are.
        self._by_casefold: dict[str, list[int]] = {}
        self._n_casefolded = 1
        self._casefolding = threading.Lock()
        self._packed: dict[bool, PackedTexts] = {}
        self._numbers: NDArray[np.float64] = np.empty(0)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def n_texts(self) -> int:
        """How many texts it keeps in memory."""
        return len(self.texts)

    def find(self, text: str) -> int:
        """The code of the text, 0 for an unknown one."""
        return self._codes.get(text, 0)

    def alike(self, text: str) -> list[int]:
        """The codes of all texts that equal this one whatever the case."""
        if self._n_casefolded < len(self.texts):
            with self._casefolding:
                for code in range(self._n_casefolded, len(self.texts)):
                    self._by_casefold.setdefault(self.texts[code].casefold(), []).append(code)
                    self._n_casefolded = code + 1
        return self._by_casefold.get(text.casefold(), [])

    def packed(self, n_codes: int, *, is_casefolded: bool) -> PackedTexts:
        """The texts of at least the first `n_codes` codes, for tests of all of them; kept until there are more."""
        packed = self._packed.get(is_casefolded)
        if packed is None or len(packed) < n_codes:
            texts = self.texts[1:]
            folded = [text.casefold() for text in texts] if is_casefolded else texts
            packed = self._packed[is_casefolded] = PackedTexts([None, *folded])
        return packed

    def numbers(self, n_codes: int) -> NDArray[np.float64]:
        """At least (n_codes,) the texts that are written as numbers, NaN for the others; kept as `packed`."""
        numbers = self._numbers
        if len(numbers) < n_codes:
            texts = self.texts[:]
            numbers = np.array([float(text) if _NUMBER.fullmatch(text) else np.nan for text in texts], np.float64)
            self._numbers = numbers
        return numbers

    def codes(self, texts: Iterable[str | None]) -> Codes:
        """(n,) codes; new texts are added."""
        known = self._codes
        return np.array([known[text] if text in known else self._add(text) for text in texts], np.int32)

    def _add(self, text: str | None) -> int:
        code = len(self.texts)
        self.texts.append(text or "")
        self._codes[text] = code  # last, so that a reader never finds a code without its text
        return code

    def kept(self, codes: Codes) -> "Vocabulary":
        """A vocabulary of only the texts of these codes, in their order."""
        kept = Vocabulary()
        kept.codes([self.texts[code] for code in codes.tolist()])
        return kept


class Members(NamedTuple):
    """The elements of all sets, flat: set s has the element codes `codes[starts[s] : starts[s + 1]]`.

    `starts`: (n_sets + 1,). `sets`: for each of `codes`, the set it belongs to.
    """

    starts: NDArray[np.int64]
    codes: Codes
    sets: Codes

    def of(self, sets: Codes) -> Codes:
        """All elements of (n,) sets, one set after the other."""
        first = self.starts[sets]
        counts = self.starts[sets + 1] - first
        # The k-th element of a set lies at its start + k. `ends - counts` is how many elements come before the set, so
        # that  place = (start - (ends - counts)) + number of the element among all.
        ends = counts.cumsum()
        places = (first - ends + counts).repeat(counts)
        places += np.arange(len(places))
        codes: Codes = self.codes[places]
        return codes


class SetVocabulary:
    """Sets by code, each a tuple of element codes in the order first given; grows like `Vocabulary`."""

    def __init__(self) -> None:
        self.elements = Vocabulary()
        self.sets: list[tuple[int, ...]] = [()]
        self._codes: dict[tuple[str, ...] | None, int] = {None: 0}
        self._flat = Members(np.zeros(2, np.int64), np.empty(0, np.int32), np.empty(0, np.int32))

    def __len__(self) -> int:
        return len(self.sets)

    @property
    def n_texts(self) -> int:
        """How many sets and texts it keeps in memory."""
        return len(self.sets) + len(self.elements)

    def codes(self, sets: Iterable[tuple[str, ...] | None]) -> Codes:
        """(n,) codes; new sets are added."""
        known = self._codes
        return np.array([known[texts] if texts in known else self._add(texts or ()) for texts in sets], np.int32)

    def _add(self, texts: tuple[str, ...]) -> int:
        members = self.elements.codes(dict.fromkeys(texts)).tolist()
        code = len(self.sets) if members else 0
        if members:
            self.sets.append(tuple(members))
        known = self.elements.texts
        own = {known[member]: known[member] for member in members}  # so that all sets share one object per text
        self._codes[tuple(own[text] for text in texts)] = code
        return code

    def members(self) -> Members:
        """The elements of all present sets."""
        flat = self._flat
        n_known = len(flat.starts) - 1
        if n_known < len(self.sets):
            added = self.sets[n_known:]
            counts = np.array([len(elements) for elements in added])
            starts = np.append(flat.starts, flat.starts[-1] + np.cumsum(counts))
            codes = np.array([code for elements in added for code in elements], np.int32)
            sets = np.repeat(np.arange(n_known, n_known + len(added), dtype=np.int32), counts)
            flat = self._flat = Members(starts, np.append(flat.codes, codes), np.append(flat.sets, sets))
        return flat

    def having(self, elements: Sequence[int], n_sets: int) -> NDArray[np.bool_]:
        """(n_sets,) mask of the first sets that hold any of the elements, given by code."""
        flat = self.members()
        is_wanted = np.zeros(len(self.elements), np.bool_)
        is_wanted[list(elements)] = True
        is_held = np.zeros(len(flat.starts) - 1, np.bool_)
        is_held[flat.sets[is_wanted.take(flat.codes)]] = True
        return is_held[:n_sets]

    def kept(self, codes: Codes) -> "SetVocabulary":
        """A vocabulary of only the sets of these codes, in their order."""
        kept = SetVocabulary()
        texts = self.elements.texts
        kept.codes([tuple(texts[element] for element in self.sets[code]) for code in codes.tolist()])
        return kept
