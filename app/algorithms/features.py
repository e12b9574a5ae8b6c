"""What is known of items and users beside ratings, as matrices."""

from dataclasses import dataclass

from scipy import sparse


@dataclass(frozen=True)
class Features:
    """`items`: (n_items, f) float32 CSR; `users`: (n_users, g) float32 CSR; no columns where nothing is known.

    A missing value is a row without entries in that value's columns.
    """

    items: sparse.csr_array
    users: sparse.csr_array
