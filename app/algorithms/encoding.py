"""Encodes columns of items or users as a feature matrix, in the same way for the fit and for later rows.

Decisions, and why:

- **One block of feature columns per input column**, independent of units, ranges and languages. Every block has about
  unit length: a set of s values has entries 1/sqrt(s), so that a film of six genres does not weigh more than one of a
  single genre; a number has standard deviation 1.
- **A number is encoded by its rank** among the values of the fit (interpolated quantiles), standardised. Prices, counts
  and years are skewed, and a single 1e300 would flatten all other values; ranks are robust to both and keep the order.
  With three or more distinct values there are also soft bins (linear B-splines), so that a linear learner can express
  that only films of the fifties are liked.
- **A value of a single row** carries no information on other rows and is dropped, which removes titles, addresses and
  free text. So is a value that all rows have.
- **Many values**: the most frequent get a column each, the others share hashed columns (K. Weinberger et al., "Feature
  Hashing for Large Scale Multitask Learning", 2009), so that the width is bounded for any input.
- **A missing value** is a row without entries in the block; so are unseen values and numbers that are not finite.

Complexity: O(entries) per column, plus a sort of each numeric column in the fit.
"""

import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Kind = Literal["set", "number", "text"]

# Feature columns of all sets and texts together, shared evenly between them. A ridge regression on this many takes
# seconds.
MAX_COLUMNS = 2048

# Distinct values above which an input column is hashed: the most frequent keep a column each, the others share.
MAX_VALUES = 1024

# One in this many feature columns of a hashed input column is shared by its rarer values.
HASHED_SHARE = 4

# Numeric columns that are encoded: those with the most known values.
MAX_NUMBERS = 256

# A value that fewer rows have is dropped.
MIN_ROWS = 2

