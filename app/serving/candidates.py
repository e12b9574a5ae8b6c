"""Rows on their way through the pipeline: eligible, then proposed, then ranked; and the trace of what moved them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from app.serving.catalogue import Mask
from app.serving.query import Moved
from app.serving.rows import NO_ROWS, Rows

FIRST_PART = 5
"""Times n rows are tested first for n eligible ones: users seldom have consumed four in five popular items."""

PROPOSER_BITS = 32
"""Width of `proposed_by` in a sort key; the row number has the other 31 bits."""


class Eligible:
    """The rows that may be shown in one answer. `mask`: (n catalogue rows,) bool.

    The catalogue may grow while the request runs: rows beyond the mask are not eligible in this answer.
    """

    def __init__(self, n_rows: int) -> None:
        # One more cell, never eligible: `take` and `put` clip to it every row that lies beyond the mask.
        self._cells: Mask = np.ones(n_rows + 1, dtype=np.bool_)
        self._cells[n_rows] = False
        self.mask: Mask = self._cells[:n_rows]

    def copy(self) -> Self:
        """The same rows; what is dropped from one stays in the other."""
        copied = type(self)(len(self.mask))
        copied.keep(self.mask)
        return copied

    def drop(self, rows: Rows) -> None:
        """Make `rows` (n,) not eligible."""
        self._cells.put(rows, False, mode="clip")

    def keep(self, mask: Mask) -> None:
        """Drop every row outside `mask`, which has at least as many rows as this one."""
        self.mask &= mask[: len(self.mask)]

    def keep_only(self, rows: Rows) -> None:
        """Drop every row that is not among `rows`."""
        kept = self.among(rows)
        self.mask[:] = False
        self.mask[kept] = True

    def among(self, rows: NDArray[np.integer]) -> Rows:
        """The eligible ones of `rows`, in their order."""
        eligible: Rows = rows[self._cells.take(rows, mode="clip")].astype(np.int64, copy=False)
        return eligible

    def first(self, n: int, rows: NDArray[np.integer]) -> Rows:
        """The first `n` eligible ones of `rows`, in their order; fewer where fewer are eligible."""
        # Testing the beginning is enough nearly always, and `rows` may be the whole catalogue.
        eligible = self.among(rows[: FIRST_PART * n])
        return (eligible if len(eligible) >= n else self.among(rows))[:n]

    def has(self, rows: Rows) -> Mask:
        """(n,) bool: which of `rows` are eligible; -1, the row of no item, is not."""
        return (rows >= 0) & self._cells.take(rows, mode="clip")


class Candidates(NamedTuple):
    """Rows (n,) ascending that sources propose; `proposed_by` (n,) int64 holds the bits of those that proposed each."""

    rows: Rows
    proposed_by: NDArray[np.int64]

    @classmethod
    def from_proposals(cls, bits: Sequence[int], proposals: Sequence[Rows]) -> "Candidates":
        """The union of what sources propose, without duplicates. `bits`: one bit for each of the proposals."""
        if not proposals:  # the placement names only sources that this snapshot has not
            return cls(NO_ROWS, NO_ROWS)
        # Row and bit in one number: sorting numbers is several times faster than an indirect sort of rows.
        marked = np.concatenate(proposals) << PROPOSER_BITS | np.repeat(bits, list(map(len, proposals)))
        marked.sort()
        rows, proposed_by = marked >> PROPOSER_BITS, marked & ((1 << PROPOSER_BITS) - 1)
        is_first = np.empty(len(rows), np.bool_)
        is_first[:1] = True
        np.not_equal(rows[1:], rows[:-1], out=is_first[1:])
        starts = is_first.nonzero()[0]
        return cls(rows[starts], np.bitwise_or.reduceat(proposed_by, starts) if len(starts) else proposed_by)


class Ranked(NamedTuple):
    """Rows (n,) in the order in which they are to be shown.

    `scores`: (n,) float32, the dot products. `standings`: (n,) what the order is by, the scores once rules have weighed
    them; a rule that places items in slots leaves both as they were. `proposed_by`: as of `Candidates`.
    """

    rows: Rows
    scores: NDArray[np.float32]
    standings: NDArray[np.floating]
    proposed_by: NDArray[np.int64]

    def followed_by(self, more: "Ranked") -> "Ranked":
        return Ranked(
            np.concatenate((self.rows, more.rows)),
            np.concatenate((self.scores, more.scores)),
            np.concatenate((self.standings, more.standings)),
            np.concatenate((self.proposed_by, more.proposed_by)),
        )

    def take(self, places: NDArray[np.intp] | slice) -> "Ranked":
        return Ranked(self.rows[places], self.scores[places], self.standings[places], self.proposed_by[places])


@dataclass(slots=True)
class Trace:
    """Observes one run of the pipeline: which restriction dropped a watched row, which rule moved which row.

    `dropped_by`: watched row -> name of the restriction. `steps`: a rule's name, the rows before it and after it.
    """

    watched: Rows = field(default_factory=lambda: NO_ROWS)
    dropped_by: dict[int, str] = field(default_factory=dict)
    steps: list[tuple[str, Rows, Rows]] = field(default_factory=list)

    def restricted(self, name: str, was_eligible: Mask, eligible: Eligible) -> None:
        """Note the watched rows that a restriction dropped. `was_eligible`: (n watched,) bool, before it acted."""
        is_dropped = was_eligible & ~eligible.has(self.watched)
        self.dropped_by |= dict.fromkeys(self.watched[is_dropped].tolist(), name)

    def moves(self, row: int) -> list[Moved]:
        """The rules that moved a row, in the order in which they acted."""
        moves = []
        for rule, before, after in self.steps:
            ranks_before, ranks_after = np.flatnonzero(before == row), np.flatnonzero(after == row)
            if not len(ranks_after):  # a later rule inserts it
                continue
            rank_before = int(ranks_before[0]) + 1 if len(ranks_before) else None
            rank_after = int(ranks_after[0]) + 1
            if rank_before != rank_after:
                moves.append(Moved(rule, rank_before, rank_after))
        return moves


Bits = Mapping[str, int]
"""Name of a source, or of what an inserting rule marks its items with -> its bit in `proposed_by`."""
