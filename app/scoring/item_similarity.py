"""Similar items: a blend of what the same users choose, of taste, and of content, each shrunk where little is known.

    similarity(i, j) = w_together cos(x_i, x_j) n_ij / (n_ij + shrinkage)      columns of ratings, see `ColumnCosines`
                     + w_taste    max(cos(q_i, q_j), 0) t_i t_j                learned vectors, t = n / (n + 10)
                     + w_features cos(f_i, f_j) c_j                            categories, attributes, creators
                     + w_titles   cos(w_i, w_j) c_j                            words of titles, see `ContentEncoding`

The weights are above 0 and sum to 1, so that a similarity lies between 0 and 1. Training chooses them
(`training/similar_blend.py`), and the manifest holds them. t_i and t_j are both there: of an item with few ratings,
content says more than a vector that is mostly noise. c_j = (n_j + 5) / (n_j + 10) prefers known items among those of
equal content and leaves new ones half of it.

Decided: one row of all items is computed in the same way for a stored list and for a request that needs more (a
filter, a later page, a large catalogue), so that both orders agree. The table of what is chosen together is cut to
`N_TOGETHER` entries an item beforehand, for the same reason. Refused: candidates of each part that are blended
afterwards; an item that is second in every part would be missing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.scoring.content import ContentEncoding
from app.scoring.similar import best, trust, unit_directions
from app.snapshots.arrays import N_SIMILAR
from app.snapshots.manifest import SimilarBlend

STORED_UP_TO = 50_000
"""Items up to which every list is stored at publish; above, a list is computed on demand."""

N_TOGETHER = 100
"""Entries of each item in the table of what is chosen together."""

CELLS_PER_BLOCK = 1 << 23
LEAST_ROWS = 64
"""Items at a time: as many as `CELLS_PER_BLOCK` cells hold, but at least these, since each product has fixed costs."""

Rows = NDArray[np.integer]


@dataclass(frozen=True)
class ItemSimilarity:
    """How alike the items of one snapshot are.

    `vectors`: (n_items, c) float32, whose directions are compared; zeros of an item that has none. `counts`:
    (n_items,), how many users chose each item. `together`: (n_items, n_items) CSR float32. `content`: (n_items, t) CSR
    float32, of `encoding`.
    """

    vectors: NDArray[np.float32]
    counts: NDArray[np.integer]
    together: sparse.csr_array
    content: sparse.csr_array
    encoding: ContentEncoding
    blend: SimilarBlend

    @property
    def n_items(self) -> int:
        return len(self.vectors)

    def to_item(self, item_row: int) -> NDArray[np.float32]:
        """(n_items,) float32, the similarity of every item to this one; 0 to itself."""
        of_content = self._column_weights * self._content_of(self.content, item_row)
        scores = self._by_content(of_content)
        if self.blend.taste:
            alike = np.maximum(self._cosines(item_row), 0)
            scores += (self.blend.taste * self._trust[item_row]) * alike * self._trust
        scores[self._together_rows(item_row)] += self.blend.together * self._together_values(item_row)
        scores[item_row] = 0.0
        return scores

    def to_newer(self, content: sparse.csr_array) -> NDArray[np.float32]:
        """(n_items,), the similarity to an item that is newer than the snapshot, by its `content` (1, t) alone."""
        return self._by_content(self._column_weights * self._content_of(content, 0))

    def by_taste(self, item_row: int) -> NDArray[np.float32]:
        """(n_items,), the taste of every item compared with that of this one, shrunk by n_j / (n_j + 10) alone."""
        scores = self._cosines(item_row) * self._trust
        scores[item_row] = 0.0
        return scores

    def contributions(self, item_row: int, others: Rows) -> dict[str, NDArray[np.float32]]:
        """Part -> what it adds to the similarity of m other items, (m,); the parts sum to the similarity."""
        entries = np.zeros(self.n_items, np.float32)
        entries[self._together_rows(item_row)] = self._together_values(item_row)
        alike = (unit_directions(self.vectors[others]) @ unit_directions(self.vectors[[item_row]])[0]).clip(min=0)
        return {
            "together": self.blend.together * entries[others],
            "taste": self.blend.taste * alike * self._trust[others] * self._trust[item_row],
            **self._content_contributions(self._content_of(self.content, item_row), others),
        }

    def content_contributions(self, content: sparse.csr_array, others: Rows) -> dict[str, NDArray[np.float32]]:
        """As `contributions`, of the `content` (1, t) of an item newer than the snapshot."""
        return self._content_contributions(self._content_of(content, 0), others)

    def _content_contributions(self, own: NDArray[np.float32], others: Rows) -> dict[str, NDArray[np.float32]]:
        weighted, content, n_features = own * self._column_weights, self.content, len(self.encoding.features.names)
        # The stored entries of the other items, one after the other. SciPy's own selection of rows takes longer than
        # the rest of the answer.
        starts = content.indptr[others]
        counts = content.indptr[others + 1] - starts
        owners = np.repeat(np.arange(len(others)), counts)
        places = np.arange(len(owners)) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
        columns = content.indices[places]
        products = content.data[places] * weighted[columns]
        is_feature, trusted = columns < n_features, self._content_trust[others]

        def summed(of_part: NDArray[np.bool_]) -> NDArray[np.float32]:
            sums = np.bincount(owners[of_part], products[of_part], minlength=len(others))
            return sums.astype(np.float32) * trusted

        return {"features": summed(is_feature), "titles": summed(~is_feature)}

    def stored(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The `N_SIMILAR` most similar of every item, rows and scores, (n_items, N_SIMILAR) each; row -1 where fewer.

        Above `STORED_UP_TO` items the answer has no rows.
        """
        n_stored = self.n_items if self.n_items <= STORED_UP_TO else 0
        rows = np.full((n_stored, N_SIMILAR), -1, np.int32)
        scores = np.zeros((n_stored, N_SIMILAR), np.float32)
        for some, similarities in self._blocks() if n_stored else ():
            for row, of_row in zip(some.tolist(), similarities, strict=True):
                found, values = best(of_row, N_SIMILAR)
                rows[row, : len(found)], scores[row, : len(found)] = found, values
        return rows, scores

    def _blocks(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Rows (b,) and their similarities to all items, (b, n_items)."""
        content, columns = self.content, self.content.T.tocsr()
        by_column = content.data * self._column_weights[content.indices]
        weighted = sparse.csr_array((by_column, content.indices, content.indptr), shape=content.shape)
        for rows in blocks(self.n_items):
            scores: NDArray[np.float32] = (weighted[rows] @ columns).toarray()
            scores *= self._content_trust
            if self.blend.taste:
                alike = unit_directions(self.vectors[rows]) @ self.vectors.T
                np.maximum(alike, 0, out=alike)
                alike *= self._inverse_lengths * self._trust
                alike *= self.blend.taste * self._trust[rows, None]
                scores += alike
            scores += self.blend.together * self.together[rows].toarray()
            scores[np.arange(len(rows)), rows] = 0.0
            yield rows, scores

    def _by_content(self, weighted: NDArray[np.float32]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = self.content @ weighted
        scores *= self._content_trust
        return scores

    def _cosines(self, item_row: int) -> NDArray[np.float32]:
        cosines: NDArray[np.float32] = self.vectors @ unit_directions(self.vectors[[item_row]])[0]
        cosines *= self._inverse_lengths
        return cosines

    @cached_property
    def _inverse_lengths(self) -> NDArray[np.float32]:
        """(n_items,) float32; 0 for an item without a direction. A copy of unit vectors would double their memory."""
        lengths = np.sqrt(np.einsum("ik,ik->i", self.vectors, self.vectors))
        inverse: NDArray[np.float32] = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        return inverse

    def _together_rows(self, item_row: int) -> NDArray[np.int32]:
        return self.together.indices[self.together.indptr[item_row] : self.together.indptr[item_row + 1]]

    def _together_values(self, item_row: int) -> NDArray[np.float32]:
        values: NDArray[np.float32] = self.together.data[
            self.together.indptr[item_row] : self.together.indptr[item_row + 1]
        ]
        return values

    @staticmethod
    def _content_of(content: sparse.csr_array, row: int) -> NDArray[np.float32]:
        """(t,) one row of a CSR matrix."""
        of_row = np.zeros(content.shape[1], np.float32)
        entries = slice(content.indptr[row], content.indptr[row + 1])
        of_row[content.indices[entries]] = content.data[entries]
        return of_row

    @cached_property
    def _column_weights(self) -> NDArray[np.float32]:
        return self.encoding.column_weights(self.blend.features, self.blend.titles)

    @cached_property
    def _trust(self) -> NDArray[np.float32]:
        return trust(self.counts)

    @cached_property
    def _content_trust(self) -> NDArray[np.float32]:
        return content_trust(self.counts)


def content_trust(counts: NDArray[np.integer]) -> NDArray[np.float32]:
    """(m,) the factor (n + 5) / (n + 10) of items with `counts` (m,) ratings."""
    return ((counts + 5) / (counts + 10)).astype(np.float32)


def blocks(n_items: int) -> Iterator[NDArray[np.int64]]:
    """The rows of all items, some at a time, so that a block of (b, n_items) cells stays small."""
    n_rows = max(LEAST_ROWS, CELLS_PER_BLOCK // max(n_items, 1))
    for start in range(0, n_items, n_rows):
        yield np.arange(start, min(start + n_rows, n_items))