N_QUANTILES = 33
# Soft bins per number. On film years and held-out items, bins and genres together explain 21 % of the item bias, the
# rank alone and genres 16 %.
N_BINS = 8
# In standard deviations: a flag that one row in a million has would otherwise be encoded as 1,000 there.
MAX_LEVEL = 3.0
# Numbers are clipped to this size, so that their differences are finite.
LARGEST = 1e300
# Numbers closer to 0 count as 0, so that the slope between two knots is finite.
SMALLEST = 1e-290

Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class FeatureTable:
    """Columns of items or users by name, each with `n_rows` entries.

    `sets`: a collection of strings per row, empty where missing. `numbers`: (n_rows,) float64, NaN where missing.
    `texts`: a string per row, None where missing. Raises `ValueError` for a column of another length.
    """

    n_rows: int
    sets: Mapping[str, Sequence[Collection[str]]] = field(default_factory=dict)
    numbers: Mapping[str, Float64Array] = field(default_factory=dict)
    texts: Mapping[str, Sequence[str | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for columns in (self.sets, self.numbers, self.texts):
            for name, column in columns.items():
                if len(column) != self.n_rows:
                    raise ValueError(f"{name!r} has {len(column)} entries, the table {self.n_rows} rows")


@dataclass(frozen=True)
class CategoricalEncoding:
    """Encodes a set or a text: a feature column for each of `values`, then `n_shared` hashed columns for all others.

    `name`: of the input column. `kind`: "set" or "text". `values`: most frequent first.
    """

    name: str
    kind: Kind
    values: tuple[str, ...]
    n_shared: int = 0

    @property
    def names(self) -> list[str]:
        """The names of the feature columns: `name=value`, then `name#1` and so on for hashed ones."""
        shared = [f"{self.name}#{bucket + 1}" for bucket in range(self.n_shared)]
        return [f"{self.name}={value}" for value in self.values] + shared

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {value: column for column, value in enumerate(self.values)}

    def encode(self, table: FeatureTable) -> sparse.csr_array:
        """(n_rows, columns) float32 CSR with 1/sqrt(s) for each of the s columns that a row has."""
        # A set, because two rare values may share a hashed column; sorted, because CSR wants ascending indices.
        columns = [
            sorted({column for value in row for column in self._column_of(value)})
            for row in _rows(table, self.name, self.kind)
        ]
        # Assemble the CSR arrays directly: s entries of 1/sqrt(s) per row.
        sizes = np.array([len(row) for row in columns], np.int64)
        entries = np.repeat(1 / np.sqrt(np.maximum(sizes, 1)), sizes).astype(np.float32)
        indices = np.array([column for row in columns for column in row], np.int32)
        shape = (table.n_rows, len(self.values) + self.n_shared)
        return sparse.csr_array((entries, indices, np.append(0, np.cumsum(sizes))), shape=shape)

    def _column_of(self, value: str) -> Iterator[int]:
        column = self._columns.get(value)
        if column is not None:
            yield column
        elif self.n_shared:
            # CRC-32, because Python's `hash` of strings differs between processes.
            yield len(self.values) + zlib.crc32(value.encode(errors="surrogatepass")) % self.n_shared


@dataclass(frozen=True)
class NumericEncoding:
    """Encodes a number by its standardised rank among the values of the fit, and by its membership in soft bins.

    `knots`: ascending values, at least two. `levels`: their standardised ranks, ascending. Between knots the rank is
    interpolated; beyond them it is that of the outermost knot. `n_bins`: 0 where there are only two distinct values.
    """

    name: str
    knots: tuple[float, ...]
    levels: tuple[float, ...]
    n_bins: int = N_BINS

    @classmethod
    def fit(cls, name: str, column: Float64Array) -> "NumericEncoding | None":
        """From (n,) values, NaN where missing; None where there are fewer than two distinct values."""
        # Sorted once, for quantiles and for ranks by binary search.
        known = np.sort(_finite(column))
        distinct = np.unique(known)
        if len(distinct) < MIN_ROWS:
            return None
        # Few distinct values are knots themselves; many are thinned to quantiles that occur in the data.
        if len(distinct) > N_QUANTILES:
            distinct = np.unique(np.quantile(known, np.linspace(0, 1, N_QUANTILES), method="nearest"))
        # rank(v) = (values below v + half of the values equal to v) / n, from 0 to 1
        ranks = (np.searchsorted(known, distinct) + np.searchsorted(known, distinct, side="right")) / (2 * len(known))
        # Standardised over the values of the fit, not over the knots, so that the column has standard deviation 1.
        known_ranks = np.interp(known, distinct, ranks)
        levels = np.clip((ranks - known_ranks.mean()) / known_ranks.std(), -MAX_LEVEL, MAX_LEVEL)
        # With two values the rank says everything already.
        n_bins = N_BINS if len(distinct) > MIN_ROWS else 0
        return cls(name, tuple(distinct.tolist()), tuple(levels.tolist()), n_bins)

    @property
    def names(self) -> list[str]:
        """The names of the feature columns: `name` for the rank, `name~value` for the bin around that value."""
        return [self.name, *(f"{self.name}~{value:g}" for value in np.interp(self._bins, self.levels, self.knots))]

    @property
    def _bins(self) -> Float64Array:
        """The centres of the bins, evenly spaced in rank."""
        return np.linspace(self.levels[0], self.levels[-1], self.n_bins)

    def encode(self, table: FeatureTable) -> sparse.csr_array:
        """(n_rows, 1 + n_bins) float32 CSR; the bins of a row add up to 1. Missing values are rows without entries."""
        column = table.numbers.get(self.name, np.full(table.n_rows, np.nan))
        # Missing and non-finite values leave their rows empty.
        rows = np.flatnonzero(np.isfinite(column))
        levels = np.interp(_finite(column), self.knots, self.levels)
        dense = np.zeros((len(rows), 1 + self.n_bins), np.float32)
        dense[:, 0] = levels
        if self.n_bins:
            # Hat functions max(0, 1 - |level - centre| / width): 1 at the centre of a bin, 0 at the next centre.
            distances = np.abs(levels[:, None] - self._bins) / (self._bins[1] - self._bins[0])
            dense[:, 1:] = np.maximum(0.0, 1.0 - distances)
        # The known rows as CSR, spread over all rows by their row pointers.
        scattered = sparse.csr_array(dense)
        starts = np.zeros(table.n_rows + 1, np.int64)
        starts[rows + 1] = np.diff(scattered.indptr)
        shape = (table.n_rows, dense.shape[1])
        return sparse.csr_array((scattered.data, scattered.indices, np.cumsum(starts)), shape=shape)


@dataclass(frozen=True)
class Encoding:
    """The encoding of whole tables, fitted to one of them. Blocks are placed side by side, ordered by name."""

    blocks: tuple[CategoricalEncoding | NumericEncoding, ...] = ()

    @classmethod
    def fit(cls, table: FeatureTable) -> "Encoding":
        """Choose the blocks from a table; columns that are constant, empty or distinct in every row get none."""
        named: list[tuple[str, Kind]] = [
            *((name, "set") for name in table.sets),
            *((name, "text") for name in table.texts),
        ]
        # The budget of columns is shared evenly, so that no input column can crowd out the others.
        most = min(MAX_VALUES, MAX_COLUMNS // max(1, len(named)))
        vocabularies = (_learn_vocabulary(table, name, kind, most) for name, kind in named)
        # Equal counts are ordered by name, so that the choice does not depend on the order of the input.
        known = sorted(table.numbers, key=lambda name: (-np.count_nonzero(np.isfinite(table.numbers[name])), name))
        scales = (NumericEncoding.fit(name, table.numbers[name]) for name in known[:MAX_NUMBERS])
        blocks = [block for block in (*vocabularies, *scales) if block is not None]
        return cls(tuple(sorted(blocks, key=lambda block: block.name)))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Encoding":
        """The inverse of `document`."""
        return cls(tuple(_block(dict(each)) for each in document["blocks"]))

    @property
    def document(self) -> dict[str, Any]:
        """The encoding as JSON values, as a snapshot stores it."""
        return {"blocks": [asdict(block) for block in self.blocks]}

    @property
    def names(self) -> list[str]:
        """The names of all feature columns: `categories=Drama`, `tags#3` (hashed), `year`, `year~1995` (a bin)."""
        return [name for block in self.blocks for name in block.names]

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kind of each input column, so that later rows are parsed in the same way."""
        return {block.name: block.kind if isinstance(block, CategoricalEncoding) else "number" for block in self.blocks}

    def encode(self, table: FeatureTable) -> sparse.csr_array:
        """(n_rows, n_columns) float32 CSR. Unknown input columns are ignored; absent ones count as missing."""
        # `hstack` needs at least one block; this one also fixes the number of rows.
        nothing = sparse.csr_array((table.n_rows, 0), dtype=np.float32)
        return sparse.csr_array(sparse.hstack([nothing, *(block.encode(table) for block in self.blocks)], format="csr"))


def _learn_vocabulary(table: FeatureTable, name: str, kind: Kind, most: int) -> CategoricalEncoding | None:
    """The encoding of one set or text column with at most `most` feature columns; None where no value is usable."""
    counts = Counter(value for row in _rows(table, name, kind) for value in row)
    # Most frequent first, equal counts by value: the same order for any order of the rows.
    usable = (value for value, n_rows in counts.items() if MIN_ROWS <= n_rows < table.n_rows)
    values = sorted(usable, key=lambda value: (-counts[value], value))
    if not values:
        return None
    # A quarter of the columns is shared by rare values, the rest goes to the most frequent ones.
    n_shared = most // HASHED_SHARE if len(values) > most else 0
    return CategoricalEncoding(name, kind, tuple(values[: most - n_shared]), n_shared)


def _rows(table: FeatureTable, name: str, kind: Kind) -> Iterable[Collection[str]]:
    """The distinct values of every row, without empty strings."""
    if kind == "set":
        return (set(row) - {""} for row in table.sets.get(name, [()] * table.n_rows))
    return ({value} if value else () for value in table.texts.get(name, [None] * table.n_rows))


def _finite(column: Float64Array) -> Float64Array:
    """The finite values, clipped to a range in which differences and slopes are finite."""
    known = np.clip(column[np.isfinite(column)], -LARGEST, LARGEST)
    return np.where(np.abs(known) < SMALLEST, 0.0, known)


def _block(document: dict[str, Any]) -> CategoricalEncoding | NumericEncoding:
    # The fields identify the kind of a block; the documents of snapshots name no class.
    if "knots" in document:
        return NumericEncoding(**document | {"knots": tuple(document["knots"]), "levels": tuple(document["levels"])})
    return CategoricalEncoding(**document | {"values": tuple(document["values"])})
