"""Makes users and items in bulk so that they have keys, without ratings: training from files needs no more of them."""

from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa

from app.store import counters
from app.store.database import Database
from app.store.deleted_items import mark_deleted
from app.store.dialect import KeyArray
from app.store.redirects import RedirectedError, refuse_redirected
from app.store.schema import items

CHUNK_IDS = 20_000
"""Ids of one transaction: other writers wait for a tenth of a second at most."""


class KnownIds:
    def __init__(self, database: Database) -> None:
        self._database = database

    def users(self, user_ids: Sequence[str]) -> tuple[KeyArray, int]:
        """The keys (n,) of n distinct ids, and how many users were made. That of a merged guest is the user's."""
        keys, n_made = np.empty(len(user_ids), np.int64), 0
        for start in range(0, len(user_ids), CHUNK_IDS):
            wanted = list(user_ids[start : start + CHUNK_IDS])
            while True:
                # Those of merged guests may name a user twice.
                distinct = list(dict.fromkeys(wanted))
                try:
                    with self._database.writing() as connection:
                        found, made = self._database.dialect.user_keys(connection, distinct)
                        refuse_redirected(self._database, connection, made)
                        self._database.note("users", stored=len(made))
                    break
                except RedirectedError as error:
                    wanted = [error.targets.get(user_id, user_id) for user_id in wanted]
            key_of = dict(zip(distinct, found.tolist(), strict=True))
            keys[start : start + len(wanted)] = [key_of[user_id] for user_id in wanted]
            n_made += len(made)
        return keys, n_made

    def items(self, item_ids: Sequence[str]) -> tuple[KeyArray, int]:
        """The keys (n,) of n distinct ids, and how many bare items were made. Deleted items stay deleted."""
        keys, n_made = np.empty(len(item_ids), np.int64), 0
        for start in range(0, len(item_ids), CHUNK_IDS):
            part = list(item_ids[start : start + CHUNK_IDS])
            with self._database.writing() as connection:
                keys[start : start + len(part)], inserted = self._database.dialect.item_keys(connection, part)
                if not inserted:
                    continue
                n_new = len(inserted) - len(mark_deleted(self._database, connection, inserted))
                self._database.note("items", stored=n_new)
                version = counters.grow(connection, "catalogue")
                # New items carry version 0 until the catalogue's is known; none of them is visible before the commit.
                connection.execute(sa.update(items).where(items.c.version == 0).values(version=version))
            n_made += n_new
        return keys, n_made
