"""Numbers texts in order of first appearance, compiled: a hash table with linear probing, in plain arrays.

Python's own table takes 150 bytes for each text and 100 ns for each look; this one takes 40 bytes beside the text.
"""

import numpy as np
from numpy.typing import NDArray

from app.algorithms.compiled import compiled

Bytes = NDArray[np.uint8]
Positions = NDArray[np.int64]
Hashes = NDArray[np.uint64]

EMPTY = -1


@compiled
def hash_texts(starts: Positions, content: Bytes, seed: np.uint64, hashes: Hashes) -> None:
    """Write a hash of each of n texts, `content[starts[n] : starts[n + 1]]`, FNV-1a with a final mix."""
    for text in range(hashes.shape[0]):
        value = np.uint64(0xCBF29CE484222325) ^ seed
        for at in range(starts[text], starts[text + 1]):
            value = (value ^ np.uint64(content[at])) * np.uint64(0x100000001B3)
        value ^= value >> np.uint64(33)
        value *= np.uint64(0xFF51AFD7ED558CCD)
        hashes[text] = value ^ (value >> np.uint64(33))


@compiled
def number_texts(
    starts: Positions,
    content: Bytes,
    hashes: Hashes,
    slots: Positions,
    known_starts: Positions,
    known_content: Bytes,
    known_hashes: Hashes,
    n_known: int,
    numbers: NDArray[np.int32],
) -> int:
    """Write the number of each of n texts to `numbers`; new ones are appended. Returns the new number of known texts.

    `slots`: a power of two of numbers of known texts, or `EMPTY`. The other arrays have room for all that is new.
    """
    mask = np.uint64(slots.shape[0] - 1)
    for text in range(numbers.shape[0]):
        first, past = starts[text], starts[text + 1]
        slot = hashes[text] & mask
        while True:
            known = slots[slot]
            if known == EMPTY:
                slots[slot] = n_known
                known_hashes[n_known] = hashes[text]
                place = known_starts[n_known]
                for at in range(first, past):
                    known_content[place + at - first] = content[at]
                known_starts[n_known + 1] = place + past - first
                numbers[text] = n_known
                n_known += 1
                break
            if known_hashes[known] == hashes[text] and known_starts[known + 1] - known_starts[known] == past - first:
                place, is_same = known_starts[known], True
                for at in range(first, past):
                    if known_content[place + at - first] != content[at]:
                        is_same = False
                        break
                if is_same:
                    numbers[text] = known
                    break
            slot = (slot + np.uint64(1)) & mask
    return n_known


@compiled
def fill_slots(slots: Positions, known_hashes: Hashes, n_known: int) -> None:
    """Put all known texts into empty `slots`."""
    mask = np.uint64(slots.shape[0] - 1)
    for known in range(n_known):
        slot = known_hashes[known] & mask
        while slots[slot] != EMPTY:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = known
