"""Parts of answers about single items, as JSON, kept until the catalogue changes."""

from collections import ChainMap
from collections.abc import Hashable, Mapping

MAX_BYTES = 8 * 2**20

OVERHEAD_BYTES = 150
"""Memory of a kept fragment besides its text: the object, its key and its entry in the dictionary."""


class Fragments:
    """For each selection of columns, fragments by item id. All are dropped before they exceed 8 MB, and by `forget`.

    Those that were dropped last stay known, as `last_known`.
    """

    def __init__(self) -> None:
        self._by_selection: dict[Hashable, dict[str, bytes]] = {}
        self._dropped: dict[Hashable, dict[str, bytes]] = {}
        self._n_bytes = 0

    def of(self, selection: Hashable) -> dict[str, bytes]:
        """The fragments kept for a selection; to be written by `keep` alone.

        A caller that reads an item for a fragment gets them before the read: if the catalogue changes in between,
        `forget` has replaced them, and what the caller keeps is not found any more.
        """
        return self._by_selection.setdefault(selection, {})

    def keep(self, kept: dict[str, bytes], item_id: str, fragment: bytes) -> None:
        """Add a fragment to those of a selection."""
        self._n_bytes += len(fragment) + OVERHEAD_BYTES
        if self._n_bytes > MAX_BYTES:
            self.forget()
        kept[item_id] = fragment

    def last_known(self, selection: Hashable) -> Mapping[str, bytes]:
        """The fragments of a selection that are kept, and those that were dropped last, which may be outdated."""
        return ChainMap(self.of(selection), self._dropped.get(selection, {}))

    def forget(self) -> None:
        if self._by_selection:
            self._dropped = self._by_selection
        self._by_selection, self._n_bytes = {}, 0
